// SPDX-License-Identifier: Apache-2.0
#include "milter/session.hpp"

#include <utility>

namespace postfathom {
namespace {

constexpr std::size_t notices_per_interval = 10'000;  // 17 a second at most
constexpr std::chrono::minutes notice_interval{10};

// What makes a notice news. The parts hold no '\n': they are parsed names or plain words.
std::string notice_key(const RouteRecord& route) {
    return "route\n" + route.domain + '\n' + route.verbatim + '\n' + route.transport;
}

}  // namespace

MilterService::MilterService(const Settings& settings, std::string host_token,
                             const CacheReader& cache, std::function<bool(const Notice&)> send,
                             std::function<WallTime()> clock)
    : cache_(cache),
      age_(settings.cache.age),
      add_header_(settings.milter.add_header),
      host_token_(std::move(host_token)),
      send_(std::move(send)),
      clock_(std::move(clock)),
      pace_(notice_interval, notices_per_interval) {}

void MilterService::notify(const Notice& notice, const std::string& key,
                           std::chrono::steady_clock::time_point now) {
    {
        // Mail waits for no lock: when another session is here just now, a later message will ask.
        const std::unique_lock lock(pace_mutex_, std::try_to_lock);
        if (!lock.owns_lock() || !pace_.allow(key, now)) return;
    }
    if (send_(notice)) return;
    // The prober is down or busy: the next message may tell it.
    const std::unique_lock lock(pace_mutex_, std::try_to_lock);
    if (lock.owns_lock()) pace_.retract(key);
}

void MilterSession::recipient(const RecipientMacros& macros) {
    const auto route = route_of(macros);
    if (!route) return;
    const auto now = service_.now();
    const auto tick = std::chrono::steady_clock::now();
    if (auto learned = route_to_learn(*route, service_.cache().route(route->domain), now)) {
        auto key = notice_key(*learned);
        service_.notify(RouteLearned{std::move(*learned)}, std::move(key), tick);
    }
    for (const auto& next_hop : route->next_hops) {
        if (!envelope_.first_sight(next_hop.canonical)) continue;
        const auto opinion =
            opinion_on(service_.cache().next_hop(next_hop.canonical), now, service_.age_limits());
        if (opinion.wanted)
            service_.notify(VerdictWanted{next_hop.canonical}, "wanted\n" + next_hop.canonical,
                            tick);
        if (opinion.finding) envelope_.add_finding(next_hop.canonical, *opinion.finding);
    }
}

HeaderActions MilterSession::end_of_message() {
    auto actions =
        std::exchange(envelope_, {})
            .actions(service_.add_header() && agreement.add_headers, service_.host_token());
    if (!agreement.change_headers) actions.remove = 0;
    return actions;
}

}  // namespace postfathom
