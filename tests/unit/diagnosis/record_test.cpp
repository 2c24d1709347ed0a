// SPDX-License-Identifier: Apache-2.0
// How knowledge ages, and how a new verdict joins what was known.
#include <doctest/doctest.h>

#include "lib/diagnosis/record.hpp"

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

Diagnosis hole() {
    auto diagnosis = found(DiagnosisId::pmtu_black_hole, Severity::critical);
    diagnosis.direction = Direction::inbound;
    diagnosis.path_mtu = PathMtu{1400};
    diagnosis.path_mtu_exact = true;
    diagnosis.usable_mss = Mss{1360};
    return diagnosis;
}

KnownVerdict known(const Diagnosis& diagnosis, WallTime measured_at) {
    return absorb(std::nullopt, diagnosis, measured_at, limits);
}

}  // namespace

TEST_CASE("good news keeps longer than bad news") {
    struct Row {
        Severity severity;
        std::chrono::milliseconds age;
        Freshness expected;
    };
    const Row rows[] = {
        {Severity::ok, 0s, Freshness::fresh},
        {Severity::ok, 24h - 1ms, Freshness::fresh},
        {Severity::ok, 24h, Freshness::stale},
        {Severity::notice, 24h, Freshness::stale},
        {Severity::ok, 7 * 24h, Freshness::expired},
        {Severity::critical, 30min - 1ms, Freshness::fresh},
        {Severity::critical, 30min, Freshness::stale},
        {Severity::warning, 6h - 1ms, Freshness::stale},
        {Severity::critical, 6h, Freshness::expired},
        {Severity::unknown, 30min, Freshness::stale},
        {Severity::unknown, 6h, Freshness::expired},
    };
    for (const auto& row : rows) {
        CAPTURE(to_string(row.severity));
        CAPTURE(row.age.count());
        KnownVerdict verdict;
        verdict.severity = row.severity;
        verdict.measured_at = now - row.age;
        CHECK(freshness(verdict, now, limits) == row.expected);
    }
}

TEST_CASE("a clock that was set back is forgiven an hour, and damaged times are expired") {
    KnownVerdict verdict;
    verdict.severity = Severity::ok;
    verdict.measured_at = now + 1h;
    CHECK(freshness(verdict, now, limits) == Freshness::fresh);
    verdict.measured_at = now + 1h + 1ms;
    CHECK(freshness(verdict, now, limits) == Freshness::expired);
    verdict.measured_at = WallTime::max();
    CHECK(freshness(verdict, now, limits) == Freshness::expired);
    verdict.measured_at = WallTime::min();
    CHECK(freshness(verdict, now, limits) == Freshness::expired);
}

TEST_CASE("only warnings and critical findings are ill") {
    KnownVerdict verdict;
    for (const auto& [severity, expected] : {std::pair{Severity::ok, false},
                                             {Severity::notice, false},
                                             {Severity::unknown, false},
                                             {Severity::warning, true},
                                             {Severity::critical, true}}) {
        verdict.severity = severity;
        CHECK(ill(verdict) == expected);
    }
}

TEST_CASE("a confirmed verdict keeps the time since when it holds") {
    const auto first = known(hole(), now);
    const auto again = absorb(first, hole(), now + 20min, limits);
    CHECK(again.since == now);
    CHECK(again.measured_at == now + 20min);
    CHECK(again.path_mtu == PathMtu{1400});
    CHECK(again.usable_mss == Mss{1360});
}

TEST_CASE("another identifier or direction starts anew") {
    const auto first = known(hole(), now);
    const auto healthy =
        absorb(first, found(DiagnosisId::healthy, Severity::ok), now + 5min, limits);
    CHECK(healthy.id == DiagnosisId::healthy);
    CHECK(healthy.since == now + 5min);
    CHECK_FALSE(healthy.path_mtu);
    auto both = hole();
    both.direction = Direction::both;
    CHECK(absorb(first, both, now + 5min, limits).since == now + 5min);
}

TEST_CASE("an inconclusive probe does not erase a verdict that still holds") {
    const auto nothing = found(DiagnosisId::inconclusive, Severity::unknown);
    const auto first = known(hole(), now);
    CHECK(absorb(first, nothing, now + 5h, limits) == first);
    const auto late = absorb(first, nothing, now + 6h, limits);
    CHECK(late.id == DiagnosisId::inconclusive);
    CHECK(late.since == now + 6h);
    const auto success = known(found(DiagnosisId::healthy, Severity::ok), now);
    CHECK(absorb(success, nothing, now + 2 * 24h, limits) == success);
    // And one inconclusive probe after another is the newer one.
    const auto unknown = known(nothing, now);
    CHECK(absorb(unknown, nothing, now + 1min, limits).measured_at == now + 1min);
}

TEST_CASE("a verdict that expired in between is a break") {
    const auto first = known(hole(), now);
    CHECK(absorb(first, hole(), now + 10h, limits).since == now + 10h);
}

TEST_CASE("since is never after the measurement, whatever the clock did") {
    const auto ahead = known(hole(), now + 30min);
    CHECK(absorb(ahead, hole(), now, limits).since == now);
}

TEST_CASE("the short form of a record is that of the diagnosis") {
    CHECK(brief(known(hole(), now)) == brief(hole()));
    CHECK(to_string(Freshness::stale) == "stale");
}
