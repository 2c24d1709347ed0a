// SPDX-License-Identifier: Apache-2.0
#include "probes/logged_routes.hpp"

#include <algorithm>

#include "lib/base/text.hpp"

namespace postfathom {

namespace {

constexpr std::uint32_t most_changes = 5;  // 3, 6, ... 96 messages

// The last two labels. Of names such as "example.co.uk" that says more to be alike than it should,
// and nothing is learned.
std::string_view owner(std::string_view host) {
    const auto last = host.rfind('.');
    if (last == host.npos || last == 0) return host;
    const auto before = host.rfind('.', last - 1);
    return before == host.npos ? host : host.substr(before + 1);
}

}  // namespace

NextHop next_hop_of_relay(const LoggedPeer& relay) {
    NextHop next_hop;
    next_hop.mx_lookup = false;
    next_hop.literal = IpAddress::parse(relay.host);
    next_hop.host = next_hop.literal ? next_hop.literal->to_string() : to_lower(relay.host);
    if (relay.port && *relay.port != 25) next_hop.port = relay.port;
    return next_hop;
}

bool same_owner(std::string_view host, std::string_view other) {
    return iequals(owner(host), owner(other));
}

LoggedRoutes::Way& LoggedRoutes::way_of(const std::string& domain) {
    if (const auto known = by_domain_.find(domain); known != by_domain_.end()) {
        order_.splice(order_.begin(), order_, known->second);
        return order_.front();
    }
    if (order_.size() >= limit_) {
        by_domain_.erase(order_.back().domain);
        order_.pop_back();
    }
    order_.push_front({domain, {}, {}});
    by_domain_.emplace(domain, order_.begin());
    return order_.front();
}

bool LoggedRoutes::add(const std::string& domain, const std::string& next_hop,
                       const std::string& queue_id) {
    if (!way_of(domain).next_hop.empty() && way_of(domain).next_hop != next_hop) doubt(domain);
    auto& way = way_of(domain);
    if (way.next_hop == next_hop && way.queue_id == queue_id) return false;
    way.next_hop = next_hop;
    way.queue_id = queue_id;
    if (way.ask_next == 0) way.ask_next = enough << way.changes;
    if (++way.messages < way.ask_next) return false;
    way.ask_next *= 2;
    return true;
}

void LoggedRoutes::doubt(const std::string& domain) {
    const auto known = by_domain_.find(domain);
    if (known == by_domain_.end()) return;
    auto& way = *known->second;
    way.changes = std::min(way.changes + 1, most_changes);
    way.next_hop.clear();
    way.queue_id.clear();
    way.messages = way.ask_next = 0;
}

}  // namespace postfathom
