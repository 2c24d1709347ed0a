// SPDX-License-Identifier: Apache-2.0
// A cache as a large relay would have it: many destinations, one in a hundred ill, and a route for
// each recipient domain.
#pragma once

#include <fmt/format.h>

#include <cstdio>
#include <filesystem>
#include <optional>
#include <string>

#include "lib/cache/lmdb_cache.hpp"
#include "tests/bench/temporary_directory.hpp"

namespace postfathom::bench {

inline std::string domain(int number) { return fmt::format("d{}.example.org", number); }
inline std::string relay(int number) { return fmt::format("[mx{}.example.net]", number); }
inline bool ill_destination(int number) { return number % 100 == 7; }

inline void add(CacheChange& change, int number, WallTime now) {
    KnownVerdict verdict;
    verdict.id = DiagnosisId::healthy;
    verdict.severity = Severity::ok;
    verdict.path_mtu = PathMtu{1500};
    verdict.since = verdict.measured_at = now;
    if (ill_destination(number)) {
        verdict.id = DiagnosisId::pmtu_black_hole;
        verdict.severity = Severity::critical;
        verdict.direction = Direction::inbound;
        verdict.path_mtu = PathMtu{1400};
        verdict.path_mtu_exact = true;
        verdict.usable_mss = Mss{1360};
    }
    const auto name = fmt::format("mx{}.example.net", number);
    std::vector<Endpoint> endpoints;
    for (const auto& text : {fmt::format("10.{}.{}.1", number >> 8 & 255, number & 255),
                             fmt::format("2001:db8::{:x}", number + 1)})
        endpoints.push_back(
            {IpAddress::parse(text).value_or(IpAddress{}), 25, Service::smtp, name});
    for (const auto& endpoint : endpoints)
        change.endpoints.push_back({endpoint, verdict, {relay(number)}});
    change.next_hops.push_back({relay(number), verdict, endpoints, now + std::chrono::hours(1)});
    change.routes.push_back({domain(number), relay(number), relay(number), "smtp", now});
}

// False, with a message, when it cannot be filled.
inline bool fill_cache(const std::filesystem::path& directory, int destinations) {
    auto writer = open_cache_for_writing(directory, {});
    for (int first = 0; writer && first < destinations; first += 2000) {
        CacheChange change;
        for (int i = first; i < first + 2000 && i < destinations; ++i) add(change, i, wall_now());
        if (auto stored = (*writer)->store(change); !stored) {
            std::fprintf(stderr, "fill the cache: %s\n", stored.error().message.c_str());
            return false;
        }
    }
    if (!writer) std::fprintf(stderr, "%s\n", writer.error().message.c_str());
    return writer.has_value();
}

}  // namespace postfathom::bench
