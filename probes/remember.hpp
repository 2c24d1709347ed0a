// SPDX-License-Identifier: Apache-2.0
// What a probe's report changes in the cache, and the line in the log when it changes what we say
// of a place. Pure but for lookups in the cache.
#pragma once

#include <optional>
#include <string>

#include "lib/base/log.hpp"
#include "lib/cache/probe_cache.hpp"
#include "lib/diagnosis/report.hpp"
#include "probes/schedule.hpp"

namespace postfathom {

inline constexpr std::size_t max_next_hops_of_endpoint = 16;
// A report of five endpoints with all their attempts is about 30 KiB.
inline constexpr std::size_t max_report_bytes = 512 * 1024;

struct Remembered {
    CacheChange change;
    std::string subject;                 // the next hop, or the endpoint where only that was probed
    KnownVerdict verdict;                // what we say from now on
    std::optional<KnownVerdict> before;  // what we said until now
    bool changed = false;                // the two differ in more than their times
    // What was known of an endpoint that was held back, and stands for the next hop instead.
    std::optional<KnownVerdict> from_endpoint;
    // This probe found a failure that a second one has to confirm.
    bool newly_suspected = false;
    std::string line;  // for the log; empty: nothing that mail or a person would notice
    log::Level level = log::Level::info;
};

Remembered remember(const Report& report, const ProbePlace& place, const CacheReader& cache,
                    WallTime now, const AgeLimits& limits);

// Whether a completed TLS handshake of Postfix itself with a server, and mail that it took, are
// enough to take the verdict back. Not where it is about packets that a handshake does not have, or
// about certificates, which Postfix may not check.
bool delivery_disproves(const KnownVerdict& verdict);

// Such a delivery went through to `place`, whose peer is known, and the peer cannot be probed now.
Remembered remember_delivery(const ProbePlace& place, const CacheReader& cache, WallTime now,
                             const AgeLimits& limits);

// "mail to it is deferred until the path is mended": what a verdict means for mail.
std::string consequence(const KnownVerdict& verdict, TlsLevel floor);

}  // namespace postfathom
