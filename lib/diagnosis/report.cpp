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
    const auto discovery = discovery_works(evidence);
    json::object object;
    object["inbound"] = bytes_or_null(inbound.path_mtu);
    object["inbound_exact"] = inbound.path_mtu.has_value() && inbound.exact;
    object["outbound"] = bytes_or_null(evidence.outbound.path_mtu);
    object["outbound_exact"] = evidence.outbound.path_mtu.has_value() && evidence.outbound.exact;
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
    object["resumes"] = facts.resumes ? json::value(*facts.resumes) : json::value(nullptr);
    object["tls_error"] = text_or_null(facts.tls_error);
    object["certificate"] = certificate_json(facts);
    return object;
}

json::object dialog_json(const Evidence& evidence) {
    const auto& dialog = evidence.dialog;
    json::object object;
    object["starttls_offered"] = evidence.starttls_offered;
    object["silent_attempts"] = evidence.silent_attempts;
    object["starttls_offered_before"] = evidence.starttls_offered_before;
    object["starttls_offered_at"] = evidence.starttls_offered_at
                                        ? json::value(evidence.starttls_offered_at->to_string())
                                        : json::value(nullptr);
    object["crossed_out"] = text_or_null(dialog.crossed_out);
    object["fault"] = dialog.fault == ProtocolFault::none ? json::value(nullptr)
                                                          : json::value(to_string(dialog.fault));
    object["unfinished_bytes"] = dialog.unfinished_bytes;
    object["control_characters"] = dialog.control_characters;
    object["told_to_go"] = dialog.told_to_go;
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
    object["answer_bytes"] = attempt.answer_bytes;
    object["seconds"] = attempt.seconds == 0 ? json::value(nullptr) : rounded(attempt.seconds);
    object["tcp"] = counters_json(attempt.counters);
    return object;
}

json::object flight_json(const OutboundFlight& flight) {
    json::array sent;
    for (const auto& size : flight.sent) sent.emplace_back(size.bytes);
    json::object object;
    object["shape"] = to_string(flight.shape);
    object["reached"] = to_string(flight.reached);
    object["outcome"] = to_string(flight.outcome);
    object["sent"] = std::move(sent);
    object["passes"] = bytes_or_null(flight.passes);
    object["fails"] = bytes_or_null(flight.fails);
    object["small_acked"] = flight.small_acked;
    object["small_lost"] = flight.small_lost;
    object["large_lost"] = flight.large_lost;
    object["fails_lost"] = flight.fails_lost;
    object["readings"] = flight.readings;
    object["path_mtu_before"] = bytes_or_null(flight.path_mtu_before);
    object["path_mtu_after"] = bytes_or_null(flight.path_mtu_after);
    object["answered"] = flight.answered;
    object["hello_bytes"] = count_or_null(flight.hello_bytes);
    object["seconds"] = rounded(flight.seconds);
    object["tcp"] = counters_json(flight.counters);
    return object;
}

json::object question_json(const Question& question) {
    json::object object;
    object["kind"] = to_string(question.kind);
    object["bytes"] = question.bytes;
    object["segments"] = question.segments;
    object["acknowledged"] = question.acknowledged;
    object["answered"] = question.answered;
    object["outcome"] = to_string(question.outcome);
    object["retransmits"] = question.retransmits;
    object["seconds"] = rounded(question.seconds);
    return object;
}

json::object datagram_json(const DatagramProbe& datagram) {
    json::object object;
    object["kind"] = datagram.echo ? "icmp-echo" : "udp";
    object["size"] = datagram.size.bytes;
    object["outcome"] = to_string(datagram.outcome);
    object["reported"] = bytes_or_null(datagram.reported);
    object["router"] =
        datagram.router ? json::value(datagram.router->to_string()) : json::value(nullptr);
    return object;
}

json::object trial_json(const ProtocolTrial& trial) {
    json::object object;
    object["protocol"] = printable(trial.protocol);
    object["outcome"] = to_string(trial.outcome);
    object["tls_error"] = text_or_null(trial.tls_error);
    return object;
}

// One JSON object per element, made by `make`.
template <typename Element>
json::array objects(const std::vector<Element>& elements, json::object (*make)(const Element&)) {
    json::array array;
    for (const auto& element : elements) array.push_back(make(element));
    return array;
}

json::object note_json(const Note& note) {
    json::object object;
    object["id"] = note.id;
    object["text"] = note.text;
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
    object["path_mtu_below"] = bytes_or_null(diagnosis.path_mtu_below);
    object["usable_mss"] =
        diagnosis.usable_mss ? json::value(diagnosis.usable_mss->bytes) : json::value(nullptr);
    object["sizes"] = text_or_null(diagnosis.sizes);
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
    json::object cost;
    cost["connections"] = evidence.connections;
    cost["aborted"] = evidence.aborted;
    cost["budget_ended"] = evidence.budget_ended;
    cost["asked_to_wait"] = text_or_null(evidence.asked_to_wait);
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
    object["dialog"] = dialog_json(evidence);
    object["handshake"] = handshake_json(evidence);
    object["timings"] = timings_json(evidence);
    object["attempts"] = objects(evidence.attempts, attempt_json);
    object["flights"] = objects(evidence.flights, flight_json);
    object["datagrams"] = objects(evidence.datagrams, datagram_json);
    object["questions"] = objects(evidence.questions, question_json);
    object["protocol_trials"] = objects(evidence.protocol_trials, trial_json);
    object["diagnosis"] = diagnosis_json(report.verdict.diagnosis);
    object["findings"] = objects(report.verdict.findings, finding_json);
    object["notes"] = objects(report.verdict.notes, note_json);
    object["cost"] = std::move(cost);
    return object;
}

json::object held_back_json(const HeldBack& held_back) {
    json::object object;
    object["endpoint"] = to_string(held_back.endpoint);
    object["why"] = text_or_null(held_back.why);
    object["until"] = time_or_null(held_back.until);
    return object;
}

// What asks for no more than is in force changes nothing.
json::value published_json(const std::optional<PublishedTls>& published, TlsLevel in_force) {
    if (!published || published->level <= in_force) return nullptr;
    json::object object;
    object["level"] = to_string(published->level);
    object["says"] = published->says;
    return object;
}

}  // namespace

Diagnosis worst(const std::vector<EndpointReport>& endpoints, const Diagnosis& no_endpoint) {
    // An address of a family that this host does not have costs Postfix no time and mail nothing,
    // as long as there is another one.
    const auto no_way = [](const Diagnosis& diagnosis) {
        return diagnosis.id == DiagnosisId::no_route;
    };
    const Diagnosis* worst_so_far = nullptr;
    for (const auto& endpoint : endpoints) {
        const auto& found = endpoint.verdict.diagnosis;
        const bool instead = worst_so_far && no_way(*worst_so_far) && !no_way(found);
        const bool beside = worst_so_far && no_way(found);
        if (!worst_so_far || instead || (!beside && found.severity > worst_so_far->severity))
            worst_so_far = &found;
    }
    return worst_so_far ? *worst_so_far : no_endpoint;
}

boost::json::object to_json(const Report& report) {
    json::object object;
    object["schema"] = report_schema;
    object["destination"] = printable(report.destination);
    object["tls_floor"] = to_string(report.floor.level());
    object["tls_floor_certain"] = report.floor.certain();
    object["published_tls"] = published_json(report.published, report.floor);
    object["endpoints"] = objects(report.endpoints, endpoint_json);
    object["held_back"] = objects(report.held_back, held_back_json);
    object["diagnosis"] = diagnosis_json(report.diagnosis);
    object["suggestions"] = objects<Suggestion>(report.suggestions, to_json);
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
