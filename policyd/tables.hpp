// SPDX-License-Identifier: Apache-2.0
// What policyd answers, decided from values: a question, what the cache knows and the time in, an
// answer and perhaps a notice to the prober out.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/cache/probe_cache.hpp"
#include "lib/config/settings.hpp"
#include "lib/mail_log/lines.hpp"
#include "lib/net/notice.hpp"
#include "policyd/policy_request.hpp"

namespace postfathom {

// The tag is in bounces too, so it is short and holds nothing but our own words (Postfix cuts its
// log line at about 2000 characters).
inline constexpr std::size_t max_dsn_tag = 300;

// The key of smtp_delivery_status_filter: "X.Y.Z text".
struct DsnQuestion {
    std::string_view status;  // "4.7.5"
    std::string_view reason;
    TroubleKind kind;
    std::optional<LoggedPeer> peer;
};
// Nothing unless it is a temporary failure that Postfix itself found, of transport or TLS.
std::optional<DsnQuestion> parse_dsn_key(std::string_view key);

struct DsnAnswer {
    std::optional<std::string> text;  // to give instead of the key; none: leave it
    std::optional<FailureSeen> notice;
};
// `peer` is the server of the failure, from the key or from the log.
DsnAnswer answer_dsn(std::string_view key, const DsnQuestion& question, const LoggedPeer& peer,
                     const CacheReader& cache, WallTime now, const AgeLimits& limits);

struct PolicyFinding {
    std::string next_hop;                 // canonical; empty: the request is about none
    std::optional<KnownVerdict> verdict;  // only when ill and not expired
    bool wanted = false;                  // nothing is known of it, or too old
};
// The way of the recipient's mail is the one that was learned for its domain, else that of the
// configuration, else the domain itself.
PolicyFinding find_for_recipient(const PolicyRequest& request, const CacheReader& cache,
                                 const std::vector<ConfiguredRoute>& routes, WallTime now,
                                 const AgeLimits& limits);

// What was seen of the network of a client, where it is worth a warning: TLS handshakes that failed
// more often than they succeeded, connections lost after DATA. Numbers, no verdict: it may be the
// path, and it may be the client.
std::optional<std::string> find_for_client(std::string_view client_address,
                                           const CacheReader& cache, WallTime now);

// What an answer depends on beside the request and the finding.
struct PolicyTerms {
    PolicyMode mode = PolicyMode::warn;
    std::string_view host_token;
    bool first_of_message = false;  // no header was given for this instance yet
    bool may_defer = false;         // the configuration names the diagnosis and the next hop
    std::string_view client{};      // find_for_client(), unless it was said for this message
};
// The word and text after "action=".
std::string policy_action(const PolicyRequest& request, const PolicyFinding& finding,
                          const PolicyTerms& terms);

// The mode of the check that asks: its policy_context if that is the name of one, else the
// configuration's.
PolicyMode mode_of(const PolicyRequest& request, PolicyMode configured);

}  // namespace postfathom
