// SPDX-License-Identifier: Apache-2.0
#include "probes/delivery_answers.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <set>

#include "lib/base/text.hpp"
#include "lib/cache/record_codec.hpp"

namespace postfathom {

namespace json = boost::json;

namespace {

constexpr std::size_t max_destinations = 8;  // reports are large

// Whether what is known of a next hop is about the server that the attempt failed with. A
// recipient's domain is only assumed to be the next hop where no route tells.
bool speaks_of(const NextHopRecord& record, const ProbePlace& place) {
    if (!place.assumed || !place.peer) return true;
    return std::any_of(record.endpoints.begin(), record.endpoints.end(), [&](const auto& endpoint) {
        return endpoint.address == place.peer->address;
    });
}

json::object endpoint_json(const Daemon& daemon, const EndpointRecord& record) {
    json::object object;
    object["endpoint"] = to_string(record.endpoint);
    object["verdict"] = to_json(record.verdict);
    object["freshness"] =
        to_string(freshness(record.verdict, wall_now(), daemon.settings().cache.age));
    return object;
}

struct Known {
    json::array destinations;  // as GET /v1/destinations/NEXTHOP answers
    json::array endpoints;     // servers of which no next hop tells
    json::array unknown;       // what to probe
};

Known known_of(const Daemon& daemon, const MessageStory& story) {
    Known known;
    std::set<std::string> seen;
    const auto first_time = [&](const std::string& name) { return seen.insert(name).second; };
    // What was tried last tells most.
    for (auto attempt = story.attempts.rbegin(); attempt != story.attempts.rend(); ++attempt) {
        if (attempt->status == "sent" || seen.size() >= max_destinations) continue;
        auto server = attempt->server();
        if (!server && attempt->suspended_by) server = attempt->suspended_by->server;
        const auto place = daemon.place_for(attempt->recipient_domain, server);
        if (place.next_hop.empty()) continue;
        const auto record = daemon.cache().next_hop(place.next_hop);
        if (record && speaks_of(*record, place)) {
            if (first_time(place.next_hop))
                known.destinations.push_back(answer_next_hop(daemon, place.next_hop).body);
            continue;
        }
        std::optional<EndpointRecord> endpoint;
        if (place.peer) endpoint = daemon.cache().endpoint(place.peer->address, place.peer->port);
        if (endpoint && first_time(to_string(endpoint->endpoint)))
            known.endpoints.push_back(endpoint_json(daemon, *endpoint));
        // The server itself, where the domain is known to lead to others.
        const auto to_probe = record && place.peer ? "[" + place.peer->address.to_string() +
                                                         "]:" + std::to_string(place.peer->port)
                                                   : place.next_hop;
        if (!endpoint && first_time(to_probe)) known.unknown.push_back(json::string(to_probe));
    }
    return known;
}

}  // namespace

AdminReply answer_delivery(const Daemon& daemon, std::string_view encoded) {
    const auto queue_id = percent_decode(encoded);
    if (!queue_id) return admin_error(400, "bad-queue-id", queue_id.error().message);
    if (!is_queue_id(*queue_id))
        return admin_error(400, "bad-queue-id",
                           fmt::format("\"{}\" is no queue id; expected one as the log and "
                                       "`postqueue -p` have it",
                                       printable(*queue_id, 64)));
    const auto* story = daemon.stories().find(*queue_id);
    if (story == nullptr)
        return admin_error(
            404, "unknown-queue-id",
            fmt::format("the log was not seen to tell of {} since the daemon began", *queue_id));
    AdminReply reply;
    reply.body = to_json(*story);
    auto known = known_of(daemon, *story);
    reply.body["destinations"] = std::move(known.destinations);
    reply.body["endpoints"] = std::move(known.endpoints);
    reply.body["unknown"] = std::move(known.unknown);
    return reply;
}

}  // namespace postfathom
