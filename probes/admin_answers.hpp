// SPDX-License-Identifier: Apache-2.0
// What the admin query socket answers, as JSON; admin_server.cpp carries it over HTTP.
#pragma once

#include <string>
#include <string_view>

#include "probes/admin_request.hpp"
#include "probes/daemon.hpp"

namespace postfathom {

AdminReply answer_health();
AdminReply answer_status(const Daemon& daemon, std::chrono::seconds uptime);
// `query` is what follows '?': after=NEXTHOP&limit=N.
// What live connections make us suspect.
AdminReply answer_sockets(const Daemon& daemon);
AdminReply answer_destinations(const Daemon& daemon, std::string_view query);
// Likewise, networks that mail comes from: after=NETWORK&limit=N.
AdminReply answer_clients(const Daemon& daemon, std::string_view query);
// `encoded` is the rest of the path, percent-encoded.
AdminReply answer_destination(const Daemon& daemon, std::string_view encoded);
// Where Postfix sends mail for a recipient's domain: configured, else learned.
AdminReply answer_route(const Daemon& daemon, std::string_view encoded);
// Forgets a next hop with all that was found there.
AdminReply answer_forget(Daemon& daemon, std::string_view encoded);
// What is known of a canonical next hop: verdict, freshness, route, endpoints, last report.
AdminReply answer_next_hop(const Daemon& daemon, const std::string& next_hop);

}  // namespace postfathom
