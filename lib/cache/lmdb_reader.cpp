// SPDX-License-Identifier: Apache-2.0
#include "lib/cache/lmdb_reader.hpp"

#include <fmt/format.h>

#include <tuple>
#include <utility>

#include "lib/cache/cache_format.hpp"
#include "lib/cache/client_codec.hpp"
#include "lib/cache/eviction.hpp"
#include "lib/cache/record_codec.hpp"

namespace postfathom {
namespace {

constexpr std::size_t page_of_records = 256;     // for_each_in reads so many in one snapshot
constexpr std::size_t max_of_one_address = 256;  // records looked at for one address

bool starts_with(std::string_view text, std::string_view prefix) {
    return text.substr(0, prefix.size()) == prefix;
}

}  // namespace

std::string endpoint_key(const Endpoint& endpoint) {
    return fmt::format("{} {} {}", endpoint.address.to_string(), endpoint.port, endpoint.name);
}

std::string path_key(const PathRecord& record) {
    return fmt::format("{} {}", record.destination.to_string(), record.source.to_string());
}

std::optional<NextHopRecord> LmdbReader::next_hop_in(const ReadTransaction& snapshot,
                                                     std::string_view canonical) const {
    const auto value = snapshot.find(Table::next_hop, canonical);
    if (!value) return std::nullopt;
    auto record = decode_next_hop(*value);
    if (record && record->next_hop == canonical) return std::move(*record);
    count_unreadable();
    return std::nullopt;
}

std::optional<RouteRecord> LmdbReader::route_in(const ReadTransaction& snapshot,
                                                std::string_view domain) const {
    const auto value = snapshot.find(Table::route, domain);
    if (!value) return std::nullopt;
    auto record = decode_route(*value);
    if (record && record->domain == domain) return std::move(*record);
    count_unreadable();
    return std::nullopt;
}

std::optional<NextHopRecord> LmdbReader::next_hop(std::string_view canonical) const {
    const auto snapshot = shared_->read();
    if (!snapshot) return std::nullopt;
    return next_hop_in(*snapshot, canonical);
}

std::optional<RouteRecord> LmdbReader::route(std::string_view domain) const {
    const auto snapshot = shared_->read();
    if (!snapshot) return std::nullopt;
    return route_in(*snapshot, domain);
}

std::optional<KnownWay> LmdbReader::way(std::string_view domain) const {
    const auto snapshot = shared_->read();
    if (!snapshot) return std::nullopt;
    const SnapshotId id{snapshot->environment().serial(), snapshot->id()};
    {
        const std::lock_guard lock(ways_mutex_);
        if (auto found = ways_.find(domain, id)) return found;
    }
    auto route = route_in(*snapshot, domain);
    if (!route) return std::nullopt;
    KnownWay found{std::move(route->next_hop), std::nullopt};
    if (const auto record = next_hop_in(*snapshot, found.next_hop)) found.verdict = record->verdict;
    const std::lock_guard lock(ways_mutex_);
    ways_.remember(domain, found, id);
    return found;
}

std::optional<ClientRecord> LmdbReader::client(std::string_view network) const {
    const auto snapshot = shared_->read();
    if (!snapshot) return std::nullopt;
    const auto value = snapshot->find(Table::client, network);
    if (!value) return std::nullopt;
    auto record = decode_client(*value);
    if (record && record->network == network) return std::move(*record);
    count_unreadable();
    return std::nullopt;
}

std::optional<KnownVerdict> LmdbReader::verdict(std::string_view canonical) const {
    const auto snapshot = shared_->read();
    if (!snapshot) return std::nullopt;
    const SnapshotId id{snapshot->environment().serial(), snapshot->id()};
    {
        const std::lock_guard lock(ways_mutex_);
        if (auto found = verdicts_.find(canonical, id)) return found->verdict;
    }
    KnownWay found;
    if (auto record = next_hop_in(*snapshot, canonical)) found.verdict = std::move(record->verdict);
    const std::lock_guard lock(ways_mutex_);
    verdicts_.remember(canonical, found, id);
    return found.verdict;
}

std::vector<EndpointRecord> LmdbReader::endpoints_at(const IpAddress& address) const {
    std::vector<EndpointRecord> found;
    const auto snapshot = shared_->read();
    if (!snapshot) return found;
    const auto prefix = address.to_string() + ' ';
    Cursor cursor(snapshot->get(), snapshot->environment().database(Table::endpoint));
    for (bool more = cursor.seek(prefix); more && starts_with(cursor.key(), prefix);
         more = cursor.next()) {
        if (found.size() == max_of_one_address) break;
        auto record = decode_endpoint(cursor.value());
        if (record && endpoint_key(record->endpoint) == cursor.key())
            found.push_back(std::move(*record));
        else
            count_unreadable();
    }
    return found;
}

std::vector<PathRecord> LmdbReader::paths(const IpAddress& destination) const {
    std::vector<PathRecord> found;
    const auto snapshot = shared_->read();
    if (!snapshot) return found;
    const auto prefix = destination.to_string() + ' ';
    Cursor cursor(snapshot->get(), snapshot->environment().database(Table::path));
    for (bool more = cursor.seek(prefix); more && starts_with(cursor.key(), prefix);
         more = cursor.next()) {
        if (found.size() == max_of_one_address) break;
        auto record = decode_path(cursor.value());
        if (record && path_key(*record) == cursor.key())
            found.push_back(std::move(*record));
        else
            count_unreadable();
    }
    return found;
}

std::optional<std::string> LmdbReader::report(std::string_view canonical) const {
    const auto snapshot = shared_->read();
    if (!snapshot) return std::nullopt;
    const auto value = snapshot->find(Table::report, canonical);
    if (!value) return std::nullopt;
    return std::string(*value);
}

// The visitor may take its time (it writes to an operator's socket): it runs without a snapshot,
// which would keep old pages alive.
void LmdbReader::for_each_in(
    Table table, std::string_view after,
    const std::function<bool(std::string_view, std::string_view)>& visit) const {
    std::string last(after);
    for (bool more = true; more;) {
        std::vector<std::pair<std::string, std::string>> page;
        {
            const auto snapshot = shared_->read();
            if (!snapshot) return;
            Cursor cursor(snapshot->get(), snapshot->environment().database(table));
            more = cursor.seek(last);
            if (more && cursor.key() == last) more = cursor.next();
            for (; more && page.size() < page_of_records; more = cursor.next())
                page.emplace_back(cursor.key(), cursor.value());
        }
        for (const auto& [key, value] : page)
            if (!visit(key, value)) return;
        if (!page.empty()) last = page.back().first;
    }
}

void LmdbReader::for_each_next_hop(std::string_view after,
                                   const std::function<bool(const NextHopRecord&)>& visit) const {
    for_each_in(Table::next_hop, after, [&](std::string_view key, std::string_view value) {
        const auto record = decode_next_hop(value);
        if (record && record->next_hop == key) return visit(*record);
        count_unreadable();
        return true;
    });
}

void LmdbReader::for_each_client(std::string_view after,
                                 const std::function<bool(const ClientRecord&)>& visit) const {
    for_each_in(Table::client, after, [&](std::string_view key, std::string_view value) {
        const auto record = decode_client(value);
        if (record && record->network == key) return visit(*record);
        count_unreadable();
        return true;
    });
}

CacheReader::Counters LmdbReader::counters() const {
    Counters counters;
    counters.unreadable = shared_->unreadable.load(std::memory_order_relaxed);
    const auto snapshot = shared_->read();
    if (!snapshot) return counters;
    counters.next_hops = entries(*snapshot, Table::next_hop);
    counters.endpoints = entries(*snapshot, Table::endpoint);
    counters.paths = entries(*snapshot, Table::path);
    counters.routes = entries(*snapshot, Table::route);
    counters.clients = entries(*snapshot, Table::client);
    counters.bytes_used = bytes_used(snapshot->environment().get(), snapshot->get());
    counters.bytes_limit = noted_max_bytes(*snapshot);
    return counters;
}

}  // namespace postfathom
