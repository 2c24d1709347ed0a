// SPDX-License-Identifier: Apache-2.0
// Runs inside the client's namespace; run.sh says which test under which path, and what to expect.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <string>

#include "tests/dialog/probe/probe.hpp"

using namespace postfathom;

namespace {

PathMtu size_from(const char* variable) {
    const char* text = std::getenv(variable);
    REQUIRE_MESSAGE(text != nullptr, variable);
    return PathMtu{static_cast<std::uint32_t>(std::atoi(text))};
}

// SERVER and PORT are where run.sh wants it.
Report probe() {
    auto settings = quick_settings();
    settings.handshake_timeout = Millis{10'000};
    settings.timeout = Millis{120'000};
    const auto report =
        probe(request_to(std::getenv("SERVER"),
                         static_cast<std::uint16_t>(std::atoi(std::getenv("PORT")))),
              settings);
    const auto& evidence = evidence_of(report);
    for (const auto& flight : evidence.flights)
        MESSAGE(to_string(flight.shape)
                << ", passes " << (flight.passes ? flight.passes->bytes : 0) << ", fails "
                << (flight.fails ? flight.fails->bytes : 0) << ", small " << flight.small_acked
                << " and " << flight.small_lost << " lost, large " << flight.large_lost << " lost, "
                << flight.seconds << " s");
    return report;
}

bool has_note(const Report& report, const std::string& id) {
    const auto& notes = report.endpoints.front().verdict.notes;
    return std::any_of(notes.begin(), notes.end(), [&](const Note& note) { return note.id == id; });
}

IpFamily family(const Report& report) { return evidence_of(report).endpoint.address.family(); }

void check_hole(const Report& report, Direction direction, PathMtu size) {
    const auto& found = report.diagnosis;
    CHECK(found.id == DiagnosisId::pmtu_black_hole);
    CHECK(found.severity == Severity::critical);
    CHECK(found.direction == direction);
    CHECK(found.path_mtu == size);
    CHECK(found.path_mtu_exact);
    CHECK(found.usable_mss == mss_for(size, family(report)));
    CHECK(discovery_works(evidence_of(report)) == false);
    REQUIRE_FALSE(report.suggestions.empty());
    CHECK(report.suggestions.front().kind == SuggestionKind::route_mtu);
    CHECK(report.suggestions.front().proven);
}

}  // namespace

TEST_CASE("hole outbound" * doctest::skip()) {
    const auto report = probe();
    const auto& evidence = evidence_of(report);
    check_hole(report, Direction::outbound, size_from("OUTBOUND"));
    CHECK(evidence.outbound.path_mtu == size_from("OUTBOUND"));
    CHECK(evidence.outbound.exact);
    CHECK(evidence.outcome == Outcome::ok);  // the ordinary handshake sees nothing of it
    // The kernel learned nothing, so nothing is hidden from what comes next.
    CHECK_FALSE(has_note(report, "path-mtu-learned"));
    CHECK(evidence.flights.back().answered);
}

TEST_CASE("hole both ways" * doctest::skip()) {
    const auto report = probe();
    const auto& evidence = evidence_of(report);
    check_hole(report, Direction::both, std::min(size_from("INBOUND"), size_from("OUTBOUND")));
    CHECK(evidence.inbound.path_mtu == size_from("INBOUND"));
    CHECK(evidence.inbound.exact);
    CHECK(evidence.outbound.path_mtu == size_from("OUTBOUND"));
    CHECK(evidence.outbound.exact);
}

TEST_CASE("hole inbound alone" * doctest::skip()) {
    const auto report = probe();
    const auto& evidence = evidence_of(report);
    check_hole(report, Direction::inbound, size_from("INBOUND"));
    CHECK(evidence.outbound.path_mtu == size_from("OUTBOUND"));
    CHECK(evidence.outbound.exact);
    REQUIRE(evidence.flights.size() == 1);
    CHECK(evidence.flights.front().shape == FlightShape::complete);
    CHECK(evidence.flights.front().answered);
}

TEST_CASE("clean path" * doctest::skip()) {
    const auto report = probe();
    const auto& evidence = evidence_of(report);
    CHECK(report.diagnosis.id == DiagnosisId::healthy);
    CHECK(evidence.outbound.path_mtu == size_from("OUTBOUND"));
    CHECK(evidence.outbound.exact);
    CHECK(evidence.connections <= 3);
    CHECK(evidence.aborted == 0);
    REQUIRE_FALSE(evidence.flights.empty());
    CHECK(evidence.flights.back().reached == Phase::quit);
    CHECK(evidence.flights.back().answered);
}

TEST_CASE("working discovery outbound" * doctest::skip()) {
    const auto report = probe();
    const auto& evidence = evidence_of(report);
    CHECK(report.diagnosis.id == DiagnosisId::pmtu_reduced);
    CHECK(report.diagnosis.severity == Severity::notice);
    CHECK(evidence.outbound.path_mtu == size_from("OUTBOUND"));
    CHECK(evidence.outbound.exact);
    CHECK(discovery_works(evidence) == true);
    CHECK(has_note(report, "path-mtu-learned"));
    CHECK(evidence.aborted == 0);
}

TEST_CASE("clamped path" * doctest::skip()) {
    const auto report = probe();
    CHECK(report.diagnosis.id == DiagnosisId::healthy);
    CHECK(evidence_of(report).outbound.path_mtu == size_from("OUTBOUND"));
    CHECK(has_note(report, "mss-clamped"));
}

TEST_CASE("loss and no hole" * doctest::skip()) {
    for (int i = 0; i < 5; ++i) {
        const auto report = probe();
        CHECK(report.diagnosis.id != DiagnosisId::pmtu_black_hole);
        for (const auto& finding : report.endpoints.front().verdict.findings)
            CHECK(finding.id != DiagnosisId::pmtu_black_hole);
    }
}

TEST_CASE("hole beside loss" * doctest::skip()) {
    int found = 0;
    for (int i = 0; i < 9 && found < 3; ++i) {
        const auto report = probe();
        const auto& findings = report.endpoints.front().verdict.findings;
        const auto hole = std::find_if(findings.begin(), findings.end(), [](const auto& finding) {
            return finding.id == DiagnosisId::pmtu_black_hole;
        });
        // A connection may lose so much that nothing is known.
        if (hole == findings.end()) {
            CHECK(report.diagnosis.id == DiagnosisId::inconclusive);
            continue;
        }
        ++found;
        CHECK(hole->direction == Direction::outbound);
        CHECK(evidence_of(report).outbound.path_mtu == size_from("OUTBOUND"));
        CHECK(evidence_of(report).outbound.exact);
    }
    CHECK(found == 3);
}

TEST_CASE("server without an answer" * doctest::skip()) {
    const auto report = probe();
    const auto& evidence = evidence_of(report);
    for (const auto& finding : report.endpoints.front().verdict.findings)
        CHECK(finding.id != DiagnosisId::pmtu_black_hole);
    REQUIRE_FALSE(evidence.flights.empty());
    CHECK(evidence.flights.size() <= 2);
    CHECK_FALSE(evidence.flights.back().answered);
}
