// SPDX-License-Identifier: Apache-2.0
// What the admin query socket answers, as JSON; admin_server.cpp carries it over HTTP.
#pragma once

#include <boost/json/object.hpp>
#include <string>
#include <string_view>

#include "lib/base/result.hpp"
#include "lib/destination/next_hop.hpp"
#include "probes/daemon.hpp"

namespace postfathom {

struct AdminReply {
    unsigned status = 200;
    boost::json::object body;
};

// {"error": {"code": "...", "message": "..."}}
AdminReply admin_error(unsigned status, std::string_view code, std::string_view message);

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

struct ProbeAsked {
    NextHop next_hop;
    std::string verbatim;
    bool wait = false;
};
// Body of POST /v1/probe; the reply says what is wrong with it.
tl::expected<ProbeAsked, AdminReply> parse_probe_asked(std::string_view body);

// RFC 3986 section 2.1. invalid_input for a '%' without two hexadecimal digits.
Result<std::string> percent_decode(std::string_view text);

}  // namespace postfathom
