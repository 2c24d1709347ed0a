// SPDX-License-Identifier: Apache-2.0
#include "cli/queue_routes.hpp"

#include "cli/daemon_answer.hpp"
#include "lib/destination/next_hop.hpp"
#include "lib/postfix/read_configuration.hpp"
#include "lib/postfix/transport_table.hpp"

namespace postfathom {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

// Questions to the daemon before any probe.
constexpr int max_routes_asked = 2000;
// Each look-up starts postmap(1), while postqueue(1) waits: a part of the time that it may take. A
// local table answers in some 20 ms.
constexpr auto max_time_for_tables = 60s;

MailPlace assumed_place(const std::string& domain) {
    const auto next_hop = parse_next_hop(domain);
    if (!next_hop) return {};
    return {to_string(*next_hop), domain, PlaceSource::domain, true};
}

}  // namespace

QueueRoutes::QueueRoutes(const Settings& settings, bool ask, std::string directory)
    : settings_(settings),
      ask_(ask),
      directory_(std::move(directory)),
      postfix_(read_postfix(directory_, PostfixNames::expanded)),
      time_for_tables_(max_time_for_tables) {}

MailPlace QueueRoutes::operator()(const std::string& domain) {
    if (const auto* route = find_route(settings_.routes, domain))
        return {route->next_hop, route->verbatim, PlaceSource::configured};
    const auto learned = learned_route(domain);
    if (learned && !learned->assumed) return *learned;
    const auto place = configured_route(domain);
    // What was seen in the log went by something of Postfix's that is not read here.
    const bool elsewhere = learned && learned->next_hop != assumed_place(domain).next_hop;
    return elsewhere && (place.assumed || place.source == PlaceSource::none) ? *learned : place;
}

std::optional<MailPlace> QueueRoutes::learned_route(const std::string& domain) {
    if (!ask_ || asked_ >= max_routes_asked) return std::nullopt;
    ++asked_;
    const auto reply = try_daemon(settings_, {"/v1/routes/" + percent_encoded(domain)});
    if (reply.status == 0) ask_ = false;
    if (!reply.body) return std::nullopt;
    const auto route = parse_answer(*reply.body);
    const auto next_hop = parse_next_hop(text(route, "next_hop"));
    if (!next_hop) return std::nullopt;
    return MailPlace{to_string(*next_hop), text(route, "verbatim"), PlaceSource::learned,
                     flag(route, "from_log")};
}

Result<std::optional<std::string>> QueueRoutes::look_up(const std::string& table,
                                                        const std::string& key) {
    if (const auto known = looked_up_.find(table + ' ' + key); known != looked_up_.end())
        return known->second;
    if (time_for_tables_ <= 0s)
        return fail(ErrorCode::io, "Postfix's tables do not answer, or too slowly");
    const auto begun = Clock::now();
    auto found = postmap(directory_, table, key);
    time_for_tables_ -= Clock::now() - begun;
    if (found)
        looked_up_.emplace(table + ' ' + key, *found);
    else
        time_for_tables_ = 0s;
    return found;
}

MailPlace QueueRoutes::configured_route(const std::string& domain) {
    if (!postfix_) return assumed_place(domain);
    const auto route =
        route_of_domain(*postfix_, domain,
                        [this](const auto& table, const auto& key) { return look_up(table, key); });
    if (!route) return assumed_place(domain);
    if (route->by == DomainRoute::By::domain) return {};
    const auto next_hops = parse_next_hops(route->next_hop);
    if (next_hops.empty()) return assumed_place(domain);
    return {to_string(next_hops.front()), route->next_hop,
            route->by == DomainRoute::By::relayhost ? PlaceSource::relayhost
                                                    : PlaceSource::transport_maps};
}

}  // namespace postfathom
