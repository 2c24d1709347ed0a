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
    std::string line;  // for the log; empty: nothing that mail or a person would notice
    log::Level level = log::Level::info;
};

Remembered remember(const Report& report, const ProbePlace& place, const CacheReader& cache,
                    WallTime now, const AgeLimits& limits);

// "mail to it is deferred until the path is mended": what a verdict means for mail.
std::string consequence(const KnownVerdict& verdict, TlsLevel floor);

}  // namespace postfathom
