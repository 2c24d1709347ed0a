// SPDX-License-Identifier: Apache-2.0
// Runs inside the client's namespace that topology.sh makes; run.sh says which test under which
// path.
#include <doctest/doctest.h>

#include <cstdlib>
#include <string>

#include "tests/dialog/probe/probe.hpp"

using namespace postfathom;

namespace {

PathMtu expected() {
    const char* text = std::getenv("EXPECT_MTU");
    REQUIRE(text != nullptr);
    return PathMtu{static_cast<std::uint32_t>(std::atoi(text))};
}

void check_black_hole(const Report& report, IpFamily family) {
    const auto& evidence = evidence_of(report);
    CHECK(report.diagnosis.id == DiagnosisId::pmtu_black_hole);
    CHECK(report.diagnosis.severity == Severity::critical);
    CHECK(report.diagnosis.direction == Direction::inbound);
    CHECK(report.diagnosis.path_mtu == expected());
    CHECK(report.diagnosis.path_mtu_exact);
    CHECK(report.diagnosis.usable_mss == mss_for(expected(), family));
    CHECK(evidence.inbound.path_mtu == expected());
    CHECK(evidence.inbound.exact);
    CHECK_FALSE(evidence.first_attempt_recovered);
    CHECK(evidence.vantage.interface == "wan");
    CHECK(evidence.vantage.interface_mtu == PathMtu{8921});
    // The handshake that passed at that size tells of the certificate.
    REQUIRE(evidence.handshake.has_value());
    CHECK(evidence.handshake->certificate.has_value());
    REQUIRE_FALSE(report.suggestions.empty());
    CHECK(report.suggestions.front().kind == SuggestionKind::route_mtu);
    CHECK(report.suggestions.front().proven);
    const bool plateau = expected() != PathMtu{1353};
    CHECK(evidence.connections <= (plateau ? 8 : 16));
}

}  // namespace

TEST_CASE("black hole, IPv4" * doctest::skip()) { check_black_hole(probe(25), IpFamily::v4); }

TEST_CASE("black hole, IPv6" * doctest::skip()) {
    check_black_hole(probe(request_to(server_v6, 25)), IpFamily::v6);
}

TEST_CASE("black hole, implicit TLS" * doctest::skip()) {
    check_black_hole(probe(465), IpFamily::v4);
}

TEST_CASE("a smaller path where discovery works is no black hole" * doctest::skip()) {
    for (const auto* address : {server_v4, server_v6}) {
        const auto report = probe(request_to(address, 25));
        CHECK(report.diagnosis.id == DiagnosisId::pmtu_reduced);
        CHECK(report.diagnosis.severity == Severity::notice);
        CHECK(evidence_of(report).attempts.front().largest_received == expected());
        CHECK(evidence_of(report).connections <= 4);
    }
}

TEST_CASE("a healthy server costs three connections at most" * doctest::skip()) {
    for (const auto* address : {server_v4, server_v6}) {
        const auto report = probe(request_to(address, 25));
        const auto& evidence = evidence_of(report);
        CHECK(report.diagnosis.id == DiagnosisId::healthy);
        CHECK(report.suggestions.empty());
        CHECK(evidence.reached == Phase::quit);
        CHECK(evidence.starttls_offered);
        CHECK(evidence.inbound.path_mtu == PathMtu{1500});
        CHECK(evidence.connections <= 3);
        CHECK(evidence.aborted == 0);
        REQUIRE(evidence.attempts.size() == 1);
        CHECK(evidence.attempts.front().hello_bytes == 517);
        REQUIRE(evidence.handshake.has_value());
        CHECK(evidence.handshake->protocol == "TLSv1.3");
        CHECK(evidence.handshake->key_exchange == "x25519");
        const auto& certificate = evidence.handshake->certificate;
        REQUIRE(certificate.has_value());
        CHECK(certificate->verify_code == 0);
        CHECK(certificate->chain_length == 3);
        CHECK(certificate->chain_bytes > 2500);
        REQUIRE_FALSE(certificate->names.empty());
        CHECK(certificate->names.front() == "mail.example.org");
        CHECK(certificate->key == "RSA 2048");
        CHECK(certificate->name_matches);
    }
}

TEST_CASE("a healthy server with another name is told" * doctest::skip()) {
    auto request = request_to(server_v4, 25);
    request.name = "other.example.org";
    const auto report = probe(std::move(request));
    CHECK(report.diagnosis.id == DiagnosisId::certificate_name_mismatch);
    CHECK(report.diagnosis.severity == Severity::notice);
}

TEST_CASE("a mute server is a stalled peer and never a black hole" * doctest::skip()) {
    const auto report = probe(2501);
    const auto& evidence = evidence_of(report);
    CHECK(report.diagnosis.id == DiagnosisId::peer_stall);
    CHECK(evidence.inbound == InboundPath{});
    CHECK(evidence.connections <= 8);
    CHECK(evidence.attempts.size() == 3);
    CHECK(evidence.questions.size() >= 3);
    for (const auto& question : evidence.questions) CHECK_FALSE(question.answered);
    for (const auto& attempt : evidence.attempts) {
        CHECK(attempt.stall == StallShape::silent_acked);
        CHECK(attempt.counters.out_of_order_segments == 0);
        CHECK(attempt.counters.dsack_duplicates == 0);
        CHECK(attempt.counters.retransmits_total == 0);
    }
}

TEST_CASE("a slow server is healthy" * doctest::skip()) {
    for (const std::uint16_t port : {std::uint16_t{2502}, std::uint16_t{2503}}) {
        const auto report = probe(port);
        CHECK(report.diagnosis.id == DiagnosisId::healthy);
        CHECK(evidence_of(report).seconds >= 2.0);
    }
}

TEST_CASE("servers that end it before or in TLS are told apart" * doctest::skip()) {
    struct Case {
        std::uint16_t port;
        Phase reached;
        Outcome outcome;
        DiagnosisId id;
    };
    for (const auto& example : {
             Case{2504, Phase::starttls, Outcome::not_offered, DiagnosisId::starttls_missing},
             Case{2505, Phase::starttls, Outcome::rejected, DiagnosisId::starttls_missing},
             Case{2506, Phase::starttls, Outcome::not_offered, DiagnosisId::starttls_missing},
             Case{2507, Phase::greeting, Outcome::rejected, DiagnosisId::greeting_rejected},
             Case{2508, Phase::greeting, Outcome::rejected, DiagnosisId::greeting_rejected},
             Case{2509, Phase::greeting, Outcome::timed_out, DiagnosisId::greeting_timeout},
             Case{2510, Phase::greeting, Outcome::closed, DiagnosisId::greeting_rejected},
             Case{2511, Phase::handshake, Outcome::reset, DiagnosisId::reset_in_handshake},
             Case{2512, Phase::greeting, Outcome::garbled, DiagnosisId::greeting_rejected},
             Case{2513, Phase::handshake, Outcome::garbled, DiagnosisId::tls_garbage},
             Case{2599, Phase::connect, Outcome::refused, DiagnosisId::refused},
         }) {
        CAPTURE(example.port);
        const auto report = probe(example.port);
        const auto& evidence = evidence_of(report);
        CHECK(evidence.reached == example.reached);
        CHECK(evidence.outcome == example.outcome);
        CHECK(report.diagnosis.id == example.id);
        // Of the outcomes in TLS it is asked what they depend on, and large packets are sent once.
        const bool silent = example.id == DiagnosisId::greeting_timeout;
        CHECK(evidence.silent_attempts == (silent ? 2 : 0));
        // On a loaded machine one may lose the race for its limits: it is given up, and flown again
        // without them (OutboundProbe::fly).
        const auto told = (silent ? 2 : 1) + evidence.protocol_trials.size() +
                          evidence.questions.size() + evidence.flights.size();
        CHECK(evidence.connections >= told);
        CHECK(evidence.connections <= told + (evidence.flights.empty() ? 0 : 1));
        CHECK(evidence.questions.size() <= 4);
        // What TLS ends is asked about each protocol version alone.
        CHECK(evidence.protocol_trials.size() == (example.reached == Phase::handshake ? 2 : 0));
        CHECK(evidence.vantage.source == *IpAddress::parse("192.0.2.2"));
    }
}

TEST_CASE("servers with faulty certificates are told apart" * doctest::skip()) {
    CHECK(probe(2514).diagnosis.id == DiagnosisId::certificate_self_signed);
    const auto incomplete = probe(2515);
    CHECK(incomplete.diagnosis.id == DiagnosisId::certificate_incomplete_chain);
    CHECK(evidence_of(incomplete).handshake->certificate->missing_issuer ==
          "CN=Example Intermediate CA,O=Example");
    CHECK(probe(2516).diagnosis.id == DiagnosisId::certificate_expired);
}

TEST_CASE("a server is probed from the address that was asked for" * doctest::skip()) {
    auto request = request_to(server_v4, 25);
    request.source = IpAddress::parse("192.0.2.2");
    CHECK(evidence_of(probe(request)).vantage.source == *request.source);
    request.source = IpAddress::parse("203.0.113.77");  // not ours
    const auto report = probe(request);
    CHECK(report.diagnosis.id == DiagnosisId::no_route);
}
