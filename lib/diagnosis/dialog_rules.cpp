// SPDX-License-Identifier: Apache-2.0
// Conversations that end before TLS begins: name, connection, greeting, EHLO, STARTTLS.
#include <fmt/core.h>

#include <algorithm>

#include "lib/base/text.hpp"
#include "lib/diagnosis/rules.hpp"

namespace postfathom::rules {
namespace {

constexpr std::size_t quoted_reply = 120;

std::string quoted(const Evidence& evidence) {
    return evidence.reply.empty() ? std::string{"no reply text"}
                                  : fmt::format("\"{}\"", printable(evidence.reply, quoted_reply));
}

std::string_view protocol(const Evidence& evidence) {
    return speaks_imap(evidence.endpoint.service) ? "IMAP" : "SMTP";
}

std::string_view phase_in_words(const Evidence& evidence) {
    return in_words(evidence.reached, evidence.endpoint.service);
}

// What we asked for when it ended.
std::string_view question(const Evidence& evidence) {
    switch (evidence.reached) {
        case Phase::ehlo:
        case Phase::ehlo_after_tls:
            return speaks_imap(evidence.endpoint.service) ? "CAPABILITY" : "EHLO";
        case Phase::starttls:
            return "STARTTLS";
        default:
            return "";
    }
}

std::string port_in_words(const Evidence& evidence) {
    return fmt::format("port {}", evidence.endpoint.port);
}

std::string waited(const Evidence& evidence) {
    for (const auto& timing : evidence.timings)
        if (timing.phase == evidence.reached && timing.seconds > 0)
            return fmt::format(" within {:.0f} s{}", timing.seconds,
                               evidence.silent_attempts > 1 ? ", twice" : "");
    return "";
}

// What one silent connection is worth, when all that were made were silent.
double repeated(double confidence, const Evidence& evidence) {
    if (evidence.silent_attempts < 2) return confidence;
    return std::min(1 - (1 - confidence) * (1 - confidence), confidence_cap);
}

Diagnosis name_fault(const Evidence& evidence) {
    const auto name = printable(evidence.endpoint.name, quoted_reply);
    if (evidence.outcome == Outcome::name_error)
        return stated(
            DiagnosisId::name_error, Severity::critical,
            fmt::format(
                "No server can be found: {} does not exist, has no address, or takes no mail.",
                name.empty() ? "the name" : name),
            {"unreachable", "pmtu-black-hole"});
    if (evidence.outcome == Outcome::no_route)
        return stated(DiagnosisId::no_route, Severity::critical,
                      "There is no address of a family this host can use.", {"pmtu-black-hole"});
    // Our resolver's silence is no statement about the destination.
    return unsettled("The name could not be looked up.",
                     "a working DNS resolver; ask again with `postfathom probe`");
}

Diagnosis connect_fault(const Evidence& evidence) {
    switch (evidence.outcome) {
        case Outcome::refused:
        case Outcome::reset:
            return stated(
                DiagnosisId::refused, Severity::critical,
                fmt::format(
                    "The connection to {} was refused: nothing listens there, or a firewall "
                    "says no.",
                    port_in_words(evidence)),
                {"unreachable", "no-route", "pmtu-black-hole"});
        case Outcome::unreachable:
            return stated(DiagnosisId::unreachable, Severity::critical,
                          "The network reports that the server cannot be reached.",
                          {"refused", "pmtu-black-hole"});
        case Outcome::no_route:
            return stated(DiagnosisId::no_route, Severity::critical,
                          "This host has no route to the server's address.",
                          {"refused", "pmtu-black-hole"});
        case Outcome::timed_out: {
            auto silent = stated(
                DiagnosisId::unreachable, Severity::critical,
                fmt::format("No answer to the connection requests to {}{}. The packets are small: "
                            "their size is not the cause.",
                            port_in_words(evidence), waited(evidence)),
                {"refused", "pmtu-black-hole"});
            // Four requests in 10 s: at 30 % loss each way all fail with probability 0.07.
            silent.confidence = repeated(0.93, evidence);
            return silent;
        }
        default:
            return unsettled(
                fmt::format("The connection was not made ({}).", to_string(evidence.outcome)),
                "another probe");
    }
}

Diagnosis refused_to_talk(const Evidence& evidence, std::string what) {
    // 4xx, 421 and BYE ask us to come again (RFC 5321 section 4.2.1); it is no lasting fault.
    const bool for_now = evidence.outcome == Outcome::rejected &&
                         (evidence.dialog.told_to_go || evidence.reply.starts_with('4'));
    return stated(DiagnosisId::greeting_rejected, for_now ? Severity::warning : Severity::critical,
                  std::move(what),
                  {"unreachable", "refused", "greeting-timeout", "pmtu-black-hole"});
}

Diagnosis reset_before_tls(const Evidence& evidence) {
    return stated(DiagnosisId::reset_in_handshake, Severity::critical,
                  fmt::format("The server {} the connection in phase {}.",
                              evidence.outcome == Outcome::reset ? "reset" : "closed",
                              phase_in_words(evidence)),
                  {"peer-stall", "unreachable"});
}

// Nothing came in time, or something that does not come to an end.
Diagnosis no_answer(const Evidence& evidence, std::string_view opened) {
    const auto asked = question(evidence);
    const auto begun = evidence.dialog.unfinished_bytes;
    const auto what = asked.empty() ? std::string{begun ? "the greeting" : "no greeting comes"}
                      : begun       ? fmt::format("the answer to {}", asked)
                                    : fmt::format("{} is not answered", asked);
    const auto end = begun ? fmt::format(" does not come to an end: {} bytes came", begun) : "";
    auto silent = stated(DiagnosisId::greeting_timeout, Severity::critical,
                         fmt::format("{}, but {}{}{}.", opened, what, end, waited(evidence)),
                         {"unreachable", "refused"});
    silent.confidence = repeated(0.95, evidence);
    return silent;
}

Diagnosis not_understood(const Evidence& evidence) {
    const auto place = port_in_words(evidence);
    if (evidence.dialog.fault == ProtocolFault::endless_reply)
        return refused_to_talk(
            evidence, fmt::format("What answers on {} talks without end; it was left in phase {}.",
                                  place, phase_in_words(evidence)));
    return refused_to_talk(evidence, fmt::format("What answers on {} does not speak {}: {}.", place,
                                                 protocol(evidence), quoted(evidence)));
}

Diagnosis greeting_fault(const Evidence& evidence) {
    switch (evidence.outcome) {
        case Outcome::timed_out:
            return no_answer(evidence, "The connection opens");
        case Outcome::rejected:
            return refused_to_talk(
                evidence, fmt::format("The server refuses to talk to us: {}.", quoted(evidence)));
        case Outcome::garbled:
            return not_understood(evidence);
        case Outcome::closed:
        case Outcome::reset:
            if (evidence.reached == Phase::greeting)
                return refused_to_talk(
                    evidence, "The server takes the connection and ends it without a greeting.");
            return reset_before_tls(evidence);
        default:
            return unsettled(fmt::format("The conversation ended in phase {} ({}).",
                                         phase_in_words(evidence), to_string(evidence.outcome)),
                             "another probe");
    }
}

// What the loss of STARTTLS does depends on the floor alone.
std::string effect_of_no_tls(const Evidence& evidence, TlsLevel floor) {
    if (speaks_imap(evidence.endpoint.service))
        return "; a client that does not insist on TLS talks to it in CLEAR TEXT";
    if (floor >= TlsLevel::encrypt)
        return fmt::format("; at level {} mail waits", to_string(floor));
    return "; mail to it goes in CLEAR TEXT";
}

// How we know that STARTTLS was there and somebody took it away; empty: we do not.
std::string how_stripped(const Evidence& evidence) {
    const auto& dialog = evidence.dialog;
    if (!dialog.crossed_out.empty())
        return fmt::format(
            "the answer to EHLO has the keyword {} in its place, which is how a firewall that "
            "inspects SMTP crosses it out",
            printable(dialog.crossed_out, 64));
    if (evidence.outcome != Outcome::not_offered) return "";
    if (dialog.starttls_in_greeting)
        return "the greeting lists it and the answer to CAPABILITY does not";
    if (evidence.starttls_offered_at)
        return fmt::format("the same server offers it at {}",
                           evidence.starttls_offered_at->to_string());
    if (evidence.starttls_offered_before) return "this server offered it to an earlier probe";
    return "";
}

Diagnosis starttls_missing(const Evidence& evidence, TlsLevel floor) {
    const auto effect = effect_of_no_tls(evidence, floor);
    if (const auto how = how_stripped(evidence); !how.empty())
        return stated(DiagnosisId::starttls_stripped, Severity::critical,
                      fmt::format("STARTTLS is taken out of the conversation, by something on the "
                                  "path or by a change of the server: {}{}.",
                                  how, effect),
                      {"starttls-missing", "pmtu-black-hole", "peer-stall", "greeting-timeout"});
    const auto what =
        evidence.dialog.logged_in_by_greeting
            ? std::string{"The server greets us as logged in (PREAUTH), after which STARTTLS is "
                          "not possible; a greeting changed on the path looks the same"}
        : evidence.outcome == Outcome::not_offered
            ? std::string{"The server does not offer STARTTLS"}
            : fmt::format("The server offers STARTTLS and then refuses it ({})", quoted(evidence));
    return stated(DiagnosisId::starttls_missing,
                  floor >= TlsLevel::encrypt ? Severity::critical : Severity::warning,
                  what + effect + ".", {"pmtu-black-hole", "peer-stall", "greeting-timeout"});
}

Diagnosis injected(const Evidence& evidence) {
    return stated(DiagnosisId::tls_garbage, Severity::critical,
                  fmt::format("Bytes in clear text came behind the reply to STARTTLS, before TLS "
                              "began: somebody on the path may be injecting commands, or the "
                              "server is broken. They were refused ({}).",
                              quoted(evidence)),
                  {"pmtu-black-hole", "peer-stall", "starttls-missing"});
}

Diagnosis starttls_fault(const Evidence& evidence, TlsLevel floor) {
    switch (evidence.outcome) {
        case Outcome::rejected:
            if (evidence.dialog.told_to_go)
                return refused_to_talk(
                    evidence,
                    fmt::format("The server ends the conversation at STARTTLS and asks to come "
                                "again later: {}.",
                                quoted(evidence)));
            return starttls_missing(evidence, floor);
        case Outcome::not_offered:
            return starttls_missing(evidence, floor);
        case Outcome::reset:
        case Outcome::closed:
            return reset_before_tls(evidence);
        case Outcome::garbled:
            if (evidence.dialog.fault == ProtocolFault::clear_text_before_tls)
                return injected(evidence);
            if (evidence.dialog.fault == ProtocolFault::endless_reply)
                return not_understood(evidence);
            return refused_to_talk(
                evidence,
                fmt::format("The reply to STARTTLS makes no sense: {}.", quoted(evidence)));
        case Outcome::timed_out:
            if (evidence.dialog.unfinished_bytes > 0)
                return no_answer(evidence, "The server talks to us");
            [[fallthrough]];
        default:
            return unsettled(
                fmt::format("The server took {} but gave no answer to STARTTLS{}.",
                            speaks_imap(evidence.endpoint.service) ? "CAPABILITY" : "EHLO",
                            waited(evidence)),
                "another probe, and the server's own log");
    }
}

// The server greeted us, so small packets pass both ways; then one of ours had to be repeated,
// again and again. A server that hangs still acknowledges.
Finding lost_before_tls(const Evidence& evidence) {
    const bool greeted = evidence.reached == Phase::ehlo || evidence.reached == Phase::starttls;
    if (!greeted || evidence.outcome != Outcome::timed_out || evidence.attempts.empty())
        return std::nullopt;
    const auto repeats = evidence.attempts.front().counters.retransmits_total;
    constexpr std::uint32_t several = 2;
    if (repeats < several) return std::nullopt;
    auto loss = stated(DiagnosisId::lossy_path, Severity::warning,
                       fmt::format("Small packets are lost: after the greeting, ours had to be "
                                   "repeated {} times, and no answer came{}.",
                                   repeats, waited(evidence)),
                       {"pmtu-black-hole", "refused"});
    // One connection; the server's host may also have gone in the middle of it.
    loss.confidence = 0.7;
    return loss;
}

}  // namespace

Finding before_tls(const Evidence& evidence, TlsLevel floor) {
    if (evidence.reached >= Phase::handshake) return std::nullopt;
    if (auto loss = lost_before_tls(evidence)) return loss;
    if (evidence.outcome == Outcome::not_offered) return starttls_missing(evidence, floor);
    switch (evidence.reached) {
        case Phase::resolve:
            return name_fault(evidence);
        case Phase::connect:
            return connect_fault(evidence);
        case Phase::greeting:
        case Phase::ehlo:
            return greeting_fault(evidence);
        default:
            return starttls_fault(evidence, floor);
    }
}

Finding after_tls(const Evidence& evidence) {
    if (evidence.reached != Phase::ehlo_after_tls) return std::nullopt;
    switch (evidence.outcome) {
        case Outcome::timed_out:
            return no_answer(evidence, "The TLS handshake completes");
        case Outcome::rejected:
            return refused_to_talk(
                evidence, fmt::format("After the TLS handshake the server refuses to go on: {}.",
                                      quoted(evidence)));
        case Outcome::garbled:
            if (evidence.dialog.fault == ProtocolFault::none) return std::nullopt;
            return not_understood(evidence);
        default:
            return std::nullopt;
    }
}

std::vector<Note> dialog_notes(const Evidence& evidence) {
    std::vector<Note> notes;
    const auto& dialog = evidence.dialog;
    if (dialog.control_characters > 0)
        notes.push_back(
            {"control-characters",
             fmt::format("The server's replies contain {} control character{}, which "
                         "no reply may have; they are shown as \"?\"",
                         dialog.control_characters, dialog.control_characters == 1 ? "" : "s")});
    if (!dialog.crossed_out.empty() && evidence.starttls_offered)
        notes.push_back({"keyword-crossed-out",
                         fmt::format("A firewall that inspects SMTP crosses out EHLO keywords on "
                                     "the way: {}",
                                     printable(dialog.crossed_out, 64))});
    const bool silent =
        evidence.reached <= Phase::greeting && evidence.outcome == Outcome::timed_out;
    if (evidence.silent_attempts == 1 && !silent)
        notes.push_back({"silent-at-first",
                         "A first connection stayed without a word for as long as we waited, and "
                         "this one did not: packets are lost, or the server is overloaded."});
    return notes;
}

}  // namespace postfathom::rules
