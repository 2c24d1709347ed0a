// SPDX-License-Identifier: Apache-2.0
// What a past log says of each destination, counted. A log alone proves nothing about a path:
// causes are suspected, and what to probe is said. Pure; memory is bounded by the number of
// destinations and processes.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "lib/mail_log/lines.hpp"
#include "lib/mail_log/server_lines.hpp"

namespace postfathom {

// How an attempt to deliver failed, as far as Postfix says.
enum class FailureKind {
    connect,            // no connection: refused, unreachable, timed out
    greeting,           // nothing, or the end, before the greeting
    ehlo,               // before or after TLS: Postfix does not say which
    starttls,           // no answer to STARTTLS, or none that starts TLS
    handshake_timeout,  // the handshake stalled
    handshake_reset,    // it was reset or closed
    handshake_error,    // it ended with an alert or what is no TLS
    handshake,          // it failed, and the line that says how is missing
    certificate,        // not verified
    tls_missing,        // required, not offered
    envelope,           // stall or end in MAIL, RCPT or DATA
    body,               // stall or end in the message: large packets of ours
    end_of_data,        // stall or end behind it
    refused,            // the server refused to talk, or said no
    own_side,           // our own TLS policy or tables
    name,               // the name was not found, or the look-up failed
    other,
};
std::string_view to_string(FailureKind kind);

// Of a deferral's text (after the X.Y.Z code). Of "Cannot start TLS" it knows only the handshake:
// how it ended stands in another line of the log.
FailureKind failure_kind(std::string_view reason);

struct DestinationSummary {
    std::string destination;  // HOST:PORT, or what stands for it
    std::uint64_t delivered = 0;
    std::uint64_t delivered_tls = 0;    // of these; where the log does not tell of TLS, neither
    std::uint64_t delivered_clear = 0;  // is counted
    std::uint64_t without_tls_line =
        0;                        // no line told of TLS: clear text, if the log tells of TLS at all
    std::uint64_t failed = 0;     // attempts that ended deferred or bounced
    std::uint64_t suspended = 0;  // recipients put off without an attempt
    std::map<FailureKind, std::uint64_t> failures{};
    std::string first_failure{};  // time stamps as the log has them
    std::string last_failure{};
    std::string last_success{};
    std::string suspected{};  // in words; empty: nothing to suspect
    std::string probe{};      // the command; empty: nothing to probe
};

struct ClientSummary {
    std::string client;  // its address
    std::uint64_t handshakes_failed = 0;
    std::uint64_t lost_in_data = 0;  // timeout or lost connection after DATA or BDAT
    std::uint64_t with_tls = 0;
    std::string suspected{};
};

class LogSummary {
  public:
    // How many destinations and client addresses are told apart; the rest is counted as "others".
    explicit LogSummary(std::size_t most = 10'000) : most_(most) {}

    void line(std::string_view line);

    std::uint64_t lines() const { return lines_; }
    std::uint64_t understood() const { return understood_; }
    // True when the log tells of TLS sessions, so that deliveries without are known to be in clear
    // text (smtp_tls_loglevel = 1, or the word tls= of 3.11).
    bool tells_tls() const { return tells_tls_; }
    // Most failures first.
    std::vector<DestinationSummary> destinations() const;
    std::vector<ClientSummary> clients() const;
    // Faults of our own side, with how often each was told: the text of the warning.
    const std::map<std::string, std::uint64_t>& own_faults() const { return own_faults_; }

  private:
    struct Handshake {
        LoggedPeer peer;
        FailureKind kind = FailureKind::handshake;
    };
    // What an smtp(8) process said of the delivery in hand.
    struct Process {
        std::optional<Handshake> failed;
        std::optional<LoggedPeer> tls;
        bool tls_fresh = false;  // told since the last outcome
        std::string queue_id;    // of the last outcome: the recipients of a message share a session
    };

    void delivery(const LineHead& head, const LogLine& line);
    void outcome(const LineHead& head, Process& process, const std::string& queue_id,
                 const DeliveryStatus& status);
    void suspended(const LineHead& head, const DeliveryStatus& status);
    static FailureKind kind_of(const Process& process, const DeliveryStatus& status);
    Process& process(const LineHead& head);
    void server(const ServerEvent& event);
    DestinationSummary& destination(const std::string& name);
    ClientSummary& client(const IpAddress& address);

    std::size_t most_;
    std::uint64_t lines_ = 0;
    std::uint64_t understood_ = 0;
    bool tells_tls_ = false;
    std::map<std::string, DestinationSummary> destinations_;
    std::map<std::string, ClientSummary> clients_;
    std::map<std::string, std::uint64_t> own_faults_;
    std::unordered_map<std::string, Process> processes_;
};

}  // namespace postfathom
