// SPDX-License-Identifier: Apache-2.0
// The probe cache as its users see it. postfathom-probed is the only writer; policyd and milter
// read. A lookup never fails: what cannot be read counts as absent and in Counters.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "lib/base/result.hpp"
#include "lib/diagnosis/client.hpp"
#include "lib/diagnosis/record.hpp"

namespace postfathom {

// The way of mail for one recipient domain: where Postfix sends it, and what is known of that
// place.
struct KnownWay {
    std::string next_hop;                 // canonical
    std::optional<KnownVerdict> verdict;  // of the next hop; nothing when it is not known
    bool operator==(const KnownWay&) const = default;
};

class CacheReader {
  public:
    virtual ~CacheReader() = default;

    // For each request of mail: the route of a recipient domain and its next hop's verdict,
    // together. Nothing when no route is known.
    virtual std::optional<KnownWay> way(std::string_view domain) const {
        auto known = route(domain);
        if (!known) return std::nullopt;
        KnownWay found{std::move(known->next_hop), std::nullopt};
        if (const auto record = next_hop(found.next_hop)) found.verdict = record->verdict;
        return found;
    }

    // Likewise for a next hop: its verdict alone. Nothing when it is not known.
    virtual std::optional<KnownVerdict> verdict(std::string_view canonical) const {
        auto record = next_hop(canonical);
        if (!record) return std::nullopt;
        return std::move(record->verdict);
    }

    // Keys are canonical: to_string(NextHop), lower-case domains.
    virtual std::optional<NextHopRecord> next_hop(std::string_view canonical) const = 0;
    // All ports and server names, at most 256.
    virtual std::vector<EndpointRecord> endpoints_at(const IpAddress& address) const = 0;
    // Any server name; the worst verdict that is there when several names share the address and
    // port.
    std::optional<EndpointRecord> endpoint(const IpAddress& address, std::uint16_t port) const {
        std::optional<EndpointRecord> worst;
        for (auto& record : endpoints_at(address)) {
            if (record.endpoint.port != port) continue;
            const auto& verdict = record.verdict;
            if (!worst || std::tie(verdict.severity, verdict.measured_at) >
                              std::tie(worst->verdict.severity, worst->verdict.measured_at))
                worst = std::move(record);
        }
        return worst;
    }
    virtual std::vector<PathRecord> paths(const IpAddress& destination) const = 0;
    virtual std::optional<RouteRecord> route(std::string_view domain) const = 0;
    // The last full report of a next hop as JSON text (schema 1), only for operators.
    virtual std::optional<std::string> report(std::string_view canonical) const = 0;
    // Calls `visit` with next hops in key order, after `after` (exclusive; empty: from the start),
    // until it returns false.
    virtual void for_each_next_hop(
        std::string_view after, const std::function<bool(const NextHopRecord&)>& visit) const = 0;

    // What was seen of clients from one network, keyed by client_network().
    virtual std::optional<ClientRecord> client(std::string_view) const { return std::nullopt; }
    std::optional<ClientRecord> client_at(const IpAddress& address) const {
        return client(client_network(address));
    }
    // In key order, as for_each_next_hop().
    virtual void for_each_client(std::string_view,
                                 const std::function<bool(const ClientRecord&)>&) const {}

    struct Counters {
        std::uint64_t next_hops = 0;
        std::uint64_t endpoints = 0;
        std::uint64_t paths = 0;
        std::uint64_t routes = 0;
        std::uint64_t clients = 0;
        std::uint64_t bytes_used = 0;
        std::uint64_t bytes_limit = 0;
        std::uint64_t unreadable = 0;  // records met by this process that it could not read
    };
    virtual Counters counters() const = 0;
};

// What one probe, or one learned route, changes; stored in one transaction.
struct CacheChange {
    std::vector<NextHopRecord> next_hops;
    std::vector<EndpointRecord> endpoints;
    std::vector<PathRecord> paths;
    std::vector<RouteRecord> routes;
    std::vector<std::string> lost_routes{};  // domains whose mail goes another way now
    std::vector<ClientRecord> clients{};
    struct Report {
        std::string next_hop;
        std::string json;
    };
    std::vector<Report> reports;
};

class CacheWriter : public virtual CacheReader {
  public:
    // All or nothing. Makes room by removing the records that were confirmed longest ago.
    virtual Result<void> store(const CacheChange& change) = 0;
    // Removes a next hop, its report, and endpoints that no other next hop uses. False: there was
    // none.
    virtual Result<bool> forget(std::string_view next_hop) = 0;
    // Removes what was confirmed before `before`, the oldest first, of each kind at most `most`.
    // Gives how many.
    virtual Result<std::uint64_t> remove_older_than(WallTime before, std::uint64_t most) = 0;
};

}  // namespace postfathom
