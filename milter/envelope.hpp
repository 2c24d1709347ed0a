// SPDX-License-Identifier: Apache-2.0
// What the milter decides about one message: which next hops its recipients have, whether a route
// is news, and what happens to its headers. Values in, values out: no clock, no socket, no
// libmilter.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/destination/next_hop.hpp"
#include "lib/diagnosis/client.hpp"
#include "lib/diagnosis/record.hpp"

namespace postfathom {

// One header for each ill next hop, the worst first, up to this many.
inline constexpr std::size_t max_diagnosis_headers = 4;
// Next hops looked up for one message; Postfix takes 1000 recipients (smtpd_recipient_limit).
inline constexpr std::size_t max_next_hops_per_message = 100;
// Forged copies removed from one message. Postfix walks the headers from the top for each
// (cleanup_milter.c), so without a bound a message of nothing else would keep it busy for long.
inline constexpr std::uint32_t max_removed_copies = 1000;

// Postfix's answer to where a recipient goes, from the macros at RCPT TO. Empty when not sent.
struct RecipientMacros {
    std::string_view mailer;     // {rcpt_mailer}, the transport: "smtp", "relay", ...
    std::string_view host;       // {rcpt_host}, the next hop or several, case kept
    std::string_view recipient;  // {rcpt_addr}, else the argument of RCPT TO
};

struct RoutedNextHop {
    std::string canonical;  // the key in the cache
    std::string verbatim;   // as Postfix spelled it; the key of smtp_tls_policy_maps
    bool operator==(const RoutedNextHop&) const = default;
};

struct RecipientRoute {
    std::string domain;  // of the recipient, lower case
    std::string transport;
    std::vector<RoutedNextHop> next_hops;  // in the order in which Postfix tries them; never empty
    bool operator==(const RecipientRoute&) const = default;
};

// What Postfix sends of the client; empty when it is not sent, as for mail that was not brought by
// SMTP.
struct ClientMacros {
    std::string_view address;  // {client_addr}: "192.0.2.1", "IPv6:2001:db8::1", "unknown"
    std::string_view tls_version;
    std::string_view cipher;
    std::string_view cipher_bits;
};

// Nothing for clients without an address, and for programs of this host.
std::optional<ClientSeen> client_of(const ClientMacros& macros);

// False for transports that hand mail to something else than an SMTP server: Postfix's own
// local(8), virtual(8), error(8), lmtp(8) ..., and what Debian's master.cf and common set-ups pipe
// to. Every other name may be a clone of smtp(8), whose names operators choose freely.
bool speaks_smtp(std::string_view transport);

// Nothing when the mail does not go to an SMTP server, or to none that we understand.
std::optional<RecipientRoute> route_of(const RecipientMacros& macros);

// For mail that Postfix takes by other ways than SMTP, of whose recipients it tells no next hop:
// where mail for this domain was seen to go, or goes by the configuration. There is nothing to
// learn.
std::optional<RecipientRoute> route_without_macros(std::string_view recipient,
                                                   const std::optional<RouteRecord>& known,
                                                   std::optional<RoutedNextHop> configured);

// The record to send to the prober when `known` does not say the same, or is older than a day.
std::optional<RouteRecord> route_to_learn(const RecipientRoute& route,
                                          const std::optional<RouteRecord>& known, WallTime now);

struct NextHopOpinion {
    std::optional<KnownVerdict> finding;  // mail should know of it
    bool wanted = false;                  // nothing is known, or it should be refreshed
};
NextHopOpinion opinion_on(const std::optional<NextHopRecord>& record, WallTime now,
                          const AgeLimits& limits);

// What to do with the headers at the end of the message: first the removals, from the last copy to
// the first so that indices stay right, then the insertions at the top.
struct HeaderActions {
    std::uint32_t remove = 0;         // copies 1 to `remove` of X-Postfathom-Diagnosis
    bool copies_left = false;         // there were more than max_removed_copies
    std::vector<std::string> insert;  // folded values, the first one topmost
};

// One message's state. Everything here is bounded.
class Envelope {
  public:
    // True once for each next hop while there is room.
    bool first_sight(const std::string& next_hop);
    void add_finding(const std::string& next_hop, const KnownVerdict& verdict);
    void header(std::string_view name);

    // Of each finding, the worst first: "NEXTHOP: VERDICT".
    std::vector<std::pair<std::string, KnownVerdict>> findings() const;
    HeaderActions actions(bool add_header, std::string_view host_token) const;

  private:
    struct Finding {
        std::string next_hop;
        KnownVerdict verdict;
    };
    std::vector<std::string> seen_;
    std::vector<Finding> findings_;  // the worst first; among equals the one seen first
    std::uint32_t copies_ = 0;
};

}  // namespace postfathom
