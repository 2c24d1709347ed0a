// SPDX-License-Identifier: Apache-2.0
// Hostile servers (tests/tools/hostile_mx.cpp), each on a port that run.sh chose. Part of the
// program of probe_test.cpp.
#include <doctest/doctest.h>

#include <string>

#include "tests/dialog/probe/probe.hpp"

using namespace postfathom;

TEST_CASE("hostile servers are bounded in time and bytes and named" * doctest::skip()) {
    struct Case {
        std::uint16_t port;
        Service service;
        Phase reached;
        Outcome outcome;
        DiagnosisId id;
        const char* words;
    };
    using enum Service;
    using enum DiagnosisId;
    for (const auto& example : {
             Case{2601, smtp, Phase::starttls, Outcome::garbled, tls_garbage, "injecting"},
             Case{2602, imap, Phase::starttls, Outcome::garbled, tls_garbage, "injecting"},
             Case{2603, smtp, Phase::greeting, Outcome::garbled, greeting_rejected, "without end"},
             Case{2604, smtp, Phase::greeting, Outcome::garbled, greeting_rejected, "without end"},
             Case{2605, smtp, Phase::ehlo, Outcome::garbled, greeting_rejected, "without end"},
             Case{2606, imap, Phase::ehlo, Outcome::garbled, greeting_rejected, "without end"},
             Case{2607, imap, Phase::greeting, Outcome::garbled, greeting_rejected, "without end"},
             Case{2608, smtp, Phase::greeting, Outcome::timed_out, greeting_timeout,
                  "the greeting does not come to an end"},
             Case{2609, smtp, Phase::ehlo, Outcome::timed_out, greeting_timeout,
                  "the answer to EHLO does not come to an end"},
             Case{2610, smtp, Phase::starttls, Outcome::timed_out, greeting_timeout,
                  "the answer to STARTTLS does not come to an end"},
             Case{2611, smtp, Phase::ehlo, Outcome::rejected, greeting_rejected, "going down"},
             Case{2612, smtp, Phase::starttls, Outcome::rejected, greeting_rejected, "going down"},
             Case{2613, imap, Phase::greeting, Outcome::rejected, greeting_rejected, "too many"},
             Case{2614, imap, Phase::starttls, Outcome::not_offered, starttls_missing, "PREAUTH"},
             Case{2615, smtp, Phase::starttls, Outcome::not_offered, starttls_stripped, "XXXXXXXA"},
             Case{2616, smtp, Phase::ehlo_after_tls, Outcome::garbled, greeting_rejected,
                  "without end"},
             Case{2617, smtp, Phase::handshake, Outcome::tls_error, tls_garbage, "excessive"},
         }) {
        CAPTURE(example.port);
        auto request = request_to(server_v4, example.port);
        request.service = example.service;
        const auto report = probe(std::move(request));
        const auto& evidence = evidence_of(report);
        CHECK(evidence.reached == example.reached);
        CHECK(evidence.outcome == example.outcome);
        CHECK(report.diagnosis.id == example.id);
        CHECK(report.diagnosis.summary.find(example.words) != std::string::npos);
        // A phase's limit is 4 s here, and a server that drips gets no more of it.
        CHECK(evidence.timings.back().seconds < 15.0);
        CHECK(evidence.vantage.source == *IpAddress::parse("192.0.2.2"));
        for (const char c : evidence.reply) CHECK((c >= ' ' && c <= '~'));
    }
}

TEST_CASE("a server that renegotiates gets one handshake" * doctest::skip()) {
    const auto report = probe(2618);
    const auto& evidence = evidence_of(report);
    CHECK(evidence.reached >= Phase::ehlo_after_tls);
    CHECK(evidence.attempts.size() == 1);
    CHECK(evidence.seconds < 15.0);
    REQUIRE(evidence.handshake.has_value());
    CHECK(evidence.handshake->protocol == "TLSv1.2");
}

TEST_CASE("control characters from a server are noted and never shown" * doctest::skip()) {
    const auto report = probe(2619);
    CHECK(report.diagnosis.id == DiagnosisId::healthy);
    const auto& notes = report.endpoints.front().verdict.notes;
    REQUIRE_FALSE(notes.empty());
    CHECK(notes.front().id == "control-characters");
    CHECK(evidence_of(report).dialog.control_characters == 4);
    const auto text = to_text(report, false);
    for (const char c : text) CHECK((c == '\n' || (c >= ' ' && c <= '~')));

    const auto certificate = evidence_of(probe(2620)).handshake.value().certificate.value();
    CHECK(certificate.subject.find("evil") != std::string::npos);
    for (const char c : certificate.subject) CHECK((c >= ' ' && c <= '~'));
    CHECK(certificate.self_signed);
}
