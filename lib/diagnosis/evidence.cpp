// SPDX-License-Identifier: Apache-2.0
#include "lib/diagnosis/evidence.hpp"

#include "lib/diagnosis/names.hpp"

namespace postfathom {
namespace {

constexpr NameTable<Phase, 8> phase_names{{
    {Phase::resolve, "resolve"},
    {Phase::connect, "connect"},
    {Phase::greeting, "greeting"},
    {Phase::ehlo, "ehlo"},
    {Phase::starttls, "starttls"},
    {Phase::handshake, "handshake"},
    {Phase::ehlo_after_tls, "ehlo-after-tls"},
    {Phase::quit, "quit"},
}};

constexpr NameTable<Outcome, 15> outcome_names{{
    {Outcome::ok, "ok"},
    {Outcome::timed_out, "timed-out"},
    {Outcome::refused, "refused"},
    {Outcome::unreachable, "unreachable"},
    {Outcome::no_route, "no-route"},
    {Outcome::reset, "reset"},
    {Outcome::closed, "closed"},
    {Outcome::rejected, "rejected"},
    {Outcome::not_offered, "not-offered"},
    {Outcome::garbled, "garbled"},
    {Outcome::tls_alert, "tls-alert"},
    {Outcome::tls_error, "tls-error"},
    {Outcome::name_error, "name-error"},
    {Outcome::temporary_name_error, "temporary-name-error"},
    {Outcome::cancelled, "cancelled"},
}};

constexpr NameTable<ProtocolFault, 4> protocol_fault_names{{
    {ProtocolFault::none, "none"},
    {ProtocolFault::other_protocol, "other-protocol"},
    {ProtocolFault::endless_reply, "endless-reply"},
    {ProtocolFault::clear_text_before_tls, "clear-text-before-tls"},
}};

constexpr NameTable<StallShape, 7> stall_names{{
    {StallShape::none, "no-stall"},
    {StallShape::gap, "gap"},
    {StallShape::lost_reply, "lost-reply"},
    {StallShape::silent_acked, "silent-acked"},
    {StallShape::hello_unacked, "hello-unacked"},
    {StallShape::window_closed, "window-closed"},
    {StallShape::unfinished, "unfinished"},
}};

constexpr NameTable<FlightShape, 5> flight_names{{
    {FlightShape::complete, "complete"},
    {FlightShape::hole, "hole"},
    {FlightShape::scattered, "scattered"},
    {FlightShape::shrunk, "shrunk"},
    {FlightShape::unjudged, "unjudged"},
}};

constexpr NameTable<QuestionKind, 3> question_names{{
    {QuestionKind::client_hello, "client-hello"},
    {QuestionKind::noop, "noop"},
    {QuestionKind::rset, "rset"},
}};

constexpr NameTable<DatagramOutcome, 4> datagram_names{{
    {DatagramOutcome::passed, "passed"},
    {DatagramOutcome::too_big, "too-big"},
    {DatagramOutcome::silent, "silent"},
    {DatagramOutcome::unusable, "unusable"},
}};

}  // namespace

std::string_view to_string(Phase phase) { return name_in(phase_names, phase); }
std::optional<Phase> parse_phase(std::string_view text) { return value_in(phase_names, text); }

std::string_view in_words(Phase phase, Service service) {
    if (!speaks_imap(service)) return to_string(phase);
    switch (phase) {
        case Phase::ehlo:
            return "capability";
        case Phase::ehlo_after_tls:
            return "capability-after-tls";
        case Phase::quit:
            return "logout";
        default:
            return to_string(phase);
    }
}

std::string_view to_string(ProtocolFault fault) { return name_in(protocol_fault_names, fault); }

std::string_view to_string(Outcome outcome) { return name_in(outcome_names, outcome); }
std::optional<Outcome> parse_outcome(std::string_view text) {
    return value_in(outcome_names, text);
}

std::string_view to_string(StallShape shape) { return name_in(stall_names, shape); }
std::string_view to_string(FlightShape shape) { return name_in(flight_names, shape); }
std::string_view to_string(QuestionKind kind) { return name_in(question_names, kind); }
std::string_view to_string(DatagramOutcome outcome) { return name_in(datagram_names, outcome); }

}  // namespace postfathom
