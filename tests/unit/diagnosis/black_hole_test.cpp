// SPDX-License-Identifier: Apache-2.0
// The heaviest claim: when it is made, and all the pictures that look like it and are not.
#include <doctest/doctest.h>

#include <algorithm>
#include <limits>

#include "tests/unit/diagnosis/evidence_builder.hpp"

using namespace postfathom;
using namespace postfathom::test;

TEST_CASE("the chance of a split by size is that of the binomial coefficient") {
    CHECK(size_split_probability(4, 2) == doctest::Approx(1.0 / 15));
    CHECK(size_split_probability(8, 8) == doctest::Approx(1.0 / 12870));
    CHECK(size_split_probability(16, 12) == doctest::Approx(1.0 / 30421755));
    CHECK(size_split_probability(0, 100) == 1.0);
    CHECK(size_split_probability(100, 0) == 1.0);
    const auto huge = std::numeric_limits<std::uint32_t>::max();
    CHECK(size_split_probability(huge, huge) < 1e-100);
    CHECK(size_split_probability(huge, 1) == doctest::Approx(1.0 / (1.0 + huge)));
}

TEST_CASE("the incident: everything above 1400 bytes vanishes from the server") {
    auto evidence =
        conversation({gap(8921), gap(1500), pass(1280), pass(1400), gap(1420), gap(1401)});
    evidence.inbound = {PathMtu{1400}, true};
    const auto verdict = diagnose(evidence, TlsLevel::may);
    const auto& hole = verdict.diagnosis;
    CHECK(hole.id == DiagnosisId::pmtu_black_hole);
    CHECK(hole.severity == Severity::critical);
    CHECK(hole.direction == Direction::inbound);
    CHECK(hole.path_mtu == PathMtu{1400});
    CHECK(hole.path_mtu_exact);
    CHECK(hole.usable_mss == Mss{1360});
    CHECK(hole.confidence == doctest::Approx(0.99));
    CHECK(brief(hole) == "pmtu-black-hole inbound, path MTU 1400, MSS 1360 works");
    CHECK(hole.ruled_out.front() == "peer-stall");
    CHECK(verdict.findings.size() == 1);
    CHECK(inbound_discovery_works(evidence) == false);
}

TEST_CASE("a black hole is found in each of its shapes") {
    struct Row {
        const char* name;
        const char* address;
        std::vector<Attempt> attempts;
        std::uint32_t path_mtu;
        bool exact;
        std::uint32_t mss;
    };
    const Row rows[] = {
        {"IPv6",
         "2001:db8::1",
         {gap(1500), gap(1420), pass(1280), pass(1400), gap(1401)},
         1400,
         true,
         1340},
        {"no tail at jumbo sizes",
         "192.0.2.1",
         {lost_reply(9000), lost_reply(4352), gap(1500), pass(1280), pass(1400), gap(1401)},
         1400,
         true,
         1360},
        {"silence above, beside two lost answers",
         "192.0.2.1",
         {silent(8921), gap(1500), pass(1400), gap(1420), gap(1401)},
         1400,
         true,
         1360},
        {"N + 1 not tried", "192.0.2.1", {gap(1500), gap(1492), pass(1400)}, 1400, false, 1360},
        {"N + 1 silent only: not exact",
         "192.0.2.1",
         {gap(1500), gap(1420), pass(1400), silent(1401)},
         1400,
         false,
         1360},
        {"the server gave up first",
         "192.0.2.1",
         {[] {
              auto first = gap(1500);
              first.outcome = Outcome::closed;
              return first;
          }(),
          gap(1420), pass(1280)},
         1280,
         false,
         1240},
        {"flight with no full packet at the boundary",
         "192.0.2.1",
         {gap(1500), gap(1400), pass_with(1380, 1350)},
         1350,
         false,
         1340},
    };
    for (const auto& row : rows) {
        INFO(std::string{row.name});
        const auto hole = diagnosis_of(conversation(row.attempts, row.address));
        CHECK(hole.id == DiagnosisId::pmtu_black_hole);
        CHECK(hole.path_mtu == PathMtu{row.path_mtu});
        CHECK(hole.path_mtu_exact == row.exact);
        CHECK(hole.usable_mss == Mss{row.mss});
        CHECK(hole.direction == Direction::inbound);
    }
}

TEST_CASE("a counter-probe that saw its packet but was ended early proves the size, not the MSS") {
    auto early = pass(1400);
    early.outcome = Outcome::cancelled;
    early.reached = Phase::handshake;
    const auto hole = diagnosis_of(conversation({gap(1500), gap(1420), early, gap(1401)}));
    CHECK(hole.id == DiagnosisId::pmtu_black_hole);
    CHECK(hole.path_mtu == PathMtu{1400});
    CHECK(hole.path_mtu_exact);
    CHECK_FALSE(hole.usable_mss);
    CHECK(brief(hole) == "pmtu-black-hole inbound, path MTU 1400");
}

TEST_CASE("what looks like a black hole and is not proven to be one") {
    struct Row {
        const char* name;
        std::vector<Attempt> attempts;
        DiagnosisId expected;
    };
    const auto weak_gap = [](std::uint32_t allowed) {
        auto one = gap(allowed);
        one.large_lost = 1;
        return one;
    };
    const Row rows[] = {
        {"one failing connection", {gap(1500)}, DiagnosisId::inconclusive},
        {"one failing, many passing",
         {gap(1500), pass(1280), pass(1400), pass(1420), pass(1480)},
         DiagnosisId::inconclusive},
        {"no positive control",
         {gap(1500), gap(1400), gap(1280), gap(576)},
         DiagnosisId::inconclusive},
        {"too little lost",
         {weak_gap(1500), weak_gap(1420), pass(1400)},
         DiagnosisId::inconclusive},
        {"N passes after N stalled, larger stalled too",
         {gap(1500), gap(1400), pass(1400)},
         DiagnosisId::inconclusive},
        {"N + k passes after N stalled",
         {gap(1500), gap(1420), gap(1380), pass(1400)},
         DiagnosisId::inconclusive},
        {"the largest passes on a second connection",
         {gap(1500), gap(1420), pass(1280), pass(1500)},
         DiagnosisId::lossy_path},
        {"mute server", {silent(1500), silent(1280), silent(576)}, DiagnosisId::peer_stall},
        {"mute above, answers below, no lost answer seen",
         {silent(1500), silent(1420), pass(1280)},
         DiagnosisId::inconclusive},
        {"one lost answer, one silence",
         {gap(1500), silent(1420), pass(1280)},
         DiagnosisId::inconclusive},
        {"our own packets are lost",
         {unacked(1500), unacked(1420), pass(1280)},
         DiagnosisId::inconclusive},
        {"answers at times",
         {silent(1500), pass(1500), silent(1400), pass(1400)},
         DiagnosisId::inconclusive},
    };
    for (const auto& row : rows) {
        INFO(std::string{row.name});
        const auto found = diagnosis_of(conversation(row.attempts));
        CHECK(to_string(found.id) == to_string(row.expected));
        if (found.id == DiagnosisId::inconclusive) CHECK_FALSE(found.settles.empty());
    }
}

TEST_CASE("a black hole on a path that loses packets of any size too takes more to prove") {
    const auto lossy_hole = [](std::vector<Attempt> more) {
        std::vector<Attempt> attempts{gap(1500), gap(1280),  pass(1280),
                                      gap(1420), pass(1400), pass(1380)};
        attempts.insert(attempts.end(), more.begin(), more.end());
        return diagnosis_of(conversation(attempts));
    };
    const auto hole = lossy_hole({gap(1401), gap(1401)});
    CHECK(hole.id == DiagnosisId::pmtu_black_hole);
    CHECK(hole.path_mtu == PathMtu{1400});
    CHECK(hole.path_mtu_exact);
    CHECK(hole.ruled_out.front() == "peer-stall");
    CHECK(std::count(hole.ruled_out.begin(), hole.ruled_out.end(), "lossy-path") == 0);
    CHECK(lossy_hole({}).id == DiagnosisId::inconclusive);
    CHECK(lossy_hole({gap(1401)}).id == DiagnosisId::inconclusive);
    CHECK(lossy_hole({gap(1401), gap(1401), gap(1380)}).id == DiagnosisId::inconclusive);
    CHECK(lossy_hole({gap(1401), gap(1401), pass(1500)}).id == DiagnosisId::lossy_path);
}

TEST_CASE("path MTU discovery that works is not a fault, whatever the other connections did") {
    auto evidence = conversation({gap(1500), gap(1420), pass(1280)});
    evidence.first_attempt_recovered = true;
    evidence.attempts.front().largest_received = PathMtu{1400};
    const auto verdict = diagnose(evidence, TlsLevel::may);
    CHECK(verdict.diagnosis.id != DiagnosisId::pmtu_black_hole);
}

TEST_CASE("the size comes from the attempts, not from what the search believes") {
    auto evidence = conversation({gap(1500), gap(1420), pass(1380)});
    evidence.inbound = {PathMtu{1419}, true};
    const auto hole = diagnosis_of(evidence);
    CHECK(hole.path_mtu == PathMtu{1380});
    CHECK_FALSE(hole.path_mtu_exact);
}

TEST_CASE("counters at their limits do no harm") {
    const auto huge = std::numeric_limits<std::uint32_t>::max();
    auto first = gap(huge);
    auto second = gap(huge);
    for (auto* one : {&first, &second}) {
        one->large_lost = huge;
        one->small_received = huge;
    }
    auto control = pass(1400);
    control.small_received = huge;
    const auto hole = diagnosis_of(conversation({first, second, control}));
    CHECK(hole.id == DiagnosisId::pmtu_black_hole);
    CHECK(hole.confidence == doctest::Approx(0.99));
    auto nothing = pass(0);
    nothing.largest_received = PathMtu{0};
    CHECK(diagnosis_of(conversation({first, second, nothing})).id == DiagnosisId::inconclusive);
}
