// SPDX-License-Identifier: Apache-2.0
// What the daemon does by the clock: refreshes what is ill and stale, looks up again whose
// addresses have expired, forgets what is too old.
#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <utility>

#include "lib/base/log.hpp"
#include "lib/net/deadline.hpp"
#include "probes/daemon.hpp"

namespace postfathom {

namespace {

// Next hops looked at per call of refresh(): a few milliseconds of work.
constexpr std::size_t refresh_batch = 1000;
// Lookups of names whose addresses have expired, per call of refresh(), and the least time between
// two of one name.
constexpr std::size_t lookup_batch = 20;
constexpr std::chrono::minutes lookup_pause{5};
constexpr std::chrono::seconds lookup_limit{30};

}  // namespace

void Daemon::refresh() {
    store_clients();
    const auto now = wall_now();
    std::size_t seen = 0;
    std::vector<std::string> due;
    std::vector<std::string> moved_perhaps;
    std::string last;
    cache_.for_each_next_hop(refresh_after_, [&](const NextHopRecord& record) {
        last = record.next_hop;
        counting_.add(record.verdict, now, settings_.cache.age);
        if (ill(record.verdict) &&
            (freshness(record.verdict, now, settings_.cache.age) == Freshness::stale ||
             from_the_future(record.verdict, now)))
            due.push_back(record.next_hop);
        else if (!record.seen_only && record.addresses_expire && *record.addresses_expire <= now &&
                 moved_perhaps.size() < lookup_batch &&
                 freshness(record.verdict, now, settings_.cache.age) != Freshness::expired)
            moved_perhaps.push_back(record.next_hop);
        return ++seen < refresh_batch;
    });
    refresh_after_ = seen < refresh_batch ? std::string{} : last;
    if (refresh_after_.empty()) destinations_ = std::exchange(counting_, {});
    for (auto& next_hop : due) {
        ProbePlace place;
        place.next_hop = std::move(next_hop);
        request(std::move(place), ProbeReason::refresh_due);
    }
    if (moved_perhaps.empty() || std::exchange(looking_up_, true)) return;
    boost::asio::co_spawn(io_, look_up_again(std::move(moved_perhaps)), boost::asio::detached);
}

// One after the other: our resolver is spared too.
boost::asio::awaitable<void> Daemon::look_up_again(std::vector<std::string> next_hops) {
    for (const auto& name : next_hops) {
        const auto next_hop = parse_next_hop(name);
        if (!next_hop) continue;
        auto work = resolve_(*next_hop);
        auto found = co_await with_deadline(lookup_limit, std::move(work));
        readdress(name, found ? *found : ResolvedAddresses{});
    }
    looking_up_ = false;
}

// What is known of servers that are no longer those of the next hop says nothing about it.
void Daemon::readdress(const std::string& next_hop, const ResolvedAddresses& found) {
    auto record = cache_.next_hop(next_hop);
    if (!record) return;
    const auto ttl = std::max<std::chrono::seconds>(found.ttl.value_or(lookup_pause), lookup_pause);
    record->addresses_expire = wall_now() + ttl;
    const auto gone = [&](const Endpoint& endpoint) {
        return std::find(found.addresses.begin(), found.addresses.end(), endpoint.address) ==
               found.addresses.end();
    };
    const bool moved = !found.addresses.empty() &&
                       std::any_of(record->endpoints.begin(), record->endpoints.end(), gone);
    CacheChange change;
    change.next_hops.push_back(std::move(*record));
    store(change);
    if (!moved) return;
    log::info("{}: its servers have other addresses now; it is probed again", next_hop);
    ProbePlace place;
    place.next_hop = next_hop;
    schedule_.request(std::move(place), ProbeReason::verdict_wanted,
                      std::chrono::steady_clock::now());
    pump();
}

void Daemon::remove_expired() {
    const auto& age = settings_.cache.age;
    const auto removed =
        cache_.remove_older_than(wall_now() - std::max(age.good_expire, age.ill_expire));
    if (!removed)
        log::error("cache: {}", removed.error().message);
    else if (*removed > 0)
        log::debug("cache: {} expired records removed", *removed);
}

}  // namespace postfathom
