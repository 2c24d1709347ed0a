// SPDX-License-Identifier: Apache-2.0
// A cache as a large relay would have it: many destinations, one in a hundred ill, and a route for
// each recipient domain.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <string>

#include "lib/cache/lmdb_cache.hpp"
#include "tests/bench/temporary_directory.hpp"

namespace postfathom::bench {

inline std::string domain(int number) { return fmt::format("d{}.example.org", number); }
inline std::string relay(int number) { return fmt::format("[mx{}.example.net]", number); }
inline std::string address(int number) {
    return fmt::format("10.{}.{}.{}", number >> 16 & 255, number >> 8 & 255, number & 255);
}
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
    for (const auto& text :
         {address(number), fmt::format("2001:db8::{:x}:{:x}", number >> 16, (number & 65535) + 1)})
        endpoints.push_back(
            {IpAddress::parse(text).value_or(IpAddress{}), 25, Service::smtp, name});
    for (const auto& endpoint : endpoints)
        change.endpoints.push_back({endpoint, verdict, {relay(number)}});
    change.next_hops.push_back({relay(number), verdict, endpoints, now + std::chrono::hours(1)});
    change.next_hops.back().tls_floor = TlsLevel::may;
    change.routes.push_back({domain(number), relay(number), relay(number), "smtp", now});
}

// Room for so many: twice what they take.
inline CacheLimits limits_for(int destinations) {
    const auto entries = static_cast<std::uint64_t>(std::max(destinations, 100'000));
    return {std::max(std::uint64_t{256} << 20, entries * 6000), entries};
}

// False, with a message, when it cannot be filled. The higher its number, the later a destination
// was confirmed.
inline bool fill_cache(const std::filesystem::path& directory, int destinations) {
    auto writer = open_cache_for_writing(directory, limits_for(destinations));
    const auto begun = wall_now() - std::chrono::milliseconds(destinations);
    for (int first = 0; writer && first < destinations; first += 2000) {
        CacheChange change;
        for (int i = first; i < first + 2000 && i < destinations; ++i)
            add(change, i, begun + std::chrono::milliseconds(i));
        if (auto stored = (*writer)->store(change); !stored) {
            std::fprintf(stderr, "fill the cache: %s\n", stored.error().message.c_str());
            return false;
        }
    }
    if (!writer) std::fprintf(stderr, "%s\n", writer.error().message.c_str());
    return writer.has_value();
}

}  // namespace postfathom::bench
