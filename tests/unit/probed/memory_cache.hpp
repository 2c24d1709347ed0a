// SPDX-License-Identifier: Apache-2.0
// A probe cache in memory, for tests of what stands on the cache.
#pragma once

#include <algorithm>
#include <map>
#include <new>

#include "lib/cache/probe_cache.hpp"

namespace postfathom {

class MemoryCache : public CacheWriter {
  public:
    std::map<std::string, NextHopRecord> next_hops;
    std::vector<EndpointRecord> endpoints;
    std::vector<PathRecord> path_records;
    std::map<std::string, RouteRecord> routes;
    std::map<std::string, ClientRecord> clients;
    std::map<std::string, std::string> reports;
    bool broken = false;  // store() fails
    bool throws = false;  // as where memory ends
    WallTime removed_before{};

    std::optional<NextHopRecord> next_hop(std::string_view canonical) const override {
        return find(next_hops, canonical);
    }
    std::vector<EndpointRecord> endpoints_at(const IpAddress& address) const override {
        std::vector<EndpointRecord> found;
        for (const auto& record : endpoints)
            if (record.endpoint.address == address) found.push_back(record);
        return found;
    }
    std::vector<PathRecord> paths(const IpAddress& destination) const override {
        std::vector<PathRecord> found;
        for (const auto& record : path_records)
            if (record.destination == destination) found.push_back(record);
        return found;
    }
    std::optional<RouteRecord> route(std::string_view domain) const override {
        return find(routes, domain);
    }
    std::optional<std::string> report(std::string_view canonical) const override {
        return find(reports, canonical);
    }
    void for_each_next_hop(std::string_view after,
                           const std::function<bool(const NextHopRecord&)>& visit) const override {
        for (auto at = next_hops.upper_bound(std::string(after)); at != next_hops.end(); ++at)
            if (!visit(at->second)) return;
    }
    std::optional<ClientRecord> client(std::string_view network) const override {
        return find(clients, network);
    }
    void for_each_client(std::string_view after,
                         const std::function<bool(const ClientRecord&)>& visit) const override {
        for (auto at = clients.upper_bound(std::string(after)); at != clients.end(); ++at)
            if (!visit(at->second)) return;
    }
    Counters counters() const override {
        Counters counters;
        counters.next_hops = next_hops.size();
        counters.endpoints = endpoints.size();
        counters.routes = routes.size();
        counters.clients = clients.size();
        return counters;
    }

    Result<void> store(const CacheChange& change) override {
        if (throws) throw std::bad_alloc();
        if (broken) return fail(ErrorCode::io, "no space left on device");
        for (const auto& record : change.next_hops) next_hops[record.next_hop] = record;
        for (const auto& record : change.endpoints) {
            std::erase_if(endpoints, [&](const EndpointRecord& known) {
                return known.endpoint == record.endpoint;
            });
            endpoints.push_back(record);
        }
        for (const auto& record : change.paths) {
            std::erase_if(path_records, [&](const PathRecord& known) {
                return known.source == record.source && known.destination == record.destination;
            });
            path_records.push_back(record);
        }
        for (const auto& domain : change.lost_routes) routes.erase(domain);
        for (const auto& record : change.routes) routes[record.domain] = record;
        for (const auto& record : change.clients) clients[record.network] = record;
        for (const auto& record : change.reports) reports[record.next_hop] = record.json;
        return {};
    }
    Result<bool> forget(std::string_view next_hop) override {
        return next_hops.erase(std::string(next_hop)) > 0;
    }
    Result<std::uint64_t> remove_older_than(WallTime before, std::uint64_t) override {
        removed_before = before;
        return 0;
    }

  private:
    template <typename Value>
    static std::optional<Value> find(const std::map<std::string, Value>& map,
                                     std::string_view key) {
        const auto found = map.find(std::string(key));
        if (found == map.end()) return std::nullopt;
        return found->second;
    }
};

}  // namespace postfathom
