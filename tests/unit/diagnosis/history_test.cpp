// SPDX-License-Identifier: Apache-2.0
// What several probes of one place say together: memory of failures, bounds, paths that vary.
#include "lib/diagnosis/history.hpp"

#include <doctest/doctest.h>

#include <algorithm>

using namespace postfathom;
using namespace std::chrono_literals;

namespace {

const WallTime now{1'780'000'000s};
const AgeLimits limits;

Diagnosis found(DiagnosisId id, Severity severity) {
    Diagnosis diagnosis;
    diagnosis.id = id;
    diagnosis.severity = severity;
    return diagnosis;
}

const Diagnosis good = found(DiagnosisId::healthy, Severity::ok);
const Diagnosis silent = found(DiagnosisId::unreachable, Severity::critical);
const Diagnosis stalled = found(DiagnosisId::peer_stall, Severity::critical);
const Diagnosis nothing = found(DiagnosisId::inconclusive, Severity::unknown);
const Diagnosis expired = found(DiagnosisId::certificate_expired, Severity::critical);

Diagnosis hole(std::uint32_t passes, std::optional<std::uint32_t> below = {}) {
    auto diagnosis = found(DiagnosisId::pmtu_black_hole, Severity::critical);
    diagnosis.direction = Direction::inbound;
    diagnosis.path_mtu = PathMtu{passes};
    diagnosis.path_mtu_exact = !below;
    if (below) diagnosis.path_mtu_below = PathMtu{*below};
    diagnosis.usable_mss = Mss{passes - 40};
    return diagnosis;
}

PathRecord path(std::uint32_t inbound, bool exact, WallTime at,
                const char* source = "192.0.2.200") {
    PathRecord record;
    record.source = *IpAddress::parse(source);
    record.destination = *IpAddress::parse("198.51.100.1");
    record.inbound = PathMtu{inbound};
    record.inbound_exact = exact;
    record.measured_at = at;
    return record;
}

SizeBounds exactly(std::uint32_t size) { return {PathMtu{size}, true, {}}; }
SizeBounds between(std::uint32_t passes, std::uint32_t fails) {
    return {PathMtu{passes}, false, PathMtu{fails}};
}
SizeBounds at_least(std::uint32_t size) { return {PathMtu{size}, false, {}}; }

}  // namespace

TEST_CASE("a failure does not erase fresh good news, a second one does, success resets") {
    struct Probe {
        std::chrono::seconds after;
        const Diagnosis* found;
    };
    struct Row {
        const char* what;
        std::vector<Probe> probes;
        DiagnosisId verdict;
        std::optional<DiagnosisId> suspected;
    };
    using Id = DiagnosisId;
    const auto black_hole = hole(1400);
    const Row rows[] = {
        {"the first word is believed", {{0s, &silent}}, Id::unreachable, {}},
        {"one failure", {{0s, &good}, {5min, &silent}}, Id::healthy, Id::unreachable},
        {"a second one", {{0s, &good}, {5min, &silent}, {6min, &silent}}, Id::unreachable, {}},
        {"a second one of another kind",
         {{0s, &good}, {5min, &silent}, {6min, &stalled}},
         Id::peer_stall,
         {}},
        {"the same bad moment seen twice",
         {{0s, &good}, {5min, &silent}, {5min + 29s, &silent}},
         Id::healthy,
         Id::unreachable},
        {"success between them",
         {{0s, &good}, {5min, &silent}, {6min, &good}, {7min, &silent}},
         Id::healthy,
         Id::unreachable},
        {"nothing learned between them",
         {{0s, &good}, {5min, &silent}, {6min, &nothing}, {7min, &silent}},
         Id::unreachable,
         {}},
        {"too long ago to count",
         {{0s, &good}, {5min, &silent}, {2h, &silent}},
         Id::healthy,
         Id::unreachable},
        {"good news that is stale", {{0s, &good}, {25h, &silent}}, Id::unreachable, {}},
        {"a proven black hole needs no second probe",
         {{0s, &good}, {5min, &black_hole}},
         Id::pmtu_black_hole,
         {}},
        {"nor does a certificate", {{0s, &good}, {5min, &expired}}, Id::certificate_expired, {}},
        {"an ill place changes its illness at once",
         {{0s, &black_hole}, {5min, &silent}},
         Id::unreachable,
         {}},
        {"one success mends", {{0s, &black_hole}, {5min, &good}}, Id::healthy, {}},
    };
    for (const auto& row : rows) {
        CAPTURE(row.what);
        std::optional<KnownVerdict> known;
        for (const auto& probe : row.probes)
            known = absorb(known, *probe.found, now + probe.after, limits);
        REQUIRE(known);
        CHECK(known->id == row.verdict);
        CHECK(known->suspected.has_value() == row.suspected.has_value());
        if (known->suspected && row.suspected) CHECK(known->suspected->id == *row.suspected);
    }
}

TEST_CASE("a suspicion keeps the good verdict and its age") {
    const auto known = absorb(std::nullopt, good, now, limits);
    auto kept = absorb(known, silent, now + 5min, limits);
    CHECK(kept.measured_at == now);
    kept.suspected.reset();
    CHECK(kept == known);
}

TEST_CASE("what is conclusive alone is what a control or the peer's own words prove") {
    for (const auto id : all_diagnosis_ids()) {
        CAPTURE(to_string(id));
        const auto name = to_string(id);
        if (name.starts_with("certificate-") || name.starts_with("tls-") ||
            name.starts_with("starttls-") || name.starts_with("pmtu-"))
            CHECK(conclusive_alone(id));
    }
    CHECK_FALSE(conclusive_alone(DiagnosisId::greeting_timeout));
    CHECK_FALSE(conclusive_alone(DiagnosisId::lossy_path));
}

TEST_CASE("which bounds contradict each other, and what two rounds know together") {
    struct Row {
        SizeBounds known;
        SizeBounds found;
        bool contradict;
        SizeBounds together;
    };
    const Row rows[] = {
        {between(1280, 1500), between(1400, 1420), false, between(1400, 1420)},
        {between(1400, 1420), between(1280, 1500), false, between(1400, 1420)},
        {between(1280, 1420), between(1400, 1500), false, between(1400, 1420)},
        {exactly(1400), between(1280, 1500), false, exactly(1400)},
        {between(1280, 1500), exactly(1400), false, exactly(1400)},
        {exactly(1400), at_least(900), false, exactly(1400)},
        {at_least(900), between(1280, 1500), false, between(1280, 1500)},
        // The path is another one now.
        {exactly(1400), at_least(1500), true, at_least(1500)},
        {exactly(1400), exactly(1420), true, exactly(1420)},
        {exactly(1400), between(1280, 1400), true, between(1280, 1400)},
        {between(1400, 1420), between(1420, 1500), true, between(1420, 1500)},
        {at_least(1500), exactly(1400), true, exactly(1400)},
    };
    for (const auto& row : rows) {
        CAPTURE(row.known.passes.bytes);
        CAPTURE(row.found.passes.bytes);
        CHECK(contradict(row.known, row.found) == row.contradict);
        CHECK(contradict(row.found, row.known) == row.contradict);
        CHECK(tighter(row.known, row.found) == row.together);
    }
}

TEST_CASE("a later round with looser bounds does not widen the verdict, a changed path does") {
    auto known = absorb(std::nullopt, hole(1280, 1500), now, limits);
    CHECK(brief(known) ==
          "pmtu-black-hole inbound, path MTU at least 1280, below 1500, MSS 1240 works");
    known = absorb(known, hole(1400, 1420), now + 10min, limits);
    CHECK(brief(known) ==
          "pmtu-black-hole inbound, path MTU at least 1400, below 1420, MSS 1360 works");
    CHECK(absorb(known, hole(1280, 1500), now + 20min, limits).path_mtu == PathMtu{1400});
    known = absorb(known, hole(1400), now + 20min, limits);
    CHECK(brief(known) == "pmtu-black-hole inbound, path MTU 1400, MSS 1360 works");
    const auto later = absorb(known, hole(1280, 1500), now + 30min, limits);
    CHECK(brief(later) == brief(known));
    CHECK(later.measured_at == now + 30min);
    CHECK(later.since == now);
    // 1400 fails now.
    CHECK(brief(absorb(known, hole(1280, 1400), now + 30min, limits)) ==
          "pmtu-black-hole inbound, path MTU at least 1280, below 1400, MSS 1240 works");
}

TEST_CASE("a path record keeps what was not measured this time, and its history as runs") {
    auto first = path(1400, true, now);
    first.outbound = PathMtu{1500};
    auto record = absorb(std::nullopt, first);
    REQUIRE(record.history.size() == 1);
    record = absorb(record, path(1400, true, now + 10min));
    CHECK(record.outbound == PathMtu{1500});
    REQUIRE(record.history.size() == 1);
    CHECK(record.history[0].since == now);
    CHECK(record.history[0].at == now + 10min);
    record = absorb(record, path(1500, false, now + 20min));
    CHECK(record.inbound == PathMtu{1500});
    CHECK_FALSE(record.inbound_exact);
    CHECK(record.history.size() == 2);
    // What is older than a day is no longer joined to what was found now.
    CHECK(absorb(record, path(900, false, now + 48h)).inbound == PathMtu{900});

    for (int i = 0; i < 50; ++i)
        record = absorb(record, path(i % 2 == 0 ? 1400 : 1500, i % 2 == 0, now + i * 1min));
    CHECK(record.history.size() == max_history);
}

TEST_CASE("a path that varies is told from one that was mended") {
    struct Row {
        const char* what;
        std::vector<PathRecord> probes;
        std::optional<SizeRange> expected;
    };
    const auto other = "192.0.2.201";
    const SizeRange range{PathMtu{1400}, PathMtu{1500}};
    const Row rows[] = {
        {"always the same", {path(1400, true, now), path(1400, true, now + 1h)}, {}},
        {"mended", {path(1400, true, now), path(1500, false, now + 1h)}, {}},
        {"broken", {path(1500, false, now), path(1400, true, now + 1h)}, {}},
        {"to and fro",
         {path(1400, true, now), path(1500, false, now + 1h), path(1400, true, now + 2h)},
         range},
        {"a tighter bound is no other size",
         {path(1280, false, now), path(1400, true, now + 1h), path(1300, false, now + 2h)},
         {}},
        {"a small flight says nothing against it",
         {path(1500, false, now), path(900, false, now + 1h), path(1500, false, now + 2h)},
         {}},
        {"by source", {path(1400, true, now), path(1500, false, now, other)}, range},
        {"by source, both exact", {path(1400, true, now), path(1500, true, now, other)}, range},
        {"the other source was mended",
         {path(1400, true, now, other), path(1500, false, now + 1h, other),
          path(1500, false, now + 1h)},
         {}},
        {"long ago",
         {path(1400, true, now - 60h), path(1500, false, now - 50h), path(1400, true, now)},
         {}},
    };
    for (const auto& row : rows) {
        CAPTURE(row.what);
        std::vector<PathRecord> records;
        for (const auto& probe : row.probes) {
            const auto same = std::find_if(records.begin(), records.end(), [&](const auto& known) {
                return known.source == probe.source;
            });
            if (same == records.end())
                records.push_back(absorb(std::nullopt, probe));
            else
                *same = absorb(*same, probe);
        }
        CHECK(varies(records, Direction::inbound, now + 3h) == row.expected);
        CHECK_FALSE(varies(records, Direction::outbound, now + 3h));
    }
}

TEST_CASE("illness that comes and goes is told from one that came, and from one that went") {
    const auto source = *IpAddress::parse("192.0.2.200");
    const auto history_of = [&](const std::string& probes) {
        std::vector<PastVerdict> history;
        auto at = now;
        for (const char c : probes) {
            const bool is_ill = c == 'x';
            history = remember_result(
                std::move(history),
                {at, at, source, is_ill ? DiagnosisId::peer_stall : DiagnosisId::healthy, is_ill});
            at += 30min;
        }
        return history;
    };
    for (const auto& [probes, expected] : {std::pair{"", false},
                                           {"....", false},
                                           {"xxxx", false},
                                           {"..xx", false},
                                           {"..xx..", false},
                                           {"..xx..xx", true},
                                           {"x.x.x.x.x.x.x.x.", true},
                                           {"x.x.................", true}}) {
        const std::string seen = probes;  // clang 14 captures no structured binding
        CAPTURE(seen);
        const auto history = history_of(probes);
        CHECK(history.size() <= max_history);
        CHECK(comes_and_goes(history, now + 1h) == expected);
        CHECK_FALSE(comes_and_goes(history, now + 48h));
    }
    KnownVerdict verdict;
    verdict.id = DiagnosisId::healthy;
    verdict.comes_and_goes = true;
    verdict.varies = SizeRange{PathMtu{1400}, PathMtu{1500}};
    CHECK(brief(verdict) == "healthy, varies between 1400 and 1500, comes and goes");
}
