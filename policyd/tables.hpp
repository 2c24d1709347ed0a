// SPDX-License-Identifier: Apache-2.0
// What policyd answers, decided from values: a question, what the cache knows and the time in, an
// answer and perhaps a notice to the prober out.
#pragma once

#include <optional>
#include <string>
#include <string_view>

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
PolicyFinding find_for_recipient(const PolicyRequest& request, const CacheReader& cache,
                                 WallTime now, const AgeLimits& limits);

// The word and text after "action=" for a finding with a verdict. `first_of_message`: no header
// was given for this instance yet.
std::string policy_action(const PolicyRequest& request, const PolicyFinding& finding,
                          PolicyMode mode, std::string_view host_token, bool first_of_message);

}  // namespace postfathom
