// SPDX-License-Identifier: Apache-2.0
// Finds deliveries in clear text to servers with which TLS was tried and failed: what Postfix does
// by itself at level "may", and what nobody is told of. From log lines, pure, bounded.
//
// That a line about TLS is missing says little: smtp_tls_loglevel may be 0. So a delivery counts as
// clear text only when one of this holds:
//   - Postfix says so (3.11 and later, "tls=may:none" in the status line);
//   - it went to the very server with which TLS failed in the same delivery, without a new session
//     being established: Postfix comes back to an address of one delivery for no other reason;
//   - there is no line about TLS, though the same host's Postfix writes such lines.
// And it is worth an alarm only where TLS with that address and port failed before, or its path is
// ill.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "lib/mail_log/lines.hpp"

namespace postfathom {

enum class ClearTextSign { told, same_delivery, no_tls_line };
// "tls-word", "tls-failed-before", "no-tls-line"
std::string_view to_string(ClearTextSign sign);

struct ClearTextDelivery {
    std::string queue_id;
    std::string recipient_domain;
    LoggedPeer peer;
    ClearTextSign sign = ClearTextSign::no_tls_line;
    std::uint32_t failures = 0;  // of TLS with that server in the last day; 0: the path is ill
};

class ClearTextWatch {
  public:
    using Time = std::chrono::steady_clock::time_point;
    static constexpr std::size_t max_processes = 4096;
    static constexpr std::size_t max_servers = 4096;
    static constexpr std::size_t max_hosts = 64;
    static constexpr std::size_t max_peers = 8;  // of one delivery
    static constexpr std::chrono::hours remembered{24};

    // `path_is_ill`: TLS with the server is known to fail.
    explicit ClearTextWatch(std::function<bool(const LoggedPeer&)> path_is_ill)
        : path_is_ill_(std::move(path_is_ill)) {}

    // Once for each message and server.
    std::optional<ClearTextDelivery> line(const LogLine& line, Time now);

  private:
    struct Delivery {
        std::vector<LoggedPeer> established;  // and not lost since
        std::vector<LoggedPeer> failed;
        bool failed_somewhere =
            false;             // "Cannot start TLS" of a server that the text does not name
        std::string reported;  // queue id whose outcome was logged
        bool sent = false;     // and that outcome
        bool raised = false;
    };
    struct Failures {
        std::uint32_t count = 0;
        Time last;
    };

    Delivery& delivery_of(std::uint32_t pid);
    void trouble(Delivery& delivery, const Trouble& trouble, Time now);
    void tls_failed(Delivery& delivery, const LoggedPeer& peer, Time now);
    std::optional<ClearTextSign> sign_of(const Delivery& delivery, const DeliveryStatus& status,
                                         const std::string& host) const;
    std::uint32_t failures_with(const LoggedPeer& peer, Time now) const;
    std::optional<ClearTextDelivery> outcome(Delivery& delivery, const LogLine& line,
                                             const DeliveryStatus& status, Time now);

    std::function<bool(const LoggedPeer&)> path_is_ill_;
    std::unordered_map<std::uint32_t, Delivery> deliveries_;
    std::deque<std::uint32_t> pids_;                      // oldest first
    std::unordered_map<std::string, Failures> failures_;  // by address and port
    std::unordered_set<std::string> tls_logged_;          // hosts whose Postfix logs TLS sessions
};

}  // namespace postfathom
