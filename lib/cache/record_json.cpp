// SPDX-License-Identifier: Apache-2.0
// Records as the admin socket shows them: every field, null when unknown, times for people.
#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

#include "lib/base/text.hpp"
#include "lib/cache/json_fields.hpp"
#include "lib/cache/record_codec.hpp"

namespace postfathom {
namespace {

namespace json = boost::json;

constexpr std::size_t max_text = 64;

json::value bytes_or_null(const std::optional<PathMtu>& size) {
    if (!size) return nullptr;
    return std::min(size->bytes, max_packet_bytes);
}

json::value text_or_null(std::string_view text) {
    if (text.empty()) return nullptr;
    return json::string(printable(text, max_text));
}

json::object to_json(const PastSizes& past) {
    json::object object;
    object["since"] = to_rfc3339(past.since);
    object["at"] = to_rfc3339(past.at);
    object["inbound"] = bytes_or_null(past.inbound);
    object["inbound_exact"] = past.inbound_exact;
    object["outbound"] = bytes_or_null(past.outbound);
    object["outbound_exact"] = past.outbound_exact;
    return object;
}

}  // namespace

json::object to_json(const KnownVerdict& verdict) {
    json::object object;
    object["id"] = to_string(verdict.id);
    object["severity"] = to_string(verdict.severity);
    object["direction"] = nullptr;
    if (verdict.direction) object["direction"] = to_string(*verdict.direction);
    object["path_mtu"] = bytes_or_null(verdict.path_mtu);
    object["path_mtu_exact"] = verdict.path_mtu_exact;
    object["path_mtu_below"] = bytes_or_null(verdict.path_mtu_below);
    object["usable_mss"] = nullptr;
    if (verdict.usable_mss)
        object["usable_mss"] = std::min(verdict.usable_mss->bytes, max_packet_bytes);
    object["sizes"] = text_or_null(verdict.sizes);
    object["since"] = to_rfc3339(verdict.since);
    object["measured_at"] = to_rfc3339(verdict.measured_at);
    object["suspected"] = nullptr;
    if (verdict.suspected)
        object["suspected"] = {{"id", to_string(verdict.suspected->id)},
                               {"at", to_rfc3339(verdict.suspected->at)}};
    object["varies"] = nullptr;
    if (verdict.varies)
        object["varies"] = {{"from", bytes_or_null(verdict.varies->low)},
                            {"to", bytes_or_null(verdict.varies->high)}};
    object["comes_and_goes"] = verdict.comes_and_goes;
    object["summary"] = brief(verdict);
    return object;
}

json::object to_json(const PathRecord& record) {
    json::object object;
    object["source"] = record.source.to_string();
    object["destination"] = record.destination.to_string();
    object["interface"] = text_or_null(record.interface);
    object["interface_mtu"] = bytes_or_null(record.interface_mtu);
    object["inbound"] = bytes_or_null(record.inbound);
    object["inbound_exact"] = record.inbound_exact;
    object["inbound_fails"] = bytes_or_null(record.inbound_fails);
    object["outbound"] = bytes_or_null(record.outbound);
    object["outbound_exact"] = record.outbound_exact;
    object["outbound_fails"] = bytes_or_null(record.outbound_fails);
    object["measured_at"] = to_rfc3339(record.measured_at);
    json::array history;
    for (const auto& past : record.history) history.push_back(to_json(past));
    object["history"] = std::move(history);
    return object;
}

json::object to_json(const PastVerdict& past) {
    json::object object;
    object["since"] = to_rfc3339(past.since);
    object["at"] = to_rfc3339(past.at);
    object["source"] = past.source.to_string();
    object["id"] = to_string(past.id);
    object["ill"] = past.ill;
    return object;
}

}  // namespace postfathom
