// SPDX-License-Identifier: Apache-2.0
// The TLS layer spoke: OpenSSL's words become identifiers.
#include <doctest/doctest.h>

#include <algorithm>

#include "tests/unit/diagnosis/evidence_builder.hpp"

using namespace postfathom;
using namespace postfathom::test;

TEST_CASE("OpenSSL's words are told apart") {
    struct Row {
        Outcome outcome;
        const char* words;
        const char* expected;
    };
    const Row rows[] = {
        {Outcome::tls_alert, "error:0A000410:SSL routines::sslv3 alert handshake failure",
         "tls-no-shared-cipher"},
        {Outcome::tls_alert, "error:0A000438:SSL routines::tlsv1 alert internal error",
         "tls-alert"},
        {Outcome::tls_alert, "error:0A00042E:SSL routines::tlsv1 alert protocol version",
         "tls-protocol-mismatch"},
        {Outcome::tls_error, "error:0A000102:SSL routines::unsupported protocol",
         "tls-protocol-mismatch"},
        {Outcome::tls_error, "error:0A0000BF:SSL routines::no protocols available",
         "tls-protocol-mismatch"},
        {Outcome::tls_alert, "error:0A00042F:SSL routines::tlsv1 alert insufficient security",
         "tls-no-shared-cipher"},
        {Outcome::tls_error, "error:0A0000C1:SSL routines::no shared cipher",
         "tls-no-shared-cipher"},
        {Outcome::tls_error, "error:0A00018A:SSL routines::dh key too small",
         "tls-no-shared-cipher"},
        {Outcome::tls_error, "error:0A00018F:SSL routines::ee key too small", "certificate-weak"},
        {Outcome::tls_error, "error:0A00010B:SSL routines::wrong version number", "tls-garbage"},
        {Outcome::tls_error, "error:0A0000C6:SSL routines::packet length too long", "tls-garbage"},
        {Outcome::tls_error, "", "tls-garbage"},
        {Outcome::tls_alert, "", "tls-alert"},
        {Outcome::garbled, "", "tls-garbage"},
        {Outcome::tls_error, "error:0A000126:SSL routines::unexpected eof while reading",
         "reset-in-handshake"},
        {Outcome::reset, "", "reset-in-handshake"},
        {Outcome::closed, "", "reset-in-handshake"},
    };
    for (const auto& row : rows) {
        INFO(std::string{row.words});
        auto evidence = ended(Phase::handshake, row.outcome);
        evidence.handshake = HandshakeFacts{};
        evidence.handshake->tls_error = row.words;
        const auto found = diagnosis_of(evidence);
        CHECK(to_string(found.id) == row.expected);
        CHECK(found.severity == Severity::critical);
        // "Not MTU" is an answer worth giving.
        CHECK(std::count(found.ruled_out.begin(), found.ruled_out.end(), "pmtu-black-hole") == 1);
    }
}

TEST_CASE("a handshake failure after the server chose a cipher is about something else") {
    auto evidence = ended(Phase::handshake, Outcome::tls_alert);
    evidence.handshake = HandshakeFacts{};
    evidence.handshake->tls_error = "sslv3 alert handshake failure";
    evidence.handshake->cipher = "ECDHE-RSA-AES256-GCM-SHA384";
    CHECK(to_string(diagnosis_of(evidence).id) == "tls-alert");
}

TEST_CASE("an end right after the handshake is told from one in it") {
    const auto found = diagnosis_of(ended(Phase::ehlo_after_tls, Outcome::reset));
    CHECK(found.id == DiagnosisId::reset_in_handshake);
    CHECK(found.summary.find("right after the TLS handshake") != std::string::npos);
    CHECK(diagnosis_of(ended(Phase::ehlo_after_tls, Outcome::timed_out)).id ==
          DiagnosisId::greeting_timeout);
    CHECK(diagnosis_of(ended(Phase::ehlo_after_tls, Outcome::rejected, "421 later")).severity ==
          Severity::warning);
}

TEST_CASE("a stall that the server ended is still judged by its packets") {
    auto first = gap(1500);
    first.outcome = Outcome::reset;
    CHECK(diagnosis_of(conversation({first})).id == DiagnosisId::reset_in_handshake);
    CHECK(diagnosis_of(conversation({first, gap(1420), pass(1400)})).id ==
          DiagnosisId::pmtu_black_hole);
}

TEST_CASE("what a single protocol version does is told as a fact") {
    auto evidence = ended(Phase::handshake, Outcome::reset);
    CHECK(diagnosis_of(evidence).summary.find("Offered alone") == std::string::npos);
    evidence.protocol_trials = {{"TLSv1.2", Outcome::ok, ""}, {"TLSv1.3", Outcome::reset, ""}};
    const auto one = diagnosis_of(evidence);
    CHECK(one.id == DiagnosisId::reset_in_handshake);
    CHECK(one.summary.find("Offered alone, TLSv1.2 completes, TLSv1.3 fails (reset)") !=
          std::string::npos);
    CHECK(one.summary.find("the offer of both") != std::string::npos);
    auto alert = ended(Phase::handshake, Outcome::tls_alert);
    alert.handshake = HandshakeFacts{};
    alert.handshake->tls_error = "tlsv1 alert protocol version";
    alert.protocol_trials = {{"TLSv1.2", Outcome::tls_alert, "tlsv1 alert protocol version"},
                             {"TLSv1.3", Outcome::tls_alert, "tlsv1 alert protocol version"}};
    const auto none = diagnosis_of(alert);
    CHECK(none.id == DiagnosisId::tls_protocol_mismatch);
    CHECK(none.summary.find("TLSv1.3 fails (tlsv1 alert protocol version)") != std::string::npos);
    CHECK(none.summary.find("the offer of both") == std::string::npos);
}

TEST_CASE("a session that resumes where handshakes stall explains why the fault comes and goes") {
    auto evidence = conversation({gap(1500), gap(1500), gap(1500), pass(1400), pass(1400)});
    CHECK(diagnose(evidence, TlsLevel::may).notes.empty());
    evidence.handshake->resumes = true;
    const auto verdict = diagnose(evidence, TlsLevel::may);
    CHECK(verdict.diagnosis.id == DiagnosisId::pmtu_black_hole);
    REQUIRE(verdict.notes.size() == 1);
    CHECK(verdict.notes.front().id == "resumption-passes");
    auto healthy = conversation({pass(1500)});
    healthy.handshake->resumes = true;
    CHECK(diagnose(healthy, TlsLevel::may).notes.empty());
}
