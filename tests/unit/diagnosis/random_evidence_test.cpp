// SPDX-License-Identifier: Apache-2.0
// What holds for any evidence whatever, and for random loss in particular.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "tests/unit/diagnosis/random_evidence.hpp"

using namespace postfathom;
using namespace postfathom::test;

namespace {

std::uint64_t sum(const Evidence& evidence, std::uint32_t Attempt::* counter) {
    std::uint64_t total = 0;
    for (const auto& one : evidence.attempts) total += one.*counter;
    return std::min<std::uint64_t>(total, 0xffffffff);
}

// The conditions of a conviction, written down a second time and in another way.
void check_outbound_conviction(const Evidence& evidence, const Diagnosis& hole) {
    CHECK(hole.severity == Severity::critical);
    std::size_t lost_above = 0;
    std::size_t arrived = 0;
    for (const auto& flight : evidence.flights) {
        if (flight.passes) ++arrived;
        if (flight.passes && hole.direction == Direction::outbound)
            CHECK(*flight.passes <= *hole.path_mtu);
        if (flight.shape != FlightShape::hole || !flight.fails || flight.fails <= hole.path_mtu)
            continue;
        if (flight.large_lost == 0) continue;
        ++lost_above;
    }
    CHECK(lost_above >= 2);
    CHECK(arrived >= 1);
}

void check_conviction(const Evidence& evidence, const Diagnosis& hole) {
    REQUIRE(hole.path_mtu);
    if (hole.direction != Direction::inbound) return check_outbound_conviction(evidence, hole);
    CHECK(hole.severity == Severity::critical);
    const auto size = *hole.path_mtu;
    std::size_t lost_above = 0;
    std::size_t arrived = 0;
    std::size_t arrived_at_size = 0;
    std::size_t lost_next = 0;
    std::size_t lost_below = 0;
    for (const auto& one : evidence.attempts) {
        const bool lost = one.stall == StallShape::gap || one.stall == StallShape::lost_reply;
        const bool stuck = one.reached == Phase::handshake && one.outcome != Outcome::ok;
        if (lost && stuck && one.allowed > size) ++lost_above;
        if (lost && stuck && one.allowed.bytes == size.bytes + 1) ++lost_next;
        if (lost && stuck && one.allowed <= size) ++lost_below;
        if (std::min(one.largest_received, one.allowed).bytes > 0 && one.allowed <= size) ++arrived;
        if (one.allowed == size && one.largest_received >= size) ++arrived_at_size;
        if (one.outcome == Outcome::ok && one.reached >= Phase::handshake && hole.usable_mss)
            CHECK(one.allowed.bytes <= hole.usable_mss->bytes + 60);
    }
    CHECK(lost_above >= 2);
    CHECK(arrived >= 1);
    if (hole.path_mtu_exact) {
        CHECK(lost_next >= 1);
        CHECK(arrived_at_size >= 1);
    }
    CHECK(
        size_split_probability(static_cast<std::uint32_t>(sum(evidence, &Attempt::small_received)),
                               static_cast<std::uint32_t>(sum(evidence, &Attempt::large_lost))) <=
        max_false_claim_probability);
    CHECK_FALSE(evidence.first_attempt_recovered);
}

void check_consistent(const Evidence& evidence, const EndpointVerdict& verdict) {
    const auto& found = verdict.diagnosis;
    CHECK((found.id == DiagnosisId::healthy) == verdict.findings.empty());
    CHECK((found.severity == Severity::ok) == verdict.findings.empty());
    for (const auto& finding : verdict.findings) {
        CHECK(finding.id != DiagnosisId::healthy);
        CHECK(finding.severity <= found.severity);
        CHECK((finding.id == DiagnosisId::inconclusive) == (finding.severity == Severity::unknown));
        CHECK((finding.id == DiagnosisId::inconclusive) == !finding.settles.empty());
        CHECK(finding.direction.has_value() == (finding.id == DiagnosisId::pmtu_black_hole ||
                                                finding.id == DiagnosisId::pmtu_reduced));
        if (finding.id == DiagnosisId::pmtu_black_hole) check_conviction(evidence, finding);
    }
    CHECK(std::isfinite(found.confidence));
    CHECK(found.confidence >= 0);
    CHECK(found.confidence <= 0.99);
    CHECK_FALSE(found.summary.empty());
    CHECK(std::count(found.ruled_out.begin(), found.ruled_out.end(), to_string(found.id)) == 0);
    for (const auto& name : found.ruled_out) CHECK(parse_diagnosis_id(name));
}

}  // namespace

TEST_CASE("any evidence gives a consistent verdict") {
    RandomEvidence random(20261123);
    std::size_t holes = 0;
    std::size_t outbound_holes = 0;
    std::size_t healthy = 0;
    for (int i = 0; i < 20'000; ++i) {
        const auto evidence = random.evidence();
        const auto verdict = diagnose(evidence, static_cast<TlsLevel>(random.below(9)));
        check_consistent(evidence, verdict);
        holes += verdict.diagnosis.id == DiagnosisId::pmtu_black_hole;
        outbound_holes += verdict.diagnosis.direction == Direction::outbound;
        healthy += verdict.diagnosis.id == DiagnosisId::healthy;
    }
    // Else the checks above looked at nothing.
    CHECK(holes > 10);
    CHECK(outbound_holes > 10);
    CHECK(healthy > 100);
}

namespace {

// One connection over a path that loses each packet with probability `loss`, whatever its size: the
// dialog, then a flight of full segments and a tail, each sent up to three times before the attempt
// is given up.
Attempt over_lossy_path(RandomEvidence& random, std::uint32_t allowed, std::uint32_t loss_percent) {
    const auto arrives = [&] { return random.below(100) >= loss_percent; };
    constexpr int copies = 3;
    const std::uint32_t full_segments = std::max(1U, 3800 / allowed);
    std::uint32_t missing = 0;
    for (std::uint32_t segment = 0; segment < full_segments; ++segment) {
        bool arrived = false;
        for (int copy = 0; copy < copies && !arrived; ++copy) arrived = arrives();
        missing += !arrived;
    }
    bool tail = false;
    for (int copy = 0; copy < copies && !tail; ++copy) tail = arrives();
    if (missing == 0 && tail) return pass(allowed);
    auto result = missing == full_segments && !tail ? silent(allowed) : gap(allowed);
    if (result.stall == StallShape::gap) result.large_lost = missing * copies;
    if (missing < full_segments) result.largest_received = PathMtu{allowed};
    return result;
}

}  // namespace

TEST_CASE("random loss is never called a black hole") {
    RandomEvidence random(7);
    static constexpr std::uint32_t sizes[] = {1280, 1400, 1420, 1480, 1492, 1401, 1500};
    std::size_t stalled_first = 0;
    for (const std::uint32_t loss_percent : {5U, 10U, 30U, 50U})
        for (int i = 0; i < 2'000; ++i) {
            std::vector<Attempt> attempts{over_lossy_path(random, 1500, loss_percent)};
            if (attempts.front().outcome == Outcome::ok) continue;
            ++stalled_first;
            const auto more = 1 + random.below(7);
            for (std::uint32_t n = 0; n < more; ++n)
                attempts.push_back(over_lossy_path(random, sizes[random.below(7)], loss_percent));
            const auto found = diagnosis_of(conversation(attempts));
            CHECK(found.id != DiagnosisId::pmtu_black_hole);
        }
    CHECK(stalled_first > 500);
}

TEST_CASE("a mute server is never called a black hole, however often it is asked") {
    RandomEvidence random(8);
    for (int i = 0; i < 2'000; ++i) {
        std::vector<Attempt> attempts{silent(1500)};
        const auto more = random.below(8);
        for (std::uint32_t n = 0; n < more; ++n) {
            auto next = random.one_in(5) ? cut_short(random.size()) : silent(random.size());
            next.large_lost = random.count();  // a guess of a probe that should not count
            attempts.push_back(next);
        }
        const auto found = diagnosis_of(conversation(attempts));
        CHECK((found.id == DiagnosisId::peer_stall || found.id == DiagnosisId::inconclusive));
    }
}

TEST_CASE("one failing connection is never enough, whatever it counted") {
    RandomEvidence random(9);
    for (int i = 0; i < 2'000; ++i) {
        auto first = gap(1500);
        first.large_lost = random.count();
        first.small_received = random.count();
        std::vector<Attempt> attempts{first};
        const auto more = random.below(8);
        for (std::uint32_t n = 0; n < more; ++n) {
            auto control = pass(1280 + random.below(200));
            control.small_received = random.count();
            attempts.push_back(control);
        }
        CHECK(diagnosis_of(conversation(attempts)).id == DiagnosisId::inconclusive);
    }
}
