// SPDX-License-Identifier: Apache-2.0
// The tables that hold TLS up, decided from values. Both are opt in, for Postfix defers mail when
// they do not answer.
//   tls   for smtp_tls_policy_maps: NOTFOUND, or a level above the floor
//   ehlo  for smtp_discard_ehlo_keyword_address_maps: NOTFOUND, or "pipelining"
#pragma once

#include <optional>
#include <string_view>

#include "lib/cache/probe_cache.hpp"
#include "lib/config/settings.hpp"
#include "lib/diagnosis/tls_floor.hpp"

namespace postfathom {

// The key is a next hop as Postfix routes to it, or a parent domain (".example.org"), which gets
// nothing: it stands for places that nobody looked at.
std::optional<SuggestedLevel> answer_tls(std::string_view key, const CacheReader& cache,
                                         const Settings::Tables& tables, TlsLevel floor,
                                         WallTime now, const AgeLimits& limits);

// The key is the address of a server. True: the answer is "pipelining", for groups of commands were
// shown to be lost on the way to it. No other keyword can be said.
bool discards_pipelining(std::string_view key, const CacheReader& cache,
                         const Settings::Tables& tables, WallTime now, const AgeLimits& limits);

}  // namespace postfathom
