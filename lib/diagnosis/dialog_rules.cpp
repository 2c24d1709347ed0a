// SPDX-License-Identifier: Apache-2.0
// Conversations that end before TLS begins: name, connection, greeting, EHLO, STARTTLS.
#include <fmt/core.h>

#include "lib/base/text.hpp"
#include "lib/diagnosis/rules.hpp"

namespace postfathom::rules {
namespace {

constexpr std::size_t quoted_reply = 120;

std::string quoted(const Evidence& evidence) {
    return evidence.reply.empty() ? std::string{"no reply text"}
                                  : fmt::format("\"{}\"", printable(evidence.reply, quoted_reply));
}

std::string port_in_words(const Evidence& evidence) {
    return fmt::format("port {}", evidence.endpoint.port);
}

std::string waited(const Evidence& evidence) {
    for (const auto& timing : evidence.timings)
        if (timing.phase == evidence.reached && timing.seconds > 0)
            return fmt::format(" within {:.0f} s", timing.seconds);
    return "";
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
            silent.confidence = 0.93;
            return silent;
        }
        default:
            return unsettled(
                fmt::format("The connection was not made ({}).", to_string(evidence.outcome)),
                "another probe");
    }
}

Diagnosis refused_to_talk(const Evidence& evidence, std::string what) {
    // 4xx and 421 ask us to come again (RFC 5321 section 4.2.1); it is no lasting fault.
    const bool for_now = evidence.outcome == Outcome::rejected && evidence.reply.starts_with('4');
    return stated(DiagnosisId::greeting_rejected, for_now ? Severity::warning : Severity::critical,
                  std::move(what),
                  {"unreachable", "refused", "greeting-timeout", "pmtu-black-hole"});
}

Diagnosis reset_before_tls(const Evidence& evidence) {
    return stated(DiagnosisId::reset_in_handshake, Severity::critical,
                  fmt::format("The server {} the connection in phase {}.",
                              evidence.outcome == Outcome::reset ? "reset" : "closed",
                              to_string(evidence.reached)),
                  {"peer-stall", "unreachable"});
}

Diagnosis greeting_fault(const Evidence& evidence) {
    switch (evidence.outcome) {
        case Outcome::timed_out: {
            const bool greeted = evidence.reached == Phase::ehlo;
            auto silent = stated(DiagnosisId::greeting_timeout, Severity::critical,
                                 fmt::format("The connection opens, but {}{}.",
                                             greeted ? "EHLO is not answered" : "no greeting comes",
                                             waited(evidence)),
                                 {"unreachable", "refused"});
            silent.confidence = 0.95;
            return silent;
        }
        case Outcome::rejected:
            return refused_to_talk(
                evidence, fmt::format("The server refuses to talk to us: {}.", quoted(evidence)));
        case Outcome::garbled:
            return refused_to_talk(
                evidence,
                fmt::format("What answers on {} does not speak {}: {}.", port_in_words(evidence),
                            to_string(evidence.endpoint.service), quoted(evidence)));
        case Outcome::closed:
        case Outcome::reset:
            if (evidence.reached == Phase::greeting)
                return refused_to_talk(
                    evidence, "The server takes the connection and ends it without a greeting.");
            return reset_before_tls(evidence);
        default:
            return unsettled(fmt::format("The conversation ended in phase {} ({}).",
                                         to_string(evidence.reached), to_string(evidence.outcome)),
                             "another probe");
    }
}

// What the loss of STARTTLS does to mail depends on the floor alone.
Diagnosis starttls_missing(const Evidence& evidence, TlsLevel floor) {
    const bool stops_mail = floor >= TlsLevel::encrypt;
    const auto what =
        evidence.outcome == Outcome::not_offered
            ? std::string{"The server does not offer STARTTLS"}
            : fmt::format("The server offers STARTTLS and then refuses it ({})", quoted(evidence));
    const auto effect = stops_mail ? fmt::format("; at level {} mail waits", to_string(floor))
                                   : std::string{"; mail to it goes in CLEAR TEXT"};
    return stated(DiagnosisId::starttls_missing,
                  stops_mail ? Severity::critical : Severity::warning, what + effect + ".",
                  {"pmtu-black-hole", "peer-stall", "greeting-timeout"});
}

Diagnosis starttls_fault(const Evidence& evidence, TlsLevel floor) {
    switch (evidence.outcome) {
        case Outcome::not_offered:
        case Outcome::rejected:
            return starttls_missing(evidence, floor);
        case Outcome::reset:
        case Outcome::closed:
            return reset_before_tls(evidence);
        case Outcome::garbled:
            return refused_to_talk(
                evidence,
                fmt::format("The reply to STARTTLS makes no sense: {}.", quoted(evidence)));
        default:
            return unsettled(fmt::format("The server took EHLO but gave no answer to STARTTLS{}.",
                                         waited(evidence)),
                             "another probe, and the server's own log");
    }
}

}  // namespace

Finding before_tls(const Evidence& evidence, TlsLevel floor) {
    if (evidence.reached >= Phase::handshake) return std::nullopt;
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

}  // namespace postfathom::rules
