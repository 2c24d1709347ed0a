// SPDX-License-Identifier: Apache-2.0
// What the tests of policyd's answers share: a cache in memory, and verdicts.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/cache/probe_cache.hpp"

namespace postfathom {

inline const WallTime now{std::chrono::sys_days{std::chrono::year{2026} / 11 / 23} +
                          std::chrono::hours{5}};

inline IpAddress address(std::string_view text) { return *IpAddress::parse(text); }

inline KnownVerdict black_hole(std::chrono::seconds age = std::chrono::seconds{60}) {
    KnownVerdict verdict;
    verdict.id = DiagnosisId::pmtu_black_hole;
    verdict.severity = Severity::critical;
    verdict.direction = Direction::inbound;
    verdict.path_mtu = PathMtu{1400};
    verdict.path_mtu_exact = true;
    verdict.usable_mss = Mss{1360};
    verdict.since = now - age;
    verdict.measured_at = now - age;
    return verdict;
}

inline KnownVerdict with_severity(DiagnosisId id, Severity severity) {
    KnownVerdict verdict;
    verdict.id = id;
    verdict.severity = severity;
    verdict.since = verdict.measured_at = now;
    return verdict;
}

class FakeCache : public CacheReader {
  public:
    std::map<std::string, NextHopRecord, std::less<>> next_hops;
    std::map<std::string, RouteRecord, std::less<>> routes;
    std::vector<EndpointRecord> endpoints;
    std::map<std::string, ClientRecord, std::less<>> clients;

    std::optional<ClientRecord> client(std::string_view network) const override {
        const auto found = clients.find(network);
        return found == clients.end() ? std::nullopt : std::optional(found->second);
    }
    std::optional<NextHopRecord> next_hop(std::string_view key) const override {
        const auto found = next_hops.find(key);
        return found == next_hops.end() ? std::nullopt : std::optional(found->second);
    }
    std::vector<EndpointRecord> endpoints_at(const IpAddress& a) const override {
        std::vector<EndpointRecord> found;
        for (const auto& record : endpoints)
            if (record.endpoint.address == a) found.push_back(record);
        return found;
    }
    std::vector<PathRecord> paths(const IpAddress&) const override { return {}; }
    std::optional<RouteRecord> route(std::string_view domain) const override {
        const auto found = routes.find(domain);
        return found == routes.end() ? std::nullopt : std::optional(found->second);
    }
    std::optional<std::string> report(std::string_view) const override { return std::nullopt; }
    void for_each_next_hop(std::string_view,
                           const std::function<bool(const NextHopRecord&)>&) const override {}
    Counters counters() const override { return {}; }

    void add_endpoint(const std::string& host, const std::string& ip, std::uint16_t port,
                      const KnownVerdict& verdict) {
        endpoints.push_back({{address(ip), port, Service::smtp, host}, verdict, {"example.org"}});
    }
    void add_next_hop(const std::string& key, const KnownVerdict& verdict) {
        next_hops[key] = {key, verdict, {}, {}};
    }
};

}  // namespace postfathom
