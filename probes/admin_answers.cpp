// SPDX-License-Identifier: Apache-2.0
#include "probes/admin_answers.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/parse.hpp>
#include <set>

#include "lib/base/text.hpp"
#include "lib/cache/client_codec.hpp"
#include "lib/cache/record_codec.hpp"
#include "lib/mail_log/source.hpp"

namespace postfathom {

namespace json = boost::json;

namespace {

// Reports are our own, deeper than what others may send.
constexpr std::size_t max_report_depth = 32;

json::object summary(const Daemon& daemon, const NextHopRecord& record) {
    json::object object;
    object["next_hop"] = record.next_hop;
    object["verdict"] = to_json(record.verdict);
    object["age"] =
        std::chrono::duration_cast<std::chrono::seconds>(wall_now() - record.verdict.measured_at)
            .count();
    object["freshness"] =
        to_string(freshness(record.verdict, wall_now(), daemon.settings().cache.age));
    return object;
}

json::value route_json(const std::optional<RouteRecord>& route) {
    if (!route) return nullptr;
    json::object object;
    object["domain"] = route->domain;
    object["next_hop"] = route->next_hop;
    object["verbatim"] = route->verbatim;
    object["transport"] = nullptr;
    if (!route->transport.empty()) object["transport"] = route->transport;
    object["learned_at"] = to_rfc3339(route->learned_at);
    object["from_log"] = route->from_log;
    return object;
}

json::array endpoints_json(const std::vector<Endpoint>& endpoints) {
    json::array array;
    for (const auto& endpoint : endpoints) array.emplace_back(to_string(endpoint));
    return array;
}

// The paths to the endpoints, from every source that was used, with what was found over time.
json::array paths_json(const CacheReader& cache, const std::vector<Endpoint>& endpoints) {
    json::array array;
    std::set<IpAddress> seen;
    for (const auto& endpoint : endpoints) {
        if (!seen.insert(endpoint.address).second) continue;
        for (const auto& path : cache.paths(endpoint.address)) array.push_back(to_json(path));
    }
    return array;
}

json::array history_json(const CacheReader& cache, const std::vector<Endpoint>& endpoints) {
    json::array array;
    for (const auto& endpoint : endpoints) {
        const auto known = cache.endpoint(endpoint.address, endpoint.port);
        if (!known || known->endpoint.name != endpoint.name || known->history.empty()) continue;
        json::array results;
        for (const auto& past : known->history) results.push_back(to_json(past));
        json::object object;
        object["endpoint"] = to_string(endpoint);
        object["results"] = std::move(results);
        array.push_back(std::move(object));
    }
    return array;
}

json::value report_json(const std::optional<std::string>& stored) {
    if (!stored) return nullptr;
    json::parse_options options;
    options.max_depth = max_report_depth;
    json::error_code error;
    auto value = json::parse(*stored, error, {}, options);
    if (error) return nullptr;
    return value;
}

// {"NAME": [...], "next": KEY}: `list` calls visit(key, make) for each record behind a key.
template <typename List>
AdminReply answer_page(std::string_view query, std::string_view name, List list) {
    const auto page = parse_page(query);
    if (!page) return admin_error(400, "bad-query", page.error().message);
    json::array found;
    json::value next = nullptr;
    std::string last;
    list(page->after, [&](const std::string& key, const auto& make) {
        if (found.size() == page->limit) {
            next = json::string(last);
            return false;
        }
        found.push_back(make());
        last = key;
        return true;
    });
    AdminReply reply;
    reply.body[name] = std::move(found);
    reply.body["next"] = std::move(next);
    return reply;
}

}  // namespace

AdminReply answer_health() {
    AdminReply reply;
    reply.body["status"] = "ok";
    return reply;
}

AdminReply answer_status(const Daemon& daemon, std::chrono::seconds uptime) {
    const auto stored = daemon.cache().counters();
    const auto counters = daemon.counters();
    const auto& log = daemon.settings().mail_log;
    AdminReply reply;
    reply.body["version"] = POSTFATHOM_VERSION;
    reply.body["uptime"] = uptime.count();
    reply.body["cache"] = {{"destinations", stored.next_hops},
                           {"endpoints", stored.endpoints},
                           {"paths", stored.paths},
                           {"routes", stored.routes},
                           {"clients", stored.clients},
                           {"bytes_used", stored.bytes_used},
                           {"bytes_limit", stored.bytes_limit},
                           {"unreadable", stored.unreadable},
                           {"errors", counters.cache_errors}};
    reply.body["schedule"] = {
        {"queued", counters.schedule.queued},   {"running", counters.schedule.running},
        {"started", counters.schedule.started}, {"finished", counters.schedule.finished},
        {"joined", counters.schedule.joined},   {"dropped", counters.schedule.dropped},
        {"rounds", counters.schedule.rounds},   {"held_back", counters.schedule.held_back}};
    reply.body["mail_log"] = {{"lines", counters.log_lines},
                              {"deliveries", counters.observer.deliveries},
                              {"troubles", counters.observer.troubles},
                              {"clear_text_deliveries", counters.clear_text_deliveries},
                              {"source", to_string(MailLogPlace{log.journal, log.file, {}})},
                              {"last_line_at", nullptr}};
    if (counters.last_log_line)
        reply.body["mail_log"].as_object()["last_line_at"] = to_rfc3339(*counters.last_log_line);
    reply.body["notices"] = {{"received", counters.notices},
                             {"unreadable", counters.bad_notices},
                             {"clients_dropped", counters.clients_dropped},
                             {"not_ours", counters.observer.not_ours}};
    reply.body["tlsrpt"] = {{"received", counters.tls_reports},
                            {"unreadable", counters.bad_tls_reports},
                            {"not_forwarded", counters.tls_reports_lost},
                            {"successes", counters.tls_successes},
                            {"failures", counters.tls_failures},
                            {"not_placed", counters.observer.tls_not_placed}};
    const auto& sockets = daemon.sockets().counters();
    reply.body["sockets"] = {{"samples", sockets.samples},
                             {"connections", sockets.connections},
                             {"stalled", sockets.stalled},
                             {"suspected_paths", sockets.paths},
                             {"probes_wanted", counters.socket_wishes},
                             {"cost", std::chrono::duration<double>(counters.socket_cost).count()}};
    reply.body["event_readers"] = counters.event_readers;
    return reply;
}

AdminReply answer_sockets(const Daemon& daemon) {
    json::array suspicions;
    for (const auto& suspicion : daemon.sockets().suspicions())
        suspicions.push_back(to_json(suspicion));
    AdminReply reply;
    reply.body["suspicions"] = std::move(suspicions);
    return reply;
}

AdminReply answer_destinations(const Daemon& daemon, std::string_view query) {
    return answer_page(query, "destinations", [&](const auto& after, const auto& visit) {
        daemon.cache().for_each_next_hop(after, [&](const NextHopRecord& record) {
            return visit(record.next_hop, [&] { return summary(daemon, record); });
        });
    });
}

AdminReply answer_clients(const Daemon& daemon, std::string_view query) {
    const auto now = wall_now();
    return answer_page(query, "clients", [&](const auto& after, const auto& visit) {
        daemon.cache().for_each_client(after, [&](const ClientRecord& record) {
            return visit(record.network, [&] { return to_json(record, now); });
        });
    });
}

AdminReply answer_destination(const Daemon& daemon, std::string_view encoded) {
    const auto decoded = percent_decode(encoded);
    if (!decoded) return admin_error(400, "bad-destination", decoded.error().message);
    const auto next_hop = next_hop_of(*decoded);
    if (!next_hop) return next_hop.error();
    return answer_next_hop(daemon, to_string(*next_hop));
}

AdminReply answer_route(const Daemon& daemon, std::string_view encoded) {
    const auto decoded = percent_decode(encoded);
    if (!decoded) return admin_error(400, "bad-domain", decoded.error().message);
    const auto domain = to_lower(*decoded);
    AdminReply reply;
    if (const auto* configured = find_route(daemon.settings().routes, domain)) {
        reply.body = {{"domain", domain},
                      {"next_hop", configured->next_hop},
                      {"verbatim", configured->verbatim},
                      {"transport", nullptr},
                      {"learned_at", nullptr}};
        return reply;
    }
    const auto route = daemon.cache().route(domain);
    if (!route)
        return admin_error(404, "unknown-route",
                           "Postfix was not seen to route " + printable(domain, 256));
    reply.body = route_json(route).as_object();
    return reply;
}

AdminReply answer_forget(Daemon& daemon, std::string_view encoded) {
    const auto decoded = percent_decode(encoded);
    if (!decoded) return admin_error(400, "bad-destination", decoded.error().message);
    const auto next_hop = next_hop_of(*decoded);
    if (!next_hop) return next_hop.error();
    const auto name = to_string(*next_hop);
    const auto done = daemon.forget(name);
    if (!done) return admin_error(503, "cache", printable(done.error().message, 512));
    if (!*done)
        return admin_error(
            404, "unknown-destination",
            fmt::format("nothing is known of {}; postfathom list names what is", name));
    AdminReply reply;
    reply.body["next_hop"] = name;
    reply.body["state"] = "forgotten";
    return reply;
}

AdminReply answer_next_hop(const Daemon& daemon, const std::string& next_hop) {
    const auto& cache = daemon.cache();
    const auto route = cache.route(next_hop);
    // A recipient's domain stands for the next hop that its mail goes to.
    auto record = cache.next_hop(route ? route->next_hop : next_hop);
    if (!record && route) record = cache.next_hop(next_hop);
    if (!record)
        return admin_error(
            404, "unknown-destination",
            fmt::format("nothing is known of {}: Postfix was not seen to send there; "
                        "look at it with: postfathom probe {}",
                        next_hop, next_hop));
    AdminReply reply;
    reply.body = summary(daemon, *record);
    reply.body["route"] = route_json(route);
    reply.body["endpoints"] = endpoints_json(record->endpoints);
    reply.body["addresses_expire"] = nullptr;
    if (record->addresses_expire)
        reply.body["addresses_expire"] = to_rfc3339(*record->addresses_expire);
    reply.body["tls_seen"] = nullptr;
    if (record->tls_seen) reply.body["tls_seen"] = to_rfc3339(*record->tls_seen);
    reply.body["seen_only"] = record->seen_only;
    reply.body["paths"] = paths_json(cache, record->endpoints);
    reply.body["history"] = history_json(cache, record->endpoints);
    reply.body["report"] = report_json(cache.report(record->next_hop));
    return reply;
}

}  // namespace postfathom
