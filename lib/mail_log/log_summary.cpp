// SPDX-License-Identifier: Apache-2.0
#include "lib/mail_log/log_summary.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "lib/base/text.hpp"

namespace postfathom {

namespace {

constexpr std::size_t max_processes = 20'000;
constexpr std::size_t max_own_faults = 100;
constexpr std::string_view others = "(others)";

struct Name {
    FailureKind kind;
    std::string_view name;
};
constexpr Name names[] = {
    {FailureKind::connect, "connect"},
    {FailureKind::greeting, "greeting"},
    {FailureKind::ehlo, "EHLO"},
    {FailureKind::starttls, "STARTTLS"},
    {FailureKind::handshake_timeout, "handshake timed out"},
    {FailureKind::handshake_reset, "handshake cut off"},
    {FailureKind::handshake_error, "handshake refused"},
    {FailureKind::handshake, "handshake"},
    {FailureKind::certificate, "certificate"},
    {FailureKind::tls_missing, "TLS not offered"},
    {FailureKind::envelope, "MAIL, RCPT or DATA"},
    {FailureKind::body, "message body"},
    {FailureKind::end_of_data, "end of data"},
    {FailureKind::refused, "refused"},
    {FailureKind::own_side, "our own TLS tables"},
    {FailureKind::name, "name look-up"},
    {FailureKind::other, "other"},
};

// The words of smtp(8) for where it was (smtp_proto.c, xfer_states).
FailureKind kind_of_phase(std::string_view reason) {
    struct Phase {
        std::string_view words;
        FailureKind kind;
    };
    constexpr Phase phases[] = {
        {"receiving the initial server greeting", FailureKind::greeting},
        {"performing the ", FailureKind::ehlo},
        {"receiving the STARTTLS response", FailureKind::starttls},
        {"sending message body", FailureKind::body},
        {"sending end of data", FailureKind::end_of_data},
        {"sending MAIL FROM", FailureKind::envelope},
        {"sending RCPT TO", FailureKind::envelope},
        {"sending DATA command", FailureKind::envelope},
    };
    const auto* found = std::find_if(std::begin(phases), std::end(phases), [&](const Phase& phase) {
        return reason.find(phase.words) != reason.npos;
    });
    return found == std::end(phases) ? FailureKind::other : found->kind;
}

// Of "SSL_connect error to ...: REASON" (tls_client.c).
FailureKind kind_of_handshake(std::string_view reason) {
    if (reason == "Connection timed out") return FailureKind::handshake_timeout;
    if (reason == "Connection reset by peer" || reason == "lost connection")
        return FailureKind::handshake_reset;
    return FailureKind::handshake_error;
}

std::string name_of(const LoggedPeer& peer) {
    const auto port = peer.port.value_or(25);
    return peer.host.empty() || peer.host == "unknown"
               ? fmt::format("[{}]:{}", peer.address.to_string(), port)
               : fmt::format("[{}]:{}", peer.host, port);
}

std::uint64_t count(const DestinationSummary& destination,
                    std::initializer_list<FailureKind> kinds) {
    std::uint64_t sum = 0;
    for (const auto kind : kinds)
        if (const auto found = destination.failures.find(kind); found != destination.failures.end())
            sum += found->second;
    return sum;
}

// What the pattern of failures is known to go with. Never more than a suspicion: only a probe, with
// its control, tells.
std::string suspicion(const DestinationSummary& destination) {
    using enum FailureKind;
    const auto stalls = count(destination, {handshake_timeout});
    const auto bodies = count(destination, {body, end_of_data});
    if (stalls > 0 && bodies > 0)
        return "handshakes and messages stall: large packets may be lost in both directions, or "
               "the server hangs";
    if (stalls > 0)
        return "handshakes stall: the server's certificates, the first large packets, may not "
               "arrive (a path MTU black hole), or the server hangs";
    if (bodies > 0 && destination.delivered > 0)
        return "messages stall and others pass: large packets from here may be lost on the way (a "
               "path MTU black hole), or the server is slow to take them";
    if (bodies > 0)
        return "messages stall: large packets from here may be lost on the way, or the server is "
               "slow to take them";
    if (count(destination, {handshake_reset}) > 0)
        return "handshakes are cut off: a middlebox or the server ends them";
    if (count(destination, {handshake_error, handshake}) > 0)
        return "the server and this host do not agree on TLS, or something in between answers";
    if (count(destination, {certificate}) > 0) return "the certificate is not as required";
    if (count(destination, {tls_missing, starttls}) > 0)
        return "TLS is not offered or not begun: the server changed, or something strips it";
    if (count(destination, {greeting, ehlo, envelope}) > 0)
        return "the server is silent or slow, or requests are lost on the way";
    if (count(destination, {connect}) > 0)
        return "the server cannot be reached, or not at every address";
    return "";
}

bool worth_a_probe(const DestinationSummary& destination) {
    return !destination.suspected.empty() && destination.destination.starts_with('[');
}

}  // namespace

std::string_view to_string(FailureKind kind) {
    const auto* found = std::find_if(std::begin(names), std::end(names),
                                     [&](const Name& name) { return name.kind == kind; });
    return found == std::end(names) ? "other" : found->name;
}

FailureKind failure_kind(std::string_view reason) {
    // error(8) repeats what qmgr(8) was told when it gave the site up for a while.
    take(reason, "delivery temporarily suspended: ");
    if (reason.starts_with("client TLS configuration problem")) return FailureKind::own_side;
    if (reason.starts_with("Server certificate not")) return FailureKind::certificate;
    if (reason.starts_with("Host or domain name not found")) return FailureKind::name;
    const auto trouble = classify_reason(reason);
    if (!trouble)
        return reason.find(" said: ") != reason.npos ? FailureKind::refused : FailureKind::other;
    switch (trouble->kind) {
        case TroubleKind::connect_failed:
            return FailureKind::connect;
        case TroubleKind::conversation_timed_out:
        case TroubleKind::lost_connection:
            return kind_of_phase(reason);
        case TroubleKind::tls_not_offered:
            return FailureKind::tls_missing;
        case TroubleKind::refused_to_talk:
            return FailureKind::refused;
        case TroubleKind::certificate_error:
            return FailureKind::certificate;
        case TroubleKind::cannot_start_tls:
            return reason.find(" refused to start TLS: ") != reason.npos ? FailureKind::starttls
                                                                         : FailureKind::handshake;
        case TroubleKind::handshake_error:
            break;
    }
    return FailureKind::handshake;
}

DestinationSummary& LogSummary::destination(const std::string& name) {
    const bool known = destinations_.contains(name);
    const std::string key = known || destinations_.size() < most_ ? name : std::string(others);
    auto& found = destinations_[key];
    found.destination = key;
    return found;
}

ClientSummary& LogSummary::client(const IpAddress& address) {
    const auto name = address.to_string();
    const bool known = clients_.contains(name);
    const std::string key = known || clients_.size() < most_ ? name : std::string(others);
    auto& found = clients_[key];
    found.client = key;
    return found;
}

LogSummary::Process& LogSummary::process(const LineHead& head) {
    // Processes end without a word; what is forgotten costs the kind of a failure, no count.
    if (processes_.size() >= max_processes) processes_.clear();
    return processes_[fmt::format("{} {}", head.host, head.pid)];
}

void LogSummary::line(std::string_view line) {
    ++lines_;
    auto text = line.substr(0, max_log_line_bytes);
    auto head = take_head(text);
    if (!head) return;
    const bool delivers =
        head->program == "smtp" || head->program == "lmtp" || head->program == "error";
    if (delivers && head->pid != 0) {
        if (const auto parsed = parse_log_text(*head, text)) {
            ++understood_;
            delivery(*head, *parsed);
            return;
        }
    }
    if (const auto event = parse_server_text(std::move(*head), text)) {
        ++understood_;
        server(*event);
    }
}

void LogSummary::delivery(const LineHead& head, const LogLine& line) {
    auto& state = process(head);
    if (const auto* status_line = std::get_if<DeliveryStatus>(&line.event)) {
        if (line.program == "error")
            suspended(head, *status_line);
        else
            outcome(head, state, line.queue_id, *status_line);
    } else if (const auto* established = std::get_if<TlsEstablished>(&line.event)) {
        tells_tls_ = true;
        state.tls = established->peer;
        state.tls_fresh = true;
        state.failed.reset();
    } else if (const auto* trouble = std::get_if<Trouble>(&line.event)) {
        if (!trouble->peer) return;
        if (trouble->kind == TroubleKind::handshake_error)
            state.failed = Handshake{*trouble->peer, kind_of_handshake(trouble->reason)};
        if (trouble->kind == TroubleKind::certificate_error)
            state.failed = Handshake{*trouble->peer, FailureKind::certificate};
    }
}

// error(8) tells of recipients that were not tried: not an attempt.
void LogSummary::suspended(const LineHead& head, const DeliveryStatus& status) {
    if (!status.reason_peer) return;
    auto& found = destination(name_of(*status.reason_peer));
    ++found.suspended;
    found.last_failure = head.stamp;
}

FailureKind LogSummary::kind_of(const Process& process, const DeliveryStatus& status) {
    const auto kind = failure_kind(status.reason);
    // What the process said before of the handshake tells more.
    return kind == FailureKind::handshake && process.failed ? process.failed->kind : kind;
}

void LogSummary::outcome(const LineHead& head, Process& process, const std::string& queue_id,
                         const DeliveryStatus& status) {
    if (!process.tls_fresh && process.queue_id != queue_id) process.tls.reset();
    if (process.queue_id != queue_id) process.queue_id = queue_id;
    process.tls_fresh = false;
    // The server's name, where the line has one; else what the reason or the process spoke of.
    std::optional<LoggedPeer> peer = status.relay ? status.relay : status.reason_peer;
    if (!peer && process.failed) peer = process.failed->peer;
    const bool own = kind_of(process, status) == FailureKind::own_side;
    const auto name = peer && !own                       ? name_of(*peer)
                      : !status.recipient_domain.empty() ? status.recipient_domain
                                                         : std::string(others);
    if (status.status == "sent") {
        // local(8) and others log the same form; a program's name or a path is no server.
        if (!status.relay) return;
        auto& found = destination(name);
        ++found.delivered;
        found.last_success = head.stamp;
        const bool same = process.tls && process.tls->address == status.relay->address;
        if (!status.tls.empty()) tells_tls_ = true;
        if (status.tls.ends_with(":none"))
            ++found.delivered_clear;
        else if (same || !status.tls.empty() || status.reused)
            ++found.delivered_tls;
        else
            ++found.without_tls_line;
        process.failed.reset();
        return;
    }
    auto& found = destination(name);
    ++found.failed;
    ++found.failures[kind_of(process, status)];
    if (found.first_failure.empty()) found.first_failure = head.stamp;
    found.last_failure = head.stamp;
}

void LogSummary::server(const ServerEvent& event) {
    using Event = ServerEventKind;
    switch (event.kind) {
        case Event::own_tls_policy:
        case Event::own_table:
            if (own_faults_.contains(event.detail) || own_faults_.size() < max_own_faults)
                ++own_faults_[event.detail];
            return;
        case Event::accept_error:
        case Event::imap_handshake_failed:
            if (event.peer) ++client(event.peer->address).handshakes_failed;
            return;
        case Event::tls_from_client:
            if (event.peer) ++client(event.peer->address).with_tls;
            return;
        case Event::client_lost:
        case Event::client_timed_out:
            if (event.peer && (event.stage == "DATA" || event.stage == "BDAT"))
                ++client(event.peer->address).lost_in_data;
            return;
        default:  // tlsproxy(8)'s failures are in the status lines of smtp(8)
            return;
    }
}

std::vector<DestinationSummary> LogSummary::destinations() const {
    std::vector<DestinationSummary> result;
    for (const auto& [name, found] : destinations_) {
        auto summary = found;
        // A log that never tells of TLS does not say that there was none.
        if (tells_tls_) summary.delivered_clear += summary.without_tls_line;
        summary.suspected = suspicion(summary);
        if (worth_a_probe(summary))
            summary.probe = "postfathom probe " + shell_quoted(printable(name, 300));
        result.push_back(std::move(summary));
    }
    std::stable_sort(result.begin(), result.end(), [](const auto& a, const auto& b) {
        return a.failed + a.suspended > b.failed + b.suspended;
    });
    return result;
}

std::vector<ClientSummary> LogSummary::clients() const {
    std::vector<ClientSummary> result;
    for (const auto& [name, found] : clients_) {
        if (found.handshakes_failed + found.lost_in_data == 0) continue;
        auto summary = found;
        if (summary.handshakes_failed > 0 && summary.with_tls == 0)
            summary.suspected =
                "none of its handshakes completed: our certificates, large packets from here, may "
                "not arrive there, or it dislikes them";
        else if (summary.lost_in_data > 0)
            summary.suspected =
                "messages from there stop in the middle: large packets to us may be lost";
        result.push_back(std::move(summary));
    }
    std::stable_sort(result.begin(), result.end(), [](const auto& a, const auto& b) {
        return a.handshakes_failed + a.lost_in_data > b.handshakes_failed + b.lost_in_data;
    });
    return result;
}

}  // namespace postfathom
