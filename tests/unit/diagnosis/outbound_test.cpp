// SPDX-License-Identifier: Apache-2.0
// Flights of large packets to the server: black holes, discovery, loss, and both directions
// together.
#include <doctest/doctest.h>

#include "lib/diagnosis/outbound_picture.hpp"
#include "tests/unit/diagnosis/evidence_builder.hpp"

using namespace postfathom;
using namespace postfathom::test;

namespace {

OutboundFlight flight(FlightShape shape, std::uint32_t passes) {
    OutboundFlight result;
    result.shape = shape;
    result.reached = Phase::handshake;
    result.sent = {PathMtu{passes}, PathMtu{152}};
    result.passes = PathMtu{passes};
    result.small_acked = 8;
    result.path_mtu_before = PathMtu{1500};
    result.path_mtu_after = PathMtu{1500};
    result.counters.timestamps = true;
    result.counters.advertised_mss = 1448;
    result.counters.send_mss = 1448;
    return result;
}

OutboundFlight hole(std::uint32_t passes, std::uint32_t fails) {
    auto result = flight(FlightShape::hole, passes);
    result.sent.push_back(PathMtu{fails});
    result.fails = PathMtu{fails};
    result.large_lost = 8;
    result.fails_lost = 8;
    result.readings = 6;
    return result;
}

OutboundFlight complete(std::uint32_t largest) {
    auto result = flight(FlightShape::complete, largest);
    result.reached = Phase::quit;
    result.answered = true;
    return result;
}

// Both directions were limited to what passes.
OutboundFlight proof(std::uint32_t size) {
    auto result = complete(size);
    result.counters.advertised_mss = size - 40 - 12;
    return result;
}

OutboundFlight shrunk(std::uint32_t to) {
    auto result = flight(FlightShape::shrunk, to);
    result.answered = true;
    result.path_mtu_after = PathMtu{to};
    return result;
}

Evidence with_flights(std::vector<OutboundFlight> flights,
                      std::vector<Attempt> attempts = {pass(1500)}) {
    auto evidence = conversation(std::move(attempts));
    evidence.outbound.path_mtu = look_at(flights).passes;
    evidence.flights = std::move(flights);
    return evidence;
}

}  // namespace

TEST_CASE("a black hole towards the server, though the handshake completes") {
    const auto evidence = with_flights({hole(1400, 1420), hole(1400, 1401), proof(1400)});
    const auto verdict = diagnose(evidence, TlsLevel::may);
    REQUIRE(verdict.findings.size() == 1);
    const auto& found = verdict.diagnosis;
    CHECK(brief(found) == "pmtu-black-hole outbound, path MTU 1400, MSS 1360 works");
    CHECK(found.severity == Severity::critical);
    CHECK(found.path_mtu_exact);
    CHECK(found.confidence == doctest::Approx(0.99));
    CHECK(mentions(found.summary, "a message would stall"));
    CHECK(found.ruled_out == std::vector<std::string>{"peer-stall", "lossy-path"});
    CHECK(outbound_discovery_works(evidence) == false);
    CHECK(discovery_works(evidence) == false);
}

TEST_CASE("what looks like a black hole towards the server and is not proven to be one") {
    const auto weak = [](OutboundFlight one) {
        one.large_lost = 1;
        one.fails_lost = 1;
        return one;
    };
    auto lossy = hole(1400, 1401);
    lossy.small_lost = 12;
    auto no_size = hole(1400, 1420);
    no_size.passes.reset();
    struct Row {
        const char* name;
        std::vector<OutboundFlight> flights;
        DiagnosisId expected;
    };
    const Row rows[] = {
        {"one flight", {hole(1400, 1420)}, DiagnosisId::inconclusive},
        {"too little lost",
         {weak(hole(1400, 1420)), weak(hole(1400, 1401))},
         DiagnosisId::inconclusive},
        {"small ones lost too", {lossy, lossy}, DiagnosisId::inconclusive},
        {"nothing of any size arrived", {no_size, no_size}, DiagnosisId::inconclusive},
        {"a larger one passed later",
         {hole(1400, 1420), hole(1400, 1401), complete(1500)},
         DiagnosisId::inconclusive},
        {"the same size passed later",
         {hole(1400, 1420), hole(1400, 1420), complete(1420)},
         DiagnosisId::inconclusive},
    };
    for (const auto& row : rows) {
        INFO(std::string{row.name});
        const auto evidence = with_flights(row.flights);
        const auto found = diagnosis_of(evidence);
        CHECK(to_string(found.id) == to_string(row.expected));
        CHECK(outbound_discovery_works(evidence) != false);
        if (found.id == DiagnosisId::inconclusive) CHECK_FALSE(found.settles.empty());
    }
}

TEST_CASE("the size is exact only when the next byte was shown to fail") {
    const auto found = diagnosis_of(with_flights({hole(1400, 1420), hole(1400, 1420)}));
    CHECK(brief(found) == "pmtu-black-hole outbound, path MTU at least 1400, below 1420");
    auto once = hole(1400, 1401);
    once.fails_lost = 1;
    const auto thin = diagnosis_of(with_flights({hole(1400, 1420), once}));
    CHECK_FALSE(thin.path_mtu_exact);
    CHECK_FALSE(thin.usable_mss);
}

TEST_CASE("a limit is proven only by a handshake under it, both ways") {
    auto server_unlimited = proof(1400);
    server_unlimited.counters.advertised_mss = 1448;
    auto unanswered = proof(1400);
    unanswered.answered = false;
    auto cut = proof(1400);
    cut.outcome = Outcome::reset;
    for (const auto& last : {server_unlimited, unanswered, cut, proof(1380)}) {
        const auto found = diagnosis_of(with_flights({hole(1400, 1401), hole(1400, 1401), last}));
        CHECK(found.id == DiagnosisId::pmtu_black_hole);
        CHECK_FALSE(found.usable_mss);
    }
}

TEST_CASE("black holes both ways are one finding with the smaller size") {
    struct Row {
        std::uint32_t inbound, outbound;
    };
    for (const auto& row : {Row{1400, 1400}, Row{1400, 1492}, Row{1492, 1400}}) {
        CAPTURE(row.inbound);
        CAPTURE(row.outbound);
        const auto smaller = std::min(row.inbound, row.outbound);
        const auto evidence = with_flights(
            {hole(row.outbound, 1500), hole(row.outbound, row.outbound + 1), proof(smaller)},
            {gap(1500), gap(1496), pass(row.inbound), gap(row.inbound + 1)});
        const auto verdict = diagnose(evidence, TlsLevel::may);
        REQUIRE(verdict.findings.size() == 1);
        const auto& found = verdict.diagnosis;
        CHECK(found.id == DiagnosisId::pmtu_black_hole);
        CHECK(found.direction == Direction::both);
        CHECK(found.path_mtu == PathMtu{smaller});
        CHECK(found.path_mtu_exact);
        CHECK(found.usable_mss == Mss{smaller - 40});
        CHECK(mentions(found.summary, "from the server above " + std::to_string(row.inbound)));
        CHECK(mentions(found.summary, "to the server above " + std::to_string(row.outbound)));
        CHECK(discovery_works(evidence) == false);
    }
}

TEST_CASE("an inbound hole stays inbound when large packets reach the server") {
    const auto found = diagnosis_of(
        with_flights({complete(1500)}, {gap(1500), gap(1420), pass(1280), pass(1400), gap(1401)}));
    CHECK(brief(found) == "pmtu-black-hole inbound, path MTU 1400, MSS 1360 works");
}

TEST_CASE("a stall that is no hole is named beside an outbound hole") {
    const auto evidence = with_flights({hole(1400, 1420), hole(1400, 1401)},
                                       {silent(1500), silent(1280), silent(576)});
    const auto verdict = diagnose(evidence, TlsLevel::may);
    REQUIRE(verdict.findings.size() == 2);
    CHECK(verdict.findings[0].id == DiagnosisId::peer_stall);
    CHECK(verdict.findings[1].id == DiagnosisId::pmtu_black_hole);
    CHECK_FALSE(mentions(verdict.findings[1].summary, "a message would stall"));
}

TEST_CASE("discovery that works towards the server is a notice, and its traces are noted") {
    const auto evidence = with_flights({shrunk(1400)});
    const auto verdict = diagnose(evidence, TlsLevel::may);
    REQUIRE(verdict.findings.size() == 1);
    CHECK(brief(verdict.diagnosis) == "pmtu-reduced outbound, path MTU 1400");
    CHECK(verdict.diagnosis.severity == Severity::notice);
    CHECK(outbound_discovery_works(evidence) == true);
    CHECK(discovery_works(evidence) == true);
    REQUIRE(verdict.notes.size() == 1);
    CHECK(verdict.notes[0].id == "path-mtu-learned");
    CHECK(mentions(verdict.notes[0].text, "1400"));
}

TEST_CASE("discovery in both directions, or in one beside a hole in the other") {
    auto both = with_flights({shrunk(1420)}, {pass_with(1500, 1400)});
    both.attempts[0].counters.out_of_order_segments = 1;
    const auto found = diagnosis_of(both);
    CHECK(brief(found) == "pmtu-reduced both, path MTU 1400");
    CHECK(mentions(found.summary, "1400 bytes from the server and 1420 to it"));
    const auto mixed =
        with_flights({shrunk(1400)}, {gap(1500), gap(1420), pass(1280), pass(1400), gap(1401)});
    CHECK(diagnosis_of(mixed).id == DiagnosisId::pmtu_black_hole);
    CHECK(diagnosis_of(mixed).direction == Direction::inbound);
    CHECK(discovery_works(mixed) == false);
}

TEST_CASE("a healthy path tells both sizes") {
    auto evidence = with_flights({complete(1500)});
    evidence.outbound.exact = true;
    const auto verdict = diagnose(evidence, TlsLevel::may);
    CHECK(verdict.findings.empty());
    CHECK(verdict.notes.empty());
    CHECK(mentions(verdict.diagnosis.summary, "packets of 1500 bytes, the largest we allow"));
    CHECK(mentions(verdict.diagnosis.summary, "packets of 1500 bytes, the largest we can send"));
}

TEST_CASE("loss in flights is loss, whatever its size") {
    auto repaired = complete(1500);
    repaired.counters.retransmits_total = 3;
    auto found = diagnosis_of(with_flights({repaired}));
    CHECK(found.id == DiagnosisId::lossy_path);
    CHECK(found.severity == Severity::notice);
    repaired.counters.dsack_duplicates = 2;  // repeats that nobody needed
    CHECK(diagnosis_of(with_flights({repaired})).id == DiagnosisId::healthy);
    found = diagnosis_of(with_flights({flight(FlightShape::scattered, 1400)}));
    CHECK(found.id == DiagnosisId::lossy_path);
    CHECK(found.severity == Severity::warning);
    CHECK(diagnosis_of(with_flights({flight(FlightShape::unjudged, 1400)})).id ==
          DiagnosisId::healthy);
}

TEST_CASE("a lowered MSS is noted") {
    auto evidence = with_flights({complete(1400)});
    evidence.attempts[0].counters.peer_mss = 1360;
    evidence.attempts[0].counters.path_mtu = 1500;
    auto verdict = diagnose(evidence, TlsLevel::may);
    REQUIRE(verdict.notes.size() == 1);
    CHECK(verdict.notes[0].id == "mss-clamped");
    CHECK(mentions(verdict.notes[0].text, "at most 1360"));
    auto refused = evidence;  // a server that was not reached has asked for nothing
    refused.attempts[0].reached = Phase::connect;
    refused.attempts[0].outcome = Outcome::refused;
    for (const auto& note : diagnose(refused, TlsLevel::may).notes) CHECK(note.id != "mss-clamped");
    evidence.attempts[0].counters.path_mtu = 1400;  // it is our own route that says so
    CHECK(diagnose(evidence, TlsLevel::may).notes.empty());
    evidence.attempts[0].counters.path_mtu = 9000;
    evidence.attempts[0].counters.peer_mss = 1460;  // an Ethernet at the other end
    CHECK(diagnose(evidence, TlsLevel::may).notes.empty());
}

TEST_CASE("a hole on one connection and none on another is neither a hole nor loss") {
    const auto found = diagnosis_of(with_flights({hole(1400, 1420), complete(1500)}));
    CHECK(found.id == DiagnosisId::inconclusive);
    CHECK(found.severity == Severity::unknown);
    CHECK(mentions(found.summary, "On 1 of 2 connections nothing of 1420 bytes or more"));
    CHECK(mentions(found.summary, "packets of 1500 bytes did"));
    CHECK_FALSE(found.settles.empty());
    // What loss makes as easily stays loss.
    auto weak = hole(1400, 1420);
    weak.large_lost = 2;
    CHECK(diagnosis_of(with_flights({weak, complete(1500)})).id == DiagnosisId::lossy_path);
}
