// SPDX-License-Identifier: Apache-2.0
#include "policyd/tables.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <initializer_list>
#include <tuple>

#include "lib/base/text.hpp"
#include "lib/destination/next_hop.hpp"
#include "lib/diagnosis/header.hpp"
#include "lib/diagnosis/refusal.hpp"

namespace postfathom {

namespace {

constexpr std::size_t max_logged_reason = 200;

// X.Y.Z with X = 4, as dsn_valid() of Postfix has it: one to three digits in the other two.
bool is_temporary(std::string_view status) {
    const auto parts = split(status, '.');
    if (parts.size() != 3 || parts[0] != "4") return false;
    for (const auto part : {parts[1], parts[2]})
        if (part.empty() || part.size() > 3 || part.find_first_not_of("0123456789") != part.npos)
            return false;
    return true;
}

// An answer that Postfix would refuse or cut must not be given at all.
bool is_one_line(std::string_view text) {
    return text.find('\0') == text.npos && text.find('\n') == text.npos;
}

FailureSeen failure(const EndpointRecord* record, const LoggedPeer& peer, std::string_view reason) {
    FailureSeen notice;
    if (record) {
        notice.endpoint = record->endpoint;
        if (record->next_hops.size() == 1) notice.next_hop = record->next_hops.front();
    } else {
        notice.endpoint.address = peer.address;
        notice.endpoint.port = peer.port.value_or(25);
        notice.endpoint.service = service_for_port(notice.endpoint.port);
        notice.endpoint.name = printable(to_lower(peer.host), 253);
    }
    notice.reason = printable(reason, max_logged_reason);
    return notice;
}

// What may stand behind a failure of that kind. A verdict on something else, however certain, does
// not explain it, and in the text it would mislead.
bool explains(DiagnosisId id, const DsnQuestion& question) {
    const auto any_of = [id](std::initializer_list<DiagnosisId> ids) {
        return std::find(ids.begin(), ids.end(), id) != ids.end();
    };
    using enum DiagnosisId;
    const bool of_path =
        any_of({pmtu_black_hole, size_specific_loss, large_hello_intolerance, lossy_path});
    const bool of_handshake = of_path || any_of({peer_stall, reset_in_handshake});
    switch (question.kind) {
        case TroubleKind::cannot_start_tls:
            // "TLS is required, but host ... refused to start TLS": no handshake was begun.
            if (question.peer)
                return any_of({starttls_missing, starttls_stripped, greeting_rejected});
            [[fallthrough]];
        case TroubleKind::handshake_error:
            return of_handshake || any_of({tls_alert, tls_protocol_mismatch, tls_no_shared_cipher,
                                           tls_garbage, certificate_weak});
        case TroubleKind::certificate_error:
            return any_of({certificate_expired, certificate_not_yet_valid, certificate_self_signed,
                           certificate_untrusted, certificate_incomplete_chain,
                           certificate_name_mismatch, certificate_weak});
        case TroubleKind::conversation_timed_out:
        case TroubleKind::lost_connection:
            return of_handshake || any_of({greeting_timeout, greeting_rejected, tls_garbage});
        case TroubleKind::connect_failed:
            return any_of({unreachable, refused, no_route, lossy_path});
        case TroubleKind::tls_not_offered:
            return any_of({starttls_missing, starttls_stripped});
        case TroubleKind::refused_to_talk:
            return any_of({greeting_rejected});
    }
    return false;
}

// Several names and ports may share an address. What is known under the name of the failure comes
// first, then what is newest; without a port in the text, port 25 comes before others.
std::optional<EndpointRecord> record_of(const LoggedPeer& peer, const CacheReader& cache,
                                        WallTime now, const AgeLimits& limits) {
    std::optional<EndpointRecord> best;
    const auto name = to_lower(peer.host);
    const auto rank = [&](const EndpointRecord& record) {
        return std::tuple(record.endpoint.port == peer.port.value_or(25),
                          record.endpoint.name == name, record.verdict.measured_at);
    };
    for (auto& record : cache.endpoints_at(peer.address)) {
        if (peer.port && record.endpoint.port != *peer.port) continue;
        if (freshness(record.verdict, now, limits) == Freshness::expired) continue;
        if (!best || rank(record) > rank(*best)) best = std::move(record);
    }
    return best;
}

// States in which a restriction's answer can be about one recipient's way. VRFY and ETRN start
// no delivery of this client's mail. Behind RCPT a recipient is there only when it is the only one.
bool is_about_recipient(const PolicyRequest& request) {
    const auto& state = request.protocol_state;
    return request.request == "smtpd_access_policy" && !request.recipient.empty() &&
           (state == "RCPT" || state == "DATA" || state == "END-OF-MESSAGE");
}

std::string next_hop_without_route(std::string_view domain,
                                   const std::vector<ConfiguredRoute>& routes) {
    if (const auto* route = find_route(routes, domain)) return route->next_hop;
    const auto parsed = parse_next_hop(domain);
    return parsed ? to_string(*parsed) : std::string();
}

std::string deferral(const PolicyRequest& request, const KnownVerdict& verdict) {
    return fmt::format("DEFER_IF_PERMIT {} {}", refusal_status(verdict.id),
                       refusal_text(domain_of_recipient(request.recipient), verdict));
}

}  // namespace

std::optional<DsnQuestion> parse_dsn_key(std::string_view key) {
    const auto blank = key.find(' ');
    if (blank == key.npos || !is_temporary(key.substr(0, blank)) || !is_one_line(key))
        return std::nullopt;
    const auto reason = key.substr(blank + 1);
    auto trouble = classify_reason(reason);
    if (!trouble) return std::nullopt;
    return DsnQuestion{key.substr(0, blank), reason, trouble->kind, std::move(trouble->peer)};
}

DsnAnswer answer_dsn(std::string_view key, const DsnQuestion& question, const LoggedPeer& peer,
                     const CacheReader& cache, WallTime now, const AgeLimits& limits) {
    const auto record = record_of(peer, cache, now, limits);
    DsnAnswer answer;
    const bool of_this = record && explains(record->verdict.id, question);
    if (of_this && ill(record->verdict)) {
        const auto tag = printable(brief(record->verdict), max_dsn_tag - sizeof " (path: )" + 1);
        answer.text = std::string(key) + " (path: " + tag + ")";
    }
    // Without a port in text or cache it is not known where to look.
    const bool endpoint_known = record || peer.port;
    const bool fresh =
        record && freshness(record->verdict, now, limits) == Freshness::fresh && answer.text;
    // A server that asks to be left alone for a while is.
    if (endpoint_known && !fresh && question.kind != TroubleKind::refused_to_talk)
        answer.notice = failure(record ? &*record : nullptr, peer, question.reason);
    return answer;
}

PolicyFinding find_for_recipient(const PolicyRequest& request, const CacheReader& cache,
                                 const std::vector<ConfiguredRoute>& routes, WallTime now,
                                 const AgeLimits& limits) {
    PolicyFinding finding;
    if (!is_about_recipient(request)) return finding;
    const auto domain = domain_of_recipient(request.recipient);
    if (domain.empty()) return finding;
    std::optional<KnownVerdict> known;
    if (auto way = cache.way(domain)) {
        finding.next_hop = std::move(way->next_hop);
        known = way->verdict;
    } else {
        finding.next_hop = next_hop_without_route(domain, routes);
        if (finding.next_hop.empty()) return finding;
        known = cache.verdict(finding.next_hop);
    }
    const auto age = known ? freshness(*known, now, limits) : Freshness::expired;
    finding.wanted = age != Freshness::fresh;
    if (known && age != Freshness::expired && ill(*known)) finding.verdict = known;
    return finding;
}

PolicyMode mode_of(const PolicyRequest& request, PolicyMode configured) {
    if (request.policy_context.empty()) return configured;
    return parse_policy_mode(request.policy_context).value_or(configured);
}

std::optional<std::string> find_for_client(std::string_view client_address,
                                           const CacheReader& cache, WallTime now) {
    // Less may be one client's bad day, or somebody who scans ports.
    constexpr std::uint64_t least = 3;
    const auto address = IpAddress::parse(client_address);
    if (!address || !counts_as_client(*address)) return std::nullopt;
    const auto record = cache.client_at(*address);
    if (!record) return std::nullopt;
    const auto seen = recent(*record, now);
    const auto& counts = seen.counts;
    const auto sessions = counts.tls_sessions + counts.plain_sessions;
    const bool handshakes =
        counts.failed_handshakes >= least && counts.failed_handshakes > counts.tls_sessions;
    // A tenth of all: messages of some size do not come through.
    const bool data = counts.lost_in_data >= least && counts.lost_in_data * 10 >= sessions;
    if (!handshakes && !data) return std::nullopt;
    std::string text = fmt::format("client network {}:", record->network);
    if (handshakes) text += fmt::format(" {} TLS handshakes failed", counts.failed_handshakes);
    // Only the milter counts sessions.
    if (handshakes && sessions > 0) text += fmt::format(", {} succeeded", counts.tls_sessions);
    if (data)
        text += fmt::format("{} {} connections were lost after DATA", handshakes ? "," : "",
                            counts.lost_in_data);
    return printable(text + " since " + to_rfc3339(seen.since));
}

namespace {

std::string action_for_recipient(const PolicyRequest& request, const PolicyFinding& finding,
                                 const PolicyTerms& terms) {
    constexpr std::size_t most = 400;
    if (!finding.verdict) return "DUNNO";
    switch (terms.mode) {
        case PolicyMode::observe:
            break;
        case PolicyMode::defer:
            if (terms.may_defer) return deferral(request, *finding.verdict);
            [[fallthrough]];
        case PolicyMode::warn:
            return "WARN " + printable(finding.next_hop + ": " + brief(*finding.verdict), most);
        case PolicyMode::tag:
            // At RCPT Postfix asks for every recipient and would stack a header for each; at
            // END-OF-MESSAGE it takes none.
            if (request.instance.empty() || !terms.first_of_message ||
                request.protocol_state == "END-OF-MESSAGE")
                break;
            return "PREPEND " + std::string(diagnosis_header_name) + ": " +
                   diagnosis_header_value(terms.host_token, finding.next_hop, *finding.verdict);
    }
    return "DUNNO";
}

}  // namespace

std::string policy_action(const PolicyRequest& request, const PolicyFinding& finding,
                          const PolicyTerms& terms) {
    auto action = action_for_recipient(request, finding, terms);
    const bool warns = terms.mode == PolicyMode::warn || terms.mode == PolicyMode::defer;
    if (!warns || terms.client.empty()) return action;
    if (action == "DUNNO") return "WARN " + std::string(terms.client);
    if (action.starts_with("WARN ")) action += "; " + std::string(terms.client);
    return action;
}

}  // namespace postfathom
