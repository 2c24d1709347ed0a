// SPDX-License-Identifier: Apache-2.0
// What the daemon does by the clock: refreshes what is ill and stale, looks up again whose
// addresses have expired, forgets what is too old.
#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <utility>

#include "lib/base/log.hpp"
#include "probes/daemon.hpp"

namespace postfathom {

namespace {

// Next hops looked at per call of refresh(), and expired records removed, of each kind: a few
// milliseconds of work each.
constexpr std::size_t refresh_batch = 1000;
constexpr std::uint64_t expiry_batch = 64;
// The longest time from one refresh() to the next, and for all of them together to have been
// through the cache, where one in a tenth of a second suffices for it.
constexpr std::chrono::milliseconds longest_refresh_pause{10'000};
constexpr std::chrono::milliseconds shortest_refresh_pause{100};
constexpr std::chrono::milliseconds refresh_pass{10 * 60'000};
// Lookups of names whose addresses have expired, in so much time, and the least time between two of
// one name.
constexpr std::size_t lookup_batch = 20;
constexpr std::chrono::seconds lookup_interval{10};
constexpr std::chrono::minutes lookup_pause{5};

}  // namespace

std::chrono::milliseconds Daemon::refresh() {
    store_clients();
    remove_expired();
    if (refresh_after_.empty()) {
        const auto batches = cache_.counters().next_hops / refresh_batch + 1;
        refresh_pause_ = std::clamp(refresh_pass / static_cast<std::int64_t>(batches),
                                    shortest_refresh_pause, longest_refresh_pause);
    }
    if (const auto tick = std::chrono::steady_clock::now(); tick >= next_lookups_) {
        lookups_left_ = lookup_batch;
        next_lookups_ = tick + lookup_interval;
    }
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
                 moved_perhaps.size() < lookups_left_ &&
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
    if (!moved_perhaps.empty() && !std::exchange(looking_up_, true)) {
        lookups_left_ -= moved_perhaps.size();
        boost::asio::co_spawn(io_, look_up_again(std::move(moved_perhaps)), boost::asio::detached);
    }
    return refresh_pause_;
}

// One after the other: our resolver is spared too.
boost::asio::awaitable<void> Daemon::look_up_again(std::vector<std::string> next_hops) {
    try {
        for (const auto& name : next_hops) {
            const auto found = co_await look_up(name);
            readdress(name, found);
        }
    } catch (...) {
        looking_up_ = false;
        throw;
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
        return !has_address(found, endpoint.address);
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
    const auto removed = cache_.remove_older_than(
        wall_now() - std::max(age.good_expire, age.ill_expire), expiry_batch);
    if (!removed)
        cache_failed(removed.error());
    else if (*removed > 0)
        log::debug("cache: {} expired records removed", *removed);
}

}  // namespace postfathom
