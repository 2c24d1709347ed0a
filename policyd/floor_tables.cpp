// SPDX-License-Identifier: Apache-2.0
#include "policyd/floor_tables.hpp"

#include <algorithm>

#include "lib/destination/next_hop.hpp"
#include "lib/diagnosis/clear_text_guard.hpp"
#include "lib/diagnosis/diagnosis.hpp"

namespace postfathom {

namespace {

bool named(const std::vector<std::string>& names, const std::string& name) {
    return std::any_of(names.begin(), names.end(), [&](const std::string& entry) {
        return entry == name || entry == Settings::Tables::all;
    });
}

std::vector<EndpointRecord> records_of(const NextHopRecord& next_hop, const CacheReader& cache) {
    std::vector<EndpointRecord> found;
    for (const auto& endpoint : next_hop.endpoints)
        for (auto& record : cache.endpoints_at(endpoint.address))
            if (record.endpoint == endpoint) found.push_back(std::move(record));
    return found;
}

}  // namespace

std::optional<SuggestedLevel> answer_tls(std::string_view key, const CacheReader& cache,
                                         const Settings::Tables& tables, TlsLevel floor,
                                         WallTime now, const AgeLimits& limits) {
    if (tables.tls_next_hops.empty() || key.starts_with('.')) return std::nullopt;
    // Nearly always the next hop is well, and written as we write it.
    if (const auto verdict = cache.verdict(key); verdict && !ill(*verdict)) return std::nullopt;
    const auto parsed = parse_next_hop(key);
    if (!parsed) return std::nullopt;
    const auto next_hop = to_string(*parsed);
    if (!named(tables.tls_next_hops, next_hop)) return std::nullopt;
    const auto known = cache.next_hop(next_hop);
    if (!known || !ill(known->verdict)) return std::nullopt;
    return guard_level(*known, records_of(*known, cache), floor, now, limits);
}

bool discards_pipelining(std::string_view key, const CacheReader& cache,
                         const Settings::Tables& tables, WallTime now, const AgeLimits& limits) {
    if (tables.ehlo_addresses.empty()) return false;
    const auto address = IpAddress::parse(key);
    if (!address || !named(tables.ehlo_addresses, address->to_string())) return false;
    const auto records = cache.endpoints_at(*address);
    return std::any_of(records.begin(), records.end(), [&](const EndpointRecord& record) {
        const auto& verdict = record.verdict;
        return ill(verdict) && groups_of_commands_fail(verdict.id, verdict.sizes) &&
               freshness(verdict, now, limits) != Freshness::expired;
    });
}

}  // namespace postfathom
