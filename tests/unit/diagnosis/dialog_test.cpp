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

namespace {

Evidence imap_ended(Phase reached, Outcome outcome, const std::string& reply = "") {
    auto evidence = ended(reached, outcome, reply);
    evidence.endpoint.port = 143;
    evidence.endpoint.service = Service::imap;
    return evidence;
}

bool says(const Diagnosis& diagnosis, std::string_view text) {
    return diagnosis.summary.find(text) != std::string::npos;
}

}  // namespace

TEST_CASE("clear text behind the reply to STARTTLS is called what it is") {
    for (auto evidence : {ended(Phase::starttls, Outcome::garbled, "250 x"),
                          imap_ended(Phase::starttls, Outcome::garbled, "* OK")}) {
        evidence.dialog.fault = ProtocolFault::clear_text_before_tls;
        const auto found = diagnosis_of(evidence);
        CHECK(found.id == DiagnosisId::tls_garbage);
        CHECK(found.severity == Severity::critical);
        CHECK(says(found, "clear text came behind the reply to STARTTLS"));
        CHECK(says(found, "injecting"));
        CHECK(says(found, evidence.reply));
    }
}

TEST_CASE("STARTTLS that was there or is crossed out is stripped, else missing") {
    const auto gone = ended(Phase::starttls, Outcome::not_offered);
    const auto imap_gone = imap_ended(Phase::starttls, Outcome::not_offered);
    CHECK(diagnosis_of(gone).id == DiagnosisId::starttls_missing);
    CHECK(diagnosis_of(imap_gone).id == DiagnosisId::starttls_missing);

    auto crossed_out = gone;
    crossed_out.dialog.crossed_out = "XXXXXXXA";
    auto command_crossed_out = ended(Phase::starttls, Outcome::rejected, "500 XXXXXXXX unknown");
    command_crossed_out.dialog.crossed_out = "XXXB";
    auto before = gone;
    before.starttls_offered_before = true;
    auto elsewhere = gone;
    elsewhere.starttls_offered_at = address("2001:db8::25");
    auto in_greeting = imap_gone;
    in_greeting.dialog.starttls_in_greeting = true;
    const std::pair<Evidence, const char*> stripped[] = {
        {crossed_out, "XXXXXXXA"},   {command_crossed_out, "XXXB"},   {before, "earlier probe"},
        {elsewhere, "2001:db8::25"}, {in_greeting, "greeting lists"},
    };
    for (const auto& [evidence, words] : stripped) {
        const std::string said = words;  // clang 14 captures no structured binding
        CAPTURE(said);
        const auto found = diagnosis_of(evidence);
        CHECK(found.id == DiagnosisId::starttls_stripped);
        CHECK(found.severity == Severity::critical);
        CHECK(says(found, words));
        CHECK(says(found, "CLEAR TEXT"));
    }
    CHECK(says(diagnosis_of(before, TlsLevel::encrypt), "mail waits"));

    // A refusal is the server's own word unless something crosses words out.
    auto refused = ended(Phase::starttls, Outcome::rejected, "454 4.7.0 TLS not available");
    refused.starttls_offered_before = true;
    CHECK(diagnosis_of(refused).id == DiagnosisId::starttls_missing);
    auto logged_in = imap_gone;
    logged_in.dialog.logged_in_by_greeting = true;
    CHECK(diagnosis_of(logged_in).id == DiagnosisId::starttls_missing);
    CHECK(says(diagnosis_of(logged_in), "PREAUTH"));
}

TEST_CASE("a server that drips, floods or leaves is told from one that is silent") {
    auto drip = ended(Phase::greeting, Outcome::timed_out);
    drip.timings = {{Phase::greeting, 30.0}};
    CHECK(says(diagnosis_of(drip), "no greeting comes within 30 s"));
    auto twice = drip;
    twice.silent_attempts = 2;
    CHECK(says(diagnosis_of(twice), "no greeting comes within 30 s, twice"));
    CHECK(diagnosis_of(twice).confidence > diagnosis_of(drip).confidence);
    CHECK(diagnosis_of(twice).confidence <= 0.99);
    drip.dialog.unfinished_bytes = 12;
    CHECK(diagnosis_of(drip).id == DiagnosisId::greeting_timeout);
    CHECK(says(diagnosis_of(drip), "the greeting does not come to an end: 12 bytes came"));
    auto in_starttls = ended(Phase::starttls, Outcome::timed_out);
    CHECK(diagnosis_of(in_starttls).id == DiagnosisId::inconclusive);
    in_starttls.dialog.unfinished_bytes = 5;
    CHECK(says(diagnosis_of(in_starttls), "the answer to STARTTLS does not come to an end"));
    auto inside = ended(Phase::ehlo_after_tls, Outcome::timed_out);
    CHECK(diagnosis_of(inside).id == DiagnosisId::greeting_timeout);
    CHECK(says(diagnosis_of(inside), "The TLS handshake completes, but EHLO is not answered"));

    auto flood = ended(Phase::ehlo, Outcome::garbled, "250-more");
    flood.dialog.fault = ProtocolFault::endless_reply;
    CHECK(diagnosis_of(flood).id == DiagnosisId::greeting_rejected);
    CHECK(says(diagnosis_of(flood), "talks without end"));
    flood.reached = Phase::ehlo_after_tls;
    CHECK(says(diagnosis_of(flood), "talks without end"));

    auto leaves = ended(Phase::starttls, Outcome::rejected, "421 4.3.2 shutting down");
    leaves.dialog.told_to_go = true;
    CHECK(diagnosis_of(leaves).id == DiagnosisId::greeting_rejected);
    CHECK(diagnosis_of(leaves).severity == Severity::warning);
    auto bye = imap_ended(Phase::greeting, Outcome::rejected, "* BYE too many");
    bye.dialog.told_to_go = true;
    CHECK(diagnosis_of(bye).severity == Severity::warning);
}

TEST_CASE("our packets repeated after the greeting are loss, and no silent server") {
    const auto with_repeats = [](Phase reached, std::uint32_t repeats) {
        auto evidence = ended(reached, Outcome::timed_out);
        evidence.attempts.front().counters.retransmits_total = repeats;
        return diagnosis_of(evidence);
    };
    const auto loss = with_repeats(Phase::ehlo, 4);
    CHECK(to_string(loss.id) == "lossy-path");
    CHECK(loss.severity == Severity::warning);
    CHECK(loss.confidence < 0.9);
    CHECK(to_string(with_repeats(Phase::starttls, 2).id) == "lossy-path");
    // One repeat is no pattern, and before the greeting nothing shows that small packets pass.
    CHECK(to_string(with_repeats(Phase::ehlo, 1).id) == "greeting-timeout");
    CHECK(to_string(with_repeats(Phase::greeting, 4).id) == "greeting-timeout");
}

TEST_CASE("IMAP is called IMAP") {
    CHECK(says(diagnosis_of(imap_ended(Phase::greeting, Outcome::garbled, "220 x")), "speak IMAP"));
    CHECK(says(diagnosis_of(imap_ended(Phase::ehlo, Outcome::timed_out)), "CAPABILITY"));
    CHECK(says(diagnosis_of(imap_ended(Phase::ehlo, Outcome::closed)), "phase capability"));
    const auto missing = diagnosis_of(imap_ended(Phase::starttls, Outcome::not_offered));
    CHECK_FALSE(says(missing, "mail to it"));
    auto weak = imap_ended(Phase::quit, Outcome::ok);
    weak.handshake = good_handshake();
    weak.handshake->certificate->name_matches = false;
    CHECK_FALSE(says(diagnosis_of(weak), "mail waits"));
}

TEST_CASE("control characters and crossed-out keywords are noted") {
    auto evidence = conversation({pass(1500)});
    CHECK(diagnose(evidence, TlsLevel::may).notes.empty());
    evidence.dialog.control_characters = 3;
    evidence.dialog.crossed_out = "XXXB";
    const auto verdict = diagnose(evidence, TlsLevel::may);
    CHECK(verdict.diagnosis.id == DiagnosisId::healthy);
    REQUIRE(verdict.notes.size() == 2);
    CHECK(verdict.notes[0].id == "control-characters");
    CHECK(verdict.notes[1].text.find("XXXB") != std::string::npos);
}
