// SPDX-License-Identifier: Apache-2.0
// Lookups in the shared environment, for readers and for the writer itself.
#pragma once

#include <memory>
#include <mutex>
#include <string>

#include "lib/cache/probe_cache.hpp"
#include "lib/cache/shared_environment.hpp"
#include "lib/cache/way_table.hpp"

namespace postfathom {

std::string endpoint_key(const Endpoint& endpoint);  // "192.0.2.1 25 mail.example.org"
std::string path_key(const PathRecord& record);      // "192.0.2.1 198.51.100.7", destination first

class LmdbReader : public virtual CacheReader {
  public:
    explicit LmdbReader(std::shared_ptr<SharedEnvironment> shared) : shared_(std::move(shared)) {}

    std::optional<KnownWay> way(std::string_view domain) const override;
    std::optional<KnownVerdict> verdict(std::string_view canonical) const override;
    std::optional<NextHopRecord> next_hop(std::string_view canonical) const override;
    std::vector<EndpointRecord> endpoints_at(const IpAddress& address) const override;
    std::vector<PathRecord> paths(const IpAddress& destination) const override;
    std::optional<RouteRecord> route(std::string_view domain) const override;
    std::optional<std::string> report(std::string_view canonical) const override;
    void for_each_next_hop(std::string_view after,
                           const std::function<bool(const NextHopRecord&)>& visit) const override;
    std::optional<ClientRecord> client(std::string_view network) const override;
    void for_each_client(std::string_view after,
                         const std::function<bool(const ClientRecord&)>& visit) const override;
    Counters counters() const override;

  protected:
    SharedEnvironment& shared() const { return *shared_; }

  private:
    std::optional<NextHopRecord> next_hop_in(const ReadTransaction& snapshot,
                                             std::string_view canonical) const;
    std::optional<RouteRecord> route_in(const ReadTransaction& snapshot,
                                        std::string_view domain) const;
    void for_each_in(Table table, std::string_view after,
                     const std::function<bool(std::string_view, std::string_view)>& visit) const;
    void count_unreadable() const { shared_->unreadable.fetch_add(1, std::memory_order_relaxed); }

    std::shared_ptr<SharedEnvironment> shared_;
    mutable std::mutex ways_mutex_;  // held for a copy, never while the cache is read
    mutable WayTable ways_;
    mutable WayTable verdicts_;  // by next hop, which leads nowhere else
};

}  // namespace postfathom
