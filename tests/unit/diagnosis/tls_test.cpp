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
         "tls-alert"},
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
