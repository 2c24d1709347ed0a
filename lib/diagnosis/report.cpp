// SPDX-License-Identifier: Apache-2.0
// The report as data: schema 1 of docs/architecture.md. Sizes are bytes, times seconds, unknown is
// null.
#include "lib/diagnosis/report.hpp"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <cmath>
#include <string_view>

#include "lib/base/text.hpp"
#include "lib/diagnosis/certificate_time.hpp"

namespace postfathom {
namespace {

namespace json = boost::json;

json::value text_or_null(std::string_view text) {
    if (text.empty()) return nullptr;
    return json::string(printable(text));
}

json::value bytes_or_null(const std::optional<PathMtu>& size) {
    if (!size || size->bytes == 0) return nullptr;
    return size->bytes;
}

json::value count_or_null(std::uint32_t count) {
    if (count == 0) return nullptr;
    return count;
}

// Whole milliseconds (and hundredths of confidence are whole in them): more digits say nothing.
json::value rounded(double value) {
    if (!std::isfinite(value)) return nullptr;
    return std::round(value * 1000.0) / 1000.0;
}

json::value time_or_null(WallTime time) {
    if (time == WallTime{} || time < first_printable_time || time >= last_printable_time)
        return nullptr;
    return json::string(to_rfc3339(time));
}

json::array texts(const std::vector<std::string>& lines) {
    json::array array;
    for (const auto& line : lines) array.emplace_back(line);
    return array;
}

json::object vantage_json(const Vantage& vantage) {
    json::object object;
    object["source"] = vantage.source.is_unspecified() ? json::value(nullptr)
                                                       : json::string(vantage.source.to_string());
    object["interface"] = text_or_null(vantage.interface);
    object["interface_mtu"] = bytes_or_null(vantage.interface_mtu);
    object["route_mtu"] = bytes_or_null(vantage.route_mtu);
    return object;
}

json::object path_mtu_json(const Evidence& evidence) {
    const auto inbound = inbound_path(evidence);
    const auto discovery = inbound_discovery_works(evidence);
    json::object object;
    object["inbound"] = bytes_or_null(inbound.path_mtu);
    object["inbound_exact"] = inbound.path_mtu.has_value() && inbound.exact;
    object["outbound"] = nullptr;
    object["outbound_exact"] = false;
    object["discovery_works"] = discovery ? json::value(*discovery) : json::value(nullptr);
    return object;
}

json::value certificate_json(const HandshakeFacts& handshake) {
    if (!handshake.certificate) return nullptr;
    const auto& facts = *handshake.certificate;
    json::array names;
    for (const auto& name : facts.names) names.emplace_back(printable(name));
    json::object object;
    object["subject"] = text_or_null(facts.subject);
    object["issuer"] = text_or_null(facts.issuer);
    object["names"] = std::move(names);
    object["not_before"] = time_or_null(facts.not_before);
    object["not_after"] = time_or_null(facts.not_after);
    object["chain_length"] = count_or_null(facts.chain_length);
    object["chain_bytes"] = count_or_null(facts.chain_bytes);
    object["key"] = text_or_null(facts.key);
    object["key_bits"] = count_or_null(facts.key_bits);
    object["signature"] = text_or_null(facts.signature);
    object["verified"] = facts.verify_code == 0;
    object["verify_text"] = text_or_null(facts.verify_text);
    object["self_signed"] = facts.self_signed;
    object["name_matches"] = facts.name_matches;
    object["missing_issuer"] = text_or_null(facts.missing_issuer);
    return object;
}

// "stalled" and "client-hello-sent" say more than that time passed in the handshake.
std::string_view handshake_outcome(const Evidence& evidence) {
    if (evidence.reached == Phase::handshake && evidence.outcome == Outcome::timed_out)
        return evidence.first_attempt_recovered ? "ok" : "stalled";
    return to_string(evidence.outcome);
}

std::string_view handshake_reached(const Evidence& evidence) {
    if (evidence.reached == Phase::handshake && evidence.outcome != Outcome::ok)
        return "client-hello-sent";
    return to_string(evidence.reached);
}

json::object handshake_json(const Evidence& evidence) {
    const HandshakeFacts facts = evidence.handshake.value_or(HandshakeFacts{});
    json::object object;
    object["outcome"] = handshake_outcome(evidence);
    object["reached"] = handshake_reached(evidence);
    object["recovered"] = evidence.first_attempt_recovered;
    object["reply"] = text_or_null(evidence.reply);
    object["protocol"] = text_or_null(facts.protocol);
    object["cipher"] = text_or_null(facts.cipher);
    object["key_exchange"] = text_or_null(facts.key_exchange);
    object["tls_error"] = text_or_null(facts.tls_error);
    object["certificate"] = certificate_json(facts);
    return object;
}

json::object timings_json(const Evidence& evidence) {
    json::object object;
    for (const auto& timing : evidence.timings)
        object[to_string(timing.phase)] = rounded(timing.seconds);
    return object;
}

json::value counters_json(const TcpCounters& counters) {
    if (counters == TcpCounters{}) return nullptr;  // there was no connection to ask
    json::object object;
    object["advertised_mss"] = count_or_null(counters.advertised_mss);
    object["received_mss"] = count_or_null(counters.received_mss);
    object["send_mss"] = count_or_null(counters.send_mss);
    object["peer_mss"] = count_or_null(counters.peer_mss);
    object["bytes_received"] = counters.bytes_received;
    object["out_of_order_segments"] = counters.out_of_order_segments;
    object["retransmits"] = counters.retransmits_total;
    object["dsack_duplicates"] = counters.dsack_duplicates;
    object["rtt"] = counters.rtt_microseconds == 0
                        ? json::value(nullptr)
                        : json::value(static_cast<double>(counters.rtt_microseconds) / 1e6);
    return object;
}

json::object attempt_json(const Attempt& attempt) {
    json::object object;
    object["allowed"] = bytes_or_null(attempt.allowed);
    object["clamped"] = attempt.clamped;
    object["reached"] = to_string(attempt.reached);
    object["outcome"] = to_string(attempt.outcome);
    object["stall"] = attempt.stall == StallShape::none ? json::value(nullptr)
                                                        : json::value(to_string(attempt.stall));
    object["largest_received"] = bytes_or_null(attempt.largest_received);
    object["large_lost"] = attempt.large_lost;
    object["small_received"] = attempt.small_received;
    object["hello_bytes"] = count_or_null(attempt.hello_bytes);
    object["seconds"] = attempt.seconds == 0 ? json::value(nullptr) : rounded(attempt.seconds);
    object["tcp"] = counters_json(attempt.counters);
    return object;
}

json::object diagnosis_json(const Diagnosis& diagnosis) {
    json::object object;
    object["id"] = to_string(diagnosis.id);
    object["severity"] = to_string(diagnosis.severity);
    object["direction"] =
        diagnosis.direction ? json::value(to_string(*diagnosis.direction)) : json::value(nullptr);
    object["confidence"] = rounded(diagnosis.confidence);
    object["brief"] = brief(diagnosis);
    object["summary"] = diagnosis.summary;
    object["ruled_out"] = texts(diagnosis.ruled_out);
    object["path_mtu"] = bytes_or_null(diagnosis.path_mtu);
    object["path_mtu_exact"] = diagnosis.path_mtu_exact;
    object["usable_mss"] =
        diagnosis.usable_mss ? json::value(diagnosis.usable_mss->bytes) : json::value(nullptr);
    object["settles"] = text_or_null(diagnosis.settles);
    return object;
}

json::object finding_json(const Diagnosis& finding) {
    json::object object;
    object["id"] = to_string(finding.id);
    object["severity"] = to_string(finding.severity);
    object["summary"] = finding.summary;
    return object;
}

json::object endpoint_json(const EndpointReport& report) {
    const auto& evidence = report.evidence;
    json::array attempts;
    for (const auto& attempt : evidence.attempts) attempts.push_back(attempt_json(attempt));
    json::array findings;
    for (const auto& finding : report.verdict.findings) findings.push_back(finding_json(finding));
    json::object cost;
    cost["connections"] = evidence.connections;
    cost["seconds"] = rounded(evidence.seconds);

    json::object object;
    object["address"] = evidence.endpoint.address.is_unspecified()
                            ? json::value(nullptr)
                            : json::string(evidence.endpoint.address.to_string());
    object["port"] = evidence.endpoint.port;
    object["service"] = to_string(evidence.endpoint.service);
    object["name"] = text_or_null(evidence.endpoint.name);
    object["measured_at"] = time_or_null(evidence.measured_at);
    object["vantage"] = vantage_json(evidence.vantage);
    object["path_mtu"] = path_mtu_json(evidence);
    object["handshake"] = handshake_json(evidence);
    object["timings"] = timings_json(evidence);
    object["attempts"] = std::move(attempts);
    object["diagnosis"] = diagnosis_json(report.verdict.diagnosis);
    object["findings"] = std::move(findings);
    object["cost"] = std::move(cost);
    return object;
}

json::object suggestion_json(const Suggestion& suggestion) {
    json::object object;
    object["kind"] = to_string(suggestion.kind);
    object["scope"] = suggestion.scope;
    object["why"] = suggestion.why;
    object["commands"] = texts(suggestion.commands);
    object["verify"] = texts(suggestion.verify);
    object["undo"] = texts(suggestion.undo);
    object["proven"] = suggestion.proven;
    object["tls_floor"] = to_string(suggestion.tls_floor);
    return object;
}

}  // namespace

Diagnosis worst(const std::vector<EndpointReport>& endpoints, const Diagnosis& no_endpoint) {
    const Diagnosis* worst_so_far = nullptr;
    for (const auto& endpoint : endpoints)
        if (!worst_so_far || endpoint.verdict.diagnosis.severity > worst_so_far->severity)
            worst_so_far = &endpoint.verdict.diagnosis;
    return worst_so_far ? *worst_so_far : no_endpoint;
}

boost::json::object to_json(const Report& report) {
    json::array endpoints;
    for (const auto& endpoint : report.endpoints) endpoints.push_back(endpoint_json(endpoint));
    json::array suggestions;
    for (const auto& suggestion : report.suggestions)
        suggestions.push_back(suggestion_json(suggestion));
    json::object object;
    object["schema"] = report_schema;
    object["destination"] = printable(report.destination);
    object["tls_floor"] = to_string(report.floor);
    object["endpoints"] = std::move(endpoints);
    object["diagnosis"] = diagnosis_json(report.diagnosis);
    object["suggestions"] = std::move(suggestions);
    return object;
}

int exit_status(const Diagnosis& diagnosis) {
    switch (diagnosis.severity) {
        case Severity::ok:
        case Severity::notice:
            return 0;
        case Severity::warning:
            return 1;
        case Severity::critical:
            return 2;
        case Severity::unknown:
            break;
    }
    return 3;
}

}  // namespace postfathom
