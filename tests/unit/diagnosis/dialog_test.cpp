// SPDX-License-Identifier: Apache-2.0
// Conversations that end before TLS begins.
#include <doctest/doctest.h>

#include "tests/unit/diagnosis/evidence_builder.hpp"

using namespace postfathom;
using namespace postfathom::test;

TEST_CASE("how a conversation ended before TLS says what is wrong") {
    struct Row {
        Phase reached;
        Outcome outcome;
        const char* reply;
        const char* expected;
        Severity severity;
    };
    constexpr auto critical = Severity::critical;
    const Row rows[] = {
        {Phase::resolve, Outcome::name_error, "", "name-error", critical},
        {Phase::resolve, Outcome::temporary_name_error, "", "inconclusive", Severity::unknown},
        {Phase::resolve, Outcome::timed_out, "", "inconclusive", Severity::unknown},
        {Phase::resolve, Outcome::no_route, "", "no-route", critical},
        {Phase::connect, Outcome::refused, "", "refused", critical},
        {Phase::connect, Outcome::reset, "", "refused", critical},
        {Phase::connect, Outcome::unreachable, "", "unreachable", critical},
        {Phase::connect, Outcome::timed_out, "", "unreachable", critical},
        {Phase::connect, Outcome::no_route, "", "no-route", critical},
        {Phase::connect, Outcome::cancelled, "", "inconclusive", Severity::unknown},
        {Phase::greeting, Outcome::timed_out, "", "greeting-timeout", critical},
        {Phase::ehlo, Outcome::timed_out, "", "greeting-timeout", critical},
        {Phase::greeting, Outcome::rejected, "554 5.7.1 no", "greeting-rejected", critical},
        {Phase::greeting, Outcome::rejected, "421 4.3.2 later", "greeting-rejected",
         Severity::warning},
        {Phase::greeting, Outcome::closed, "", "greeting-rejected", critical},
        {Phase::greeting, Outcome::reset, "", "greeting-rejected", critical},
        {Phase::greeting, Outcome::garbled, "SSH-2.0-x", "greeting-rejected", critical},
        {Phase::ehlo, Outcome::rejected, "550 no", "greeting-rejected", critical},
        {Phase::ehlo, Outcome::closed, "", "reset-in-handshake", critical},
        {Phase::ehlo, Outcome::not_offered, "", "starttls-missing", Severity::warning},
        {Phase::starttls, Outcome::not_offered, "", "starttls-missing", Severity::warning},
        {Phase::starttls, Outcome::rejected, "454 4.7.0 TLS not available", "starttls-missing",
         Severity::warning},
        {Phase::starttls, Outcome::reset, "", "reset-in-handshake", critical},
        {Phase::starttls, Outcome::timed_out, "", "inconclusive", Severity::unknown},
        {Phase::starttls, Outcome::cancelled, "", "inconclusive", Severity::unknown},
    };
    for (const auto& row : rows) {
        CAPTURE(to_string(row.reached));
        CAPTURE(to_string(row.outcome));
        const auto verdict = diagnose(ended(row.reached, row.outcome, row.reply), TlsLevel::may);
        CHECK(to_string(verdict.diagnosis.id) == row.expected);
        CHECK(verdict.diagnosis.severity == row.severity);
        CHECK(verdict.findings.size() == 1);
        if (row.severity == Severity::unknown) CHECK_FALSE(verdict.diagnosis.settles.empty());
    }
}

TEST_CASE("a server without STARTTLS stops mail where TLS is demanded, else it goes in clear") {
    const auto evidence = ended(Phase::starttls, Outcome::not_offered);
    const auto opportunistic = diagnosis_of(evidence, TlsLevel::may);
    CHECK(opportunistic.severity == Severity::warning);
    CHECK(opportunistic.summary.find("CLEAR TEXT") != std::string::npos);
    for (const auto level : {TlsLevel::encrypt, TlsLevel::dane, TlsLevel::secure}) {
        const auto demanded = diagnosis_of(evidence, level);
        CHECK(demanded.severity == Severity::critical);
        CHECK(demanded.summary.find("mail waits") != std::string::npos);
    }
}

TEST_CASE("what a server says is quoted safely") {
    const auto found =
        diagnosis_of(ended(Phase::greeting, Outcome::rejected, "554 \x1b[31mno\r\nX-Evil: 1\xff"));
    CHECK(found.summary.find("\"554 ?[31mno??X-Evil: 1?\"") != std::string::npos);
    const auto long_reply =
        diagnosis_of(ended(Phase::greeting, Outcome::rejected, std::string(5000, 'x')));
    CHECK(long_reply.summary.size() < 300);
}
