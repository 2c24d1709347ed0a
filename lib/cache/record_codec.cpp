// SPDX-License-Identifier: Apache-2.0
#include "lib/cache/record_codec.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/json/array.hpp>
#include <boost/json/monotonic_resource.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

#include "lib/base/text.hpp"
#include "lib/cache/json_fields.hpp"

namespace postfathom {
namespace {

namespace json = boost::json;

constexpr std::size_t max_interface_text = 64;  // IFNAMSIZ is 16, alternative names are longer
constexpr std::size_t max_sizes_text = 64;
constexpr std::size_t max_endpoints = 64;
constexpr std::size_t max_next_hops = 16;

// What is written can be read again: sizes beyond any packet, as a misread kernel counter would
// give, become the largest one.
std::uint32_t packet_bytes(std::uint32_t bytes) { return std::min(bytes, max_packet_bytes); }

// Absent when unknown, never 0.
void put(json::object& object, std::string_view key, const std::optional<PathMtu>& size) {
    if (size) object[key] = packet_bytes(size->bytes);
}

// ---- values within records

json::object encode_endpoint(const Endpoint& endpoint) {
    json::object object;
    object["address"] = endpoint.address.to_string();
    object["port"] = endpoint.port;
    object["service"] = to_string(endpoint.service);
    if (!endpoint.name.empty()) object["name"] = printable(endpoint.name, max_domain_text);
    return object;
}

Endpoint decode_endpoint_fields(JsonFields& fields) {
    Endpoint endpoint;
    endpoint.address = fields.address("address");
    endpoint.port = static_cast<std::uint16_t>(fields.number("port", 1, 65535));
    endpoint.service = fields.word("service", parse_service);
    endpoint.name = fields.text_or_empty("name", max_domain_text);
    return endpoint;
}

json::object encode_verdict(const KnownVerdict& verdict) {
    json::object object;
    object["id"] = to_string(verdict.id);
    object["severity"] = to_string(verdict.severity);
    if (verdict.direction) object["direction"] = to_string(*verdict.direction);
    put(object, "path_mtu", verdict.path_mtu);
    if (verdict.path_mtu_exact) object["path_mtu_exact"] = true;
    put(object, "path_mtu_below", verdict.path_mtu_below);
    if (verdict.usable_mss) object["usable_mss"] = packet_bytes(verdict.usable_mss->bytes);
    if (!verdict.sizes.empty()) object["sizes"] = printable(verdict.sizes, max_sizes_text);
    object["since"] = milliseconds(verdict.since);
    object["measured_at"] = milliseconds(verdict.measured_at);
    if (verdict.suspected) {
        object["suspected"] = to_string(verdict.suspected->id);
        object["suspected_at"] = milliseconds(verdict.suspected->at);
    }
    if (verdict.varies) {
        object["varies_from"] = packet_bytes(verdict.varies->low.bytes);
        object["varies_to"] = packet_bytes(verdict.varies->high.bytes);
    }
    if (verdict.comes_and_goes) object["comes_and_goes"] = true;
    return object;
}

std::optional<PathMtu> decode_path_mtu(JsonFields& fields, std::string_view key) {
    const auto bytes = fields.optional_number(key, 0, max_packet_bytes);
    if (!bytes) return std::nullopt;
    return PathMtu{static_cast<std::uint32_t>(*bytes)};
}

KnownVerdict decode_verdict(JsonFields& outer) {
    const auto* object = outer.object("verdict");
    if (object == nullptr) return {};
    JsonFields fields(*object, "verdict");
    KnownVerdict verdict;
    verdict.id = fields.word("id", parse_diagnosis_id);
    verdict.severity = fields.word("severity", parse_severity);
    verdict.direction = fields.optional_word("direction", parse_direction);
    verdict.path_mtu = decode_path_mtu(fields, "path_mtu");
    verdict.path_mtu_exact = fields.flag("path_mtu_exact");
    verdict.path_mtu_below = decode_path_mtu(fields, "path_mtu_below");
    if (const auto bytes = fields.optional_number("usable_mss", 0, max_packet_bytes))
        verdict.usable_mss = Mss{static_cast<std::uint32_t>(*bytes)};
    verdict.sizes = fields.text_or_empty("sizes", max_sizes_text);
    verdict.since = fields.time("since");
    verdict.measured_at = fields.time("measured_at");
    if (const auto id = fields.optional_word("suspected", parse_diagnosis_id))
        verdict.suspected = Suspicion{*id, fields.time("suspected_at")};
    const auto low = decode_path_mtu(fields, "varies_from");
    const auto high = decode_path_mtu(fields, "varies_to");
    if (low && high) verdict.varies = SizeRange{*low, *high};
    verdict.comes_and_goes = fields.flag("comes_and_goes");
    if (fields.failed()) outer.adopt(fields);
    return verdict;
}

// ---- what was found before

json::object encode_past(const PastVerdict& past) {
    json::object object;
    object["since"] = milliseconds(past.since);
    object["at"] = milliseconds(past.at);
    object["source"] = past.source.to_string();
    object["id"] = to_string(past.id);
    if (past.ill) object["ill"] = true;
    return object;
}

json::object encode_past(const PastSizes& past) {
    json::object object;
    object["since"] = milliseconds(past.since);
    object["at"] = milliseconds(past.at);
    put(object, "inbound", past.inbound);
    if (past.inbound_exact) object["inbound_exact"] = true;
    put(object, "outbound", past.outbound);
    if (past.outbound_exact) object["outbound_exact"] = true;
    return object;
}

PastVerdict decode_past_verdict(JsonFields& fields) {
    PastVerdict past;
    past.since = fields.time("since");
    past.at = fields.time("at");
    past.source = fields.address("source");
    past.id = fields.word("id", parse_diagnosis_id);
    past.ill = fields.flag("ill");
    return past;
}

PastSizes decode_past_sizes(JsonFields& fields) {
    PastSizes past;
    past.since = fields.time("since");
    past.at = fields.time("at");
    past.inbound = decode_path_mtu(fields, "inbound");
    past.inbound_exact = fields.flag("inbound_exact");
    past.outbound = decode_path_mtu(fields, "outbound");
    past.outbound_exact = fields.flag("outbound_exact");
    return past;
}

// The latest that fit in; nothing when there is none, as in records of before.
template <typename Past>
void put_history(json::object& object, const std::vector<Past>& history) {
    if (history.empty()) return;
    json::array array;
    const auto skipped = history.size() > max_history ? history.size() - max_history : 0;
    for (auto i = skipped; i < history.size(); ++i) array.push_back(encode_past(history[i]));
    object["history"] = std::move(array);
}

template <typename Past>
std::vector<Past> decode_history(JsonFields& outer, Past (*read)(JsonFields&)) {
    std::vector<Past> history;
    const auto* elements = outer.optional_array("history", max_history);
    if (elements == nullptr) return history;
    for (const auto& element : *elements) {
        const auto* object = element.if_object();
        if (object == nullptr) {
            outer.refuse("history", "objects");
            break;
        }
        JsonFields fields(*object, "history");
        history.push_back(read(fields));
        if (fields.failed()) {
            outer.adopt(fields);
            break;
        }
    }
    return history;
}

std::vector<Endpoint> decode_endpoints(JsonFields& outer) {
    std::vector<Endpoint> endpoints;
    const auto* elements = outer.optional_array("endpoints", max_endpoints);
    if (elements == nullptr) return endpoints;
    endpoints.reserve(elements->size());
    for (const auto& element : *elements) {
        const auto* object = element.if_object();
        if (object == nullptr) {
            outer.refuse("endpoints", "objects");
            break;
        }
        JsonFields fields(*object, "endpoint");
        endpoints.push_back(decode_endpoint_fields(fields));
        if (fields.failed()) {
            outer.adopt(fields);
            break;
        }
    }
    return endpoints;
}

std::vector<std::string> decode_next_hops(JsonFields& outer) {
    std::vector<std::string> next_hops;
    const auto* elements = outer.optional_array("next_hops", max_next_hops);
    if (elements == nullptr) return next_hops;
    for (const auto& element : *elements) {
        const auto* text = element.if_string();
        if (text == nullptr || text->empty() || text->size() > max_next_hop_text ||
            !is_printable({text->data(), text->size()})) {
            outer.refuse("next_hops", "a list of next hops");
            break;
        }
        next_hops.emplace_back(text->data(), text->size());
    }
    return next_hops;
}

json::object new_record() {
    json::object object;
    object["v"] = record_version;
    return object;
}

// Parses into memory on the stack, which the usual record does not outgrow, and hands the fields to
// `read`.
template <typename Record>
Result<Record> decode_record(std::string_view bytes, std::string_view what,
                             Record (*read)(JsonFields& fields)) {
    // Written by the parser, not to be cleared first.
    std::array<unsigned char, 4096> stack;  // NOLINT(*-member-init)
    json::monotonic_resource memory(stack.data(), stack.size());
    const auto value = parse_json(bytes, max_record_bytes, &memory);
    if (!value) return fail(value.error().code, fmt::format("{}: {}", what, value.error().message));
    const auto* object = value->if_object();
    if (object == nullptr)
        return fail(ErrorCode::corrupt, fmt::format("{}: expected an object", what));
    JsonFields fields(*object, what);
    fields.number("v", record_version, record_version);
    auto record = read(fields);
    if (fields.failed()) return tl::make_unexpected(fields.error());
    return record;
}

NextHopRecord read_next_hop(JsonFields& fields) {
    NextHopRecord record;
    record.next_hop = fields.key_text("next_hop", max_next_hop_text);
    record.verdict = decode_verdict(fields);
    record.endpoints = decode_endpoints(fields);
    record.addresses_expire = fields.optional_time("addresses_expire");
    record.tls_seen = fields.optional_time("tls_seen");
    record.seen_only = fields.flag("seen_only");
    record.tls_floor = fields.optional_word("tls_floor", &parse_tls_level);
    return record;
}

EndpointRecord read_endpoint(JsonFields& fields) {
    EndpointRecord record;
    record.endpoint = decode_endpoint_fields(fields);
    record.verdict = decode_verdict(fields);
    record.next_hops = decode_next_hops(fields);
    record.starttls_seen = fields.optional_time("starttls_seen");
    record.history = decode_history(fields, &decode_past_verdict);
    return record;
}

PathRecord read_path(JsonFields& fields) {
    PathRecord record;
    record.source = fields.address("source");
    record.destination = fields.address("destination");
    record.interface = fields.text_or_empty("interface", max_interface_text);
    record.interface_mtu = decode_path_mtu(fields, "interface_mtu");
    record.inbound = decode_path_mtu(fields, "inbound");
    record.inbound_exact = fields.flag("inbound_exact");
    record.inbound_fails = decode_path_mtu(fields, "inbound_fails");
    record.outbound = decode_path_mtu(fields, "outbound");
    record.outbound_exact = fields.flag("outbound_exact");
    record.outbound_fails = decode_path_mtu(fields, "outbound_fails");
    record.measured_at = fields.time("measured_at");
    record.history = decode_history(fields, &decode_past_sizes);
    return record;
}

RouteRecord read_route(JsonFields& fields) {
    RouteRecord record;
    record.domain = fields.key_text("domain", max_domain_text);
    record.next_hop = fields.key_text("next_hop", max_next_hop_text);
    record.verbatim = fields.text_or_empty("verbatim", max_verbatim_text);
    record.transport = fields.text_or_empty("transport", max_transport_text);
    record.learned_at = fields.time("learned_at");
    record.from_log = fields.flag("from_log");
    return record;
}

}  // namespace

std::string encode(const NextHopRecord& record) {
    auto object = new_record();
    object["next_hop"] = printable(record.next_hop, max_next_hop_text);
    object["verdict"] = encode_verdict(record.verdict);
    json::array endpoints;
    for (const auto& endpoint : record.endpoints) {
        if (endpoints.size() == max_endpoints) break;
        endpoints.push_back(encode_endpoint(endpoint));
    }
    object["endpoints"] = std::move(endpoints);
    if (record.addresses_expire)
        object["addresses_expire"] = milliseconds(*record.addresses_expire);
    if (record.tls_seen) object["tls_seen"] = milliseconds(*record.tls_seen);
    if (record.seen_only) object["seen_only"] = true;
    if (record.tls_floor) object["tls_floor"] = to_string(*record.tls_floor);
    return json::serialize(object);
}

std::string encode(const EndpointRecord& record) {
    auto object = new_record();
    for (auto& field : encode_endpoint(record.endpoint)) object[field.key()] = field.value();
    object["verdict"] = encode_verdict(record.verdict);
    json::array next_hops;
    for (const auto& next_hop : record.next_hops) {
        if (next_hops.size() == max_next_hops) break;
        next_hops.push_back(json::string(printable(next_hop, max_next_hop_text)));
    }
    object["next_hops"] = std::move(next_hops);
    put_history(object, record.history);
    if (record.starttls_seen) object["starttls_seen"] = milliseconds(*record.starttls_seen);
    return json::serialize(object);
}

std::string encode(const PathRecord& record) {
    auto object = new_record();
    object["source"] = record.source.to_string();
    object["destination"] = record.destination.to_string();
    if (!record.interface.empty())
        object["interface"] = printable(record.interface, max_interface_text);
    put(object, "interface_mtu", record.interface_mtu);
    put(object, "inbound", record.inbound);
    if (record.inbound_exact) object["inbound_exact"] = true;
    put(object, "inbound_fails", record.inbound_fails);
    put(object, "outbound", record.outbound);
    if (record.outbound_exact) object["outbound_exact"] = true;
    put(object, "outbound_fails", record.outbound_fails);
    object["measured_at"] = milliseconds(record.measured_at);
    put_history(object, record.history);
    return json::serialize(object);
}

std::string encode(const RouteRecord& record) {
    auto object = new_record();
    object["domain"] = printable(record.domain, max_domain_text);
    object["next_hop"] = printable(record.next_hop, max_next_hop_text);
    if (!record.verbatim.empty())
        object["verbatim"] = printable(record.verbatim, max_verbatim_text);
    if (!record.transport.empty())
        object["transport"] = printable(record.transport, max_transport_text);
    object["learned_at"] = milliseconds(record.learned_at);
    if (record.from_log) object["from_log"] = true;
    return json::serialize(object);
}

Result<NextHopRecord> decode_next_hop(std::string_view bytes) {
    return decode_record(bytes, "next-hop record", &read_next_hop);
}

Result<EndpointRecord> decode_endpoint(std::string_view bytes) {
    return decode_record(bytes, "endpoint record", &read_endpoint);
}

Result<PathRecord> decode_path(std::string_view bytes) {
    return decode_record(bytes, "path record", &read_path);
}

Result<RouteRecord> decode_route(std::string_view bytes) {
    return decode_record(bytes, "route record", &read_route);
}

}  // namespace postfathom
