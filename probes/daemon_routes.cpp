// SPDX-License-Identifier: Apache-2.0
// What the daemon learns from the log of the ways that mail takes: policyd asks for a recipient
// domain, and where Postfix sends all mail to a relay, nothing else tells without the milter.
#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>

#include "lib/base/log.hpp"
#include "probes/daemon.hpp"

namespace postfathom {

namespace {

// What is left out comes again with more deliveries.
constexpr std::size_t max_confirming_routes = 16;

bool belongs_to(const LoggedPeer& relay, const ResolvedAddresses& domain) {
    if (has_address(domain, relay.address)) return true;
    return std::any_of(domain.names.begin(), domain.names.end(),
                       [&](const std::string& name) { return same_owner(name, relay.host); });
}

}  // namespace

void Daemon::learn_route() {
    CacheChange change;
    auto found = observer_.logged_route(change, wall_now());
    for (const auto& domain : change.lost_routes)
        log::debug("{}: its mail goes another way now", domain);
    if (!change.lost_routes.empty() || !change.routes.empty()) store(change);
    if (!found) return;
    if (!found->to_confirm) return keep_route(std::move(found->route));
    if (confirming_routes_ >= max_confirming_routes) return;
    ++confirming_routes_;
    boost::asio::co_spawn(io_, confirm_route(std::move(*found)), boost::asio::detached);
}

// A domain whose own servers are not known, now or at all, tells nothing.
boost::asio::awaitable<void> Daemon::confirm_route(LoggedRoute found) {
    const auto own = co_await look_up(found.route.domain);
    --confirming_routes_;
    if (own.addresses.empty() || belongs_to(found.relay, own)) co_return;
    // The milter knows better, if it spoke meanwhile.
    if (const auto known = cache_.route(found.route.domain); known && !known->from_log) co_return;
    keep_route(std::move(found.route));
}

void Daemon::keep_route(RouteRecord route) {
    log::debug("{}: its mail goes to {}, says the log", route.domain, route.next_hop);
    CacheChange change;
    change.routes.push_back(std::move(route));
    store(change);
}

}  // namespace postfathom
