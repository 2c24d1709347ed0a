// SPDX-License-Identifier: Apache-2.0
// What the daemon does with what is suspected of the paths of live connections: tells it once, and
// asks for a probe where the peer is a place that mail goes to.
#include <fmt/format.h>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>

#include "lib/base/log.hpp"
#include "lib/diagnosis/client.hpp"
#include "probes/daemon.hpp"

namespace postfathom {

namespace {

Endpoint endpoint_of(const PathSuspicion& suspicion) {
    Endpoint endpoint;
    endpoint.address = suspicion.peer;
    endpoint.port = suspicion.port;
    endpoint.service = service_for_port(suspicion.port);
    return endpoint;
}

template <typename Number>
boost::json::value or_null(const std::optional<Number>& number) {
    if (!number) return nullptr;
    if constexpr (std::is_same_v<Number, PathMtu>)
        return number->bytes;
    else
        return *number;
}

}  // namespace

boost::json::object to_json(const PathSuspicion& suspicion) {
    boost::json::object object;
    object["side"] = to_string(suspicion.side);
    object["direction"] = to_string(suspicion.direction);
    object["certainty"] = to_string(suspicion.certainty);
    object["local"] = suspicion.local.to_string();
    object["peer"] = suspicion.peer.to_string();
    object["port"] = suspicion.port;
    object["fails"] = or_null(suspicion.fails);
    object["fails_at_most"] = or_null(suspicion.at_most);
    object["passes"] = or_null(suspicion.passes);
    object["connections"] = suspicion.connections;
    object["losses"] = suspicion.losses == 0 ? boost::json::value() : suspicion.losses;
    object["arrivals"] = suspicion.arrivals == 0 ? boost::json::value() : suspicion.arrivals;
    object["chance"] = or_null(suspicion.chance);
    object["summary"] = summary(suspicion);
    return object;
}

void Daemon::on_sockets(std::span<const SocketSample> sockets, std::chrono::microseconds cost) {
    counters_.socket_cost = cost;
    const auto now = std::chrono::steady_clock::now();
    sockets_.sample(sockets, now);
    for (const auto& suspicion : sockets_.suspicions()) {
        const bool outgoing = suspicion.side == MailSide::to_server;
        const auto where = outgoing ? suspicion.peer.to_string() : client_network(suspicion.peer);
        // A path's suspicion grows: each step is told once an hour.
        const auto key =
            fmt::format("{} {} {} {}", where, to_string(suspicion.side),
                        to_string(suspicion.direction), to_string(suspicion.certainty));
        if (!socket_news_.allow(key, now)) continue;
        tell(suspicion);
        if (outgoing) wish_for(suspicion);
    }
}

void Daemon::on_socket_ended(const SocketSample& socket) {
    sockets_.ended(socket, std::chrono::steady_clock::now());
}

void Daemon::tell(const PathSuspicion& suspicion) {
    auto event = to_json(suspicion);
    event["event"] = "socket-suspicion";
    event["at"] = to_rfc3339(wall_now());
    events_.publish(event);
    const bool sure = suspicion.certainty == Certainty::convicted;
    if (suspicion.side == MailSide::to_server)
        log::write(sure ? log::Level::warning : log::Level::info,
                   fmt::format("{}: connections of this host: {}",
                               to_string(endpoint_of(suspicion)), summary(suspicion)));
    else
        log::write(sure ? log::Level::warning : log::Level::info,
                   fmt::format("{}: connections to our port {}: {} (first seen with {})",
                               client_network(suspicion.peer), suspicion.port, summary(suspicion),
                               suspicion.peer.to_string()));
}

// Any process of this host may connect to a mail port: only places that mail is known to go to are
// probed.
void Daemon::wish_for(const PathSuspicion& suspicion) {
    const auto endpoint = endpoint_of(suspicion);
    auto place = observer_.place_of_server(endpoint);
    if (!place) return;
    ++counters_.socket_wishes;
    request(std::move(*place), ProbeReason::failure_seen);
}

}  // namespace postfathom
