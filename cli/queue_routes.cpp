// SPDX-License-Identifier: Apache-2.0
#include "cli/queue_routes.hpp"

#include "cli/daemon_answer.hpp"
#include "lib/destination/next_hop.hpp"
#include "lib/postfix/read_configuration.hpp"
#include "lib/postfix/transport_table.hpp"

namespace postfathom {
namespace {

// Questions to the daemon before any probe.
constexpr int max_routes_asked = 2000;
// Each starts postmap(1) some times.
constexpr int max_domains_looked_up = 200;

MailPlace assumed_place(const std::string& domain) {
    const auto next_hop = parse_next_hop(domain);
    if (!next_hop) return {};
    return {to_string(*next_hop), domain, PlaceSource::domain, true};
}

}  // namespace

QueueRoutes::QueueRoutes(const Settings& settings, bool ask,
                         const std::optional<std::string>& postfix)
    : settings_(settings), ask_(ask) {
    if (!postfix) return;
    directory_ = *postfix;
    if (auto read = read_postfix(directory_, PostfixNames::expanded)) postfix_ = std::move(*read);
}

MailPlace QueueRoutes::operator()(const std::string& domain) {
    if (const auto* route = find_route(settings_.routes, domain))
        return {route->next_hop, route->verbatim, PlaceSource::configured};
    const auto learned = learned_route(domain);
    if (learned && !learned->assumed) return *learned;
    const auto place = postfix_ ? configured_route(domain) : MailPlace{};
    return learned && (place.assumed || !postfix_) ? *learned : place;
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

MailPlace QueueRoutes::configured_route(const std::string& domain) {
    const auto look_up = [this](const std::string& table,
                                const std::string& key) -> Result<std::optional<std::string>> {
        if (!tables_answer_)
            return fail(ErrorCode::io, "a table of transport_maps does not answer");
        auto found = postmap(directory_, table, key);
        tables_answer_ = found.has_value();
        return found;
    };
    if (!postfix_->value("transport_maps").empty() && ++domains_looked_up_ > max_domains_looked_up)
        return assumed_place(domain);
    const auto route = route_of_domain(*postfix_, domain, look_up);
    if (!route) return assumed_place(domain);
    if (route->by == DomainRoute::By::domain) return {};
    const auto next_hops = parse_next_hops(route->next_hop);
    if (next_hops.empty()) return assumed_place(domain);
    return {to_string(next_hops.front()), route->next_hop,
            route->by == DomainRoute::By::relayhost ? PlaceSource::relayhost
                                                    : PlaceSource::transport_maps};
}

}  // namespace postfathom
