// SPDX-License-Identifier: Apache-2.0
#include "probes/observer.hpp"

#include <algorithm>
#include <utility>

#include "lib/destination/next_hop.hpp"

namespace postfathom {

namespace {

Endpoint endpoint_of(const LoggedPeer& peer) {
    Endpoint endpoint;
    endpoint.address = peer.address;
    // Texts about a conversation name no port.
    endpoint.port = peer.port.value_or(25);
    endpoint.service = service_for_port(endpoint.port);
    // Postfix prints the address in place of a name for literals, and "unknown" for nothing.
    if (peer.host != "unknown" && !IpAddress::parse(peer.host)) endpoint.name = peer.host;
    return endpoint;
}

// Trouble that a probe can find the cause of. A server that says no has said it.
bool worth_a_look(TroubleKind kind) { return kind != TroubleKind::refused_to_talk; }

// Whether a canonical next hop is HOST, [HOST] or one of these with a port.
bool has_host(std::string_view next_hop, std::string_view host) {
    const bool brackets = next_hop.starts_with('[');
    if (brackets) next_hop.remove_prefix(1);
    if (!next_hop.starts_with(host)) return false;
    const auto rest = next_hop.substr(host.size());
    return brackets ? rest.starts_with(']') : rest.empty() || rest.front() == ':';
}

void add_peer(std::vector<LoggedPeer>& peers, const LoggedPeer& peer) {
    const auto same = std::find_if(peers.begin(), peers.end(), [&](const LoggedPeer& known) {
        return known.address == peer.address &&
               (!known.port || !peer.port || *known.port == *peer.port);
    });
    if (same == peers.end()) {
        if (peers.size() < Observer::max_peers) peers.push_back(peer);
    } else if (!same->port) {
        *same = peer;  // the one that names a port knows more
    }
}

// A RouteRecord or a ConfiguredRoute. `routed`: see ProbePlace.
template <typename Route>
void take_route(ProbePlace& place, const Route& route, bool routed) {
    place.next_hop = route.next_hop;
    place.verbatim = route.verbatim;
    place.routed = routed;
}

}  // namespace

void SeenPlaces::note(ProbePlace place) {
    if (const auto known = by_name_.find(place.next_hop); known != by_name_.end()) {
        order_.splice(order_.begin(), order_, known->second);
        // What the milter learned is not undone by a guess from the log.
        if (place.assumed && !order_.front().assumed) return;
        order_.front() = std::move(place);
        return;
    }
    if (order_.size() >= limit_) {
        by_name_.erase(order_.back().next_hop);
        order_.pop_back();
    }
    order_.push_front(std::move(place));
    by_name_.emplace(order_.front().next_hop, order_.begin());
}

std::optional<ProbePlace> SeenPlaces::find(const std::string& next_hop) const {
    const auto known = by_name_.find(next_hop);
    if (known == by_name_.end()) return std::nullopt;
    return *known->second;
}

std::optional<ProbePlace> SeenPlaces::find_server(const Endpoint& server) const {
    const auto found = std::find_if(order_.begin(), order_.end(), [&](const ProbePlace& place) {
        return place.peer && place.peer->address == server.address &&
               place.peer->port == server.port;
    });
    if (found == order_.end()) return std::nullopt;
    return *found;
}

std::optional<ProbePlace> SeenPlaces::find_host(std::string_view host,
                                                const std::optional<IpAddress>& address) const {
    std::optional<ProbePlace> found;
    for (const auto& place : order_) {
        if (!has_host(place.next_hop, host)) continue;
        if (!address || (place.peer && place.peer->address == *address)) return place;
        if (!found) found = place;
    }
    return found;
}

std::vector<ProbeWish> Observer::line(const LogLine& line) {
    delivered_.reset();
    if (const auto* status = std::get_if<DeliveryStatus>(&line.event))
        return outcome(line, *status);
    if (const auto* ill = std::get_if<Trouble>(&line.event)) trouble(line.pid, *ill);
    if (const auto* tls = std::get_if<TlsEstablished>(&line.event); tls && !tls->reused)
        established(line.pid, tls->peer);
    return {};
}

Observer::Delivery& Observer::delivery_of(std::uint32_t pid) {
    if (const auto known = deliveries_.find(pid); known != deliveries_.end()) return known->second;
    if (pids_.size() >= max_processes) {
        deliveries_.erase(pids_.front());
        pids_.pop_front();
    }
    pids_.push_back(pid);
    return deliveries_[pid];
}

// An smtp(8) process serves one delivery at a time: after an outcome comes the next one.
Observer::Delivery& Observer::next_delivery_of(std::uint32_t pid) {
    auto& delivery = delivery_of(pid);
    if (!delivery.reported.empty()) delivery = Delivery{};
    return delivery;
}

void Observer::trouble(std::uint32_t pid, const Trouble& trouble) {
    ++counters_.troubles;
    auto& delivery = next_delivery_of(pid);
    delivery.clean = false;
    if (trouble.peer && worth_a_look(trouble.kind)) add_peer(delivery.ill_peers, *trouble.peer);
}

// A second attempt at the same address went well, e.g. without a middlebox's bad day.
void Observer::established(std::uint32_t pid, const LoggedPeer& peer) {
    auto& delivery = next_delivery_of(pid);
    if (delivery.tls_peers.size() < max_peers) delivery.tls_peers.push_back(peer.address);
    std::erase_if(delivery.ill_peers, [&](const LoggedPeer& ill) {
        return ill.address == peer.address && (!ill.port || ill.port == peer.port);
    });
}

ProbePlace Observer::place_for(const std::string& domain,
                               const std::optional<LoggedPeer>& peer) const {
    ProbePlace place;
    if (peer) place.peer = endpoint_of(*peer);
    // The log's own conclusions hold as long as the log agrees.
    if (const auto route = cache_.route(domain);
        route &&
        (!route->from_log || !peer || to_string(next_hop_of_relay(*peer)) == route->next_hop)) {
        take_route(place, *route, !route->from_log);
        return place;
    }
    if (const auto* route = find_route(routes_, domain)) {
        take_route(place, *route, true);
        return place;
    }
    // Without a route that says otherwise Postfix sends to the recipient's domain.
    if (const auto next_hop = parse_next_hop(domain)) {
        place.next_hop = to_string(*next_hop);
        place.assumed = true;
        const auto known = cache_.next_hop(place.next_hop);
        const auto confirms = [&](const Endpoint& endpoint) {
            return place.peer && endpoint.address == place.peer->address;
        };
        if (known && std::any_of(known->endpoints.begin(), known->endpoints.end(), confirms))
            place.assumed = false;
    }
    return place;
}

// Mail got through to a place that we call ill.
bool Observer::mended(const ProbePlace& place) const {
    if (const auto known = cache_.next_hop(place.next_hop)) return ill(known->verdict);
    if (!place.peer) return false;
    const auto known = cache_.endpoint(place.peer->address, place.peer->port);
    return known && ill(known->verdict);
}

std::vector<ProbeWish> Observer::outcome(const LogLine& line, const DeliveryStatus& status) {
    ++counters_.deliveries;
    auto found = deliveries_.find(line.pid);
    const bool sent = status.status == "sent";
    if (found != deliveries_.end() && found->second.over(line.queue_id, sent))
        found->second = Delivery{};

    std::vector<LoggedPeer> ill_peers;
    bool handshake_seen = false;
    bool clean = sent;
    if (found != deliveries_.end()) {
        ill_peers = found->second.ill_peers;
        clean = clean && found->second.clean;
        const auto& seen = found->second.tls_peers;
        handshake_seen = status.relay &&
                         std::find(seen.begin(), seen.end(), status.relay->address) != seen.end();
        found->second.reported = line.queue_id;
        found->second.sent = sent;
    }
    const bool in_trouble = !sent && status.trouble && worth_a_look(*status.trouble);
    if (in_trouble) {
        if (status.reason_peer) add_peer(ill_peers, *status.reason_peer);
        if (status.relay && ill_peers.empty()) add_peer(ill_peers, *status.relay);
    }

    if (clean && line.program == "smtp" && status.relay && status.relay->port)
        delivered_ = {status.recipient_domain, line.queue_id, *status.relay};
    const auto place = place_for(status.recipient_domain, status.relay);
    if (status.relay && !place.next_hop.empty()) places_.note(place);

    std::vector<ProbeWish> wishes;
    // Trouble before a "sent" counts too: Postfix went on to another server, or to clear text.
    for (const auto& peer : ill_peers) {
        auto ill_place = place_for(status.recipient_domain, peer);
        if (!ill_place.next_hop.empty()) places_.note(ill_place);
        wishes.push_back({std::move(ill_place), ProbeReason::failure_seen});
    }
    // A text without a host, and no line that named one: the route alone may tell the place.
    if (ill_peers.empty() && in_trouble && !place.assumed && !place.next_hop.empty())
        wishes.push_back({place, ProbeReason::failure_seen});
    if (sent && ill_peers.empty() && status.relay && mended(place))
        wishes.push_back({place, ProbeReason::recovered, handshake_seen});
    return wishes;
}

void Observer::other_line(std::string_view line) {
    delivered_.reset();
    const auto head = take_head(line);
    if (!head || head->pid == 0 || head->program != "smtp") return;
    // "host HOST[ADDR] said: 450 ... (in reply to RCPT TO command)": Postfix tries the next server,
    // and smtp_fallback_relay in the end.
    if (!take_queue_id(line).empty() && line.starts_with("host "))
        next_delivery_of(head->pid).clean = false;
}

std::optional<LoggedRoute> Observer::logged_route(CacheChange& change, WallTime now) {
    constexpr std::chrono::hours refresh_after{24};
    const auto delivered = std::exchange(delivered_, std::nullopt);
    // What listens on this host is a content filter, and the message will be seen again behind it.
    if (!delivered || delivered->relay.address.is_loopback()) return std::nullopt;
    const auto& domain = delivered->domain;
    const auto parsed = parse_next_hop(domain);
    if (!parsed || parsed->literal || parsed->port || parsed->host != domain) return std::nullopt;
    const auto& relay = delivered->relay;
    const auto next_hop = next_hop_of_relay(relay);
    if (relay.host == "unknown" || next_hop.host == domain) return std::nullopt;

    const auto known = cache_.route(domain);
    if (known && !known->from_log) return std::nullopt;
    RouteRecord route{domain, to_string(next_hop), to_string(next_hop), "smtp", now, true};
    if (find_route(routes_, domain) != nullptr) {
        if (known) change.lost_routes.push_back(domain);
        return std::nullopt;
    }
    if (known && known->next_hop != route.next_hop) {
        change.lost_routes.push_back(domain);
        ways_.doubt(domain);
        return std::nullopt;
    }
    if (known) {
        if (known->learned_at <= now - refresh_after) change.routes.push_back(std::move(route));
        return std::nullopt;
    }
    if (!ways_.add(domain, route.next_hop, delivered->queue_id)) return std::nullopt;
    return LoggedRoute{std::move(route), relay, !next_hop.port};
}

std::vector<ProbeWish> Observer::notice(const Notice& notice, CacheChange& change, WallTime now) {
    if (const auto* route = std::get_if<RouteLearned>(&notice)) return learned(*route, change, now);
    if (const auto* wish = std::get_if<VerdictWanted>(&notice)) return wanted(*wish);
    if (const auto* failure = std::get_if<FailureSeen>(&notice)) return failed(*failure);
    return {};
}

std::vector<ProbeWish> Observer::learned(const RouteLearned& notice, CacheChange& change,
                                         WallTime now) {
    const auto next_hop = parse_next_hop(notice.route.next_hop);
    if (!next_hop || notice.route.domain.empty()) return {};
    auto route = notice.route;
    route.next_hop = to_string(*next_hop);
    route.learned_at = now;
    ProbePlace place;
    take_route(place, route, true);
    places_.note(place);
    change.routes.push_back(std::move(route));
    if (auto known = cache_.next_hop(place.next_hop)) {
        // Postfix itself says that it goes by this name.
        if (std::exchange(known->seen_only, false)) change.next_hops.push_back(std::move(*known));
        return {};
    }
    return {{std::move(place), ProbeReason::verdict_wanted}};
}

std::vector<ProbeWish> Observer::wanted(const VerdictWanted& notice) {
    const auto parsed = parse_next_hop(notice.next_hop);
    if (!parsed) return {};
    const auto next_hop = to_string(*parsed);
    if (auto place = places_.find(next_hop))
        return {{std::move(*place), ProbeReason::verdict_wanted}};
    ProbePlace place;
    place.next_hop = next_hop;
    if (const auto route = cache_.route(parsed->host); route && route->next_hop == next_hop) {
        take_route(place, *route, !route->from_log);
        return {{std::move(place), ProbeReason::verdict_wanted}};
    }
    if (cache_.next_hop(next_hop)) return {{std::move(place), ProbeReason::verdict_wanted}};
    const auto configured =
        std::find_if(routes_.begin(), routes_.end(),
                     [&](const ConfiguredRoute& route) { return route.next_hop == next_hop; });
    if (configured != routes_.end()) {
        take_route(place, *configured, true);
        return {{std::move(place), ProbeReason::verdict_wanted}};
    }
    // Recipient domains are chosen by outsiders.
    ++counters_.not_ours;
    return {};
}

// smtp(8) itself asked for the text of a failure there, so it is a place that Postfix sends to.
std::vector<ProbeWish> Observer::failed(const FailureSeen& notice) {
    ProbePlace place;
    if (!notice.endpoint.address.is_unspecified()) place.peer = notice.endpoint;
    if (const auto next_hop = parse_next_hop(notice.next_hop)) {
        place.next_hop = to_string(*next_hop);
        const auto seen = places_.find(place.next_hop);
        place.assumed = (!seen || seen->assumed) && !cache_.next_hop(place.next_hop);
        place.routed = seen && seen->routed;
    } else if (place.peer) {
        if (const auto known = cache_.endpoint(place.peer->address, place.peer->port);
            known && !known->next_hops.empty())
            place.next_hop = known->next_hops.front();
    }
    if (place.next_hop.empty() && !place.peer) return {};
    if (place.assumed && !place.peer) {
        ++counters_.not_ours;
        return {};
    }
    return {{std::move(place), ProbeReason::failure_seen}};
}

// The place that a TLS report is about, which gives its host only. One that mail was seen to go to,
// else one that we know, else the host as a mail domain; that one only when the server has another
// name, for then Postfix found it by an MX record, and its port is 25. A relay of a configuration
// may have any.
std::optional<ProbePlace> Observer::place_of_report(const std::string& host,
                                                    const std::optional<LoggedPeer>& peer) const {
    std::optional<IpAddress> address;
    if (peer) address = peer->address;
    auto place = places_.find_host(host, address);
    if (!place &&
        (cache_.next_hop(host) || (peer && peer->host != host && peer->host != "unknown"))) {
        place.emplace();
        place->next_hop = host;
    }
    if (!place) return std::nullopt;
    const auto seen = std::exchange(place->peer, std::nullopt);
    const bool guessed = std::exchange(place->assumed, false);
    if (!peer) {
        // Nothing but a report speaks for a place that we do not know.
        if (!seen && !cache_.next_hop(place->next_hop)) return std::nullopt;
        return place;
    }
    auto server = *peer;
    const auto next_hop = parse_next_hop(place->next_hop);
    server.port = seen ? seen->port : next_hop && next_hop->port ? *next_hop->port : 25;
    place->peer = endpoint_of(server);
    const auto known = cache_.next_hop(place->next_hop);
    const auto confirms = [&](const Endpoint& endpoint) {
        return endpoint.address == server.address;
    };
    place->assumed =
        !(seen && !guessed && confirms(*seen)) &&
        !(known && std::any_of(known->endpoints.begin(), known->endpoints.end(), confirms));
    return place;
}

std::vector<ProbeWish> Observer::tls_report(const TlsReport& report) {
    std::vector<ProbeWish> wishes;
    if (report.succeeded) {
        // With which of the next hop's servers, is not told.
        if (auto place = place_of_report(report.domain, std::nullopt); place && mended(*place))
            wishes.push_back({std::move(*place), ProbeReason::recovered});
        return wishes;
    }
    for (const auto& failure : report.failures) {
        if (!concerns_server(failure.kind)) continue;
        auto place = place_of_report(report.domain, failure.peer);
        if (!place) {
            ++counters_.tls_not_placed;
            continue;
        }
        wishes.push_back({std::move(*place), ProbeReason::failure_seen});
    }
    return wishes;
}

std::optional<ProbePlace> Observer::place_of_server(const Endpoint& server) const {
    if (auto seen = places_.find_server(server)) return seen;
    const auto known = cache_.endpoint(server.address, server.port);
    if (!known || known->next_hops.empty()) return std::nullopt;
    ProbePlace place;
    place.next_hop = known->next_hops.front();
    place.peer = known->endpoint;
    return place;
}

Observer::Counters Observer::counters() const {
    auto counters = counters_;
    counters.processes = deliveries_.size();
    counters.places = places_.size();
    return counters;
}

}  // namespace postfathom
