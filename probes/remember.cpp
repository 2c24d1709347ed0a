// SPDX-License-Identifier: Apache-2.0
#include "probes/remember.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

namespace postfathom {

namespace {

bool says_the_same(const KnownVerdict& a, const KnownVerdict& b) {
    return a.id == b.id && a.severity == b.severity && a.direction == b.direction &&
           a.path_mtu == b.path_mtu && a.path_mtu_exact == b.path_mtu_exact;
}

EndpointRecord endpoint_record(const EndpointReport& found, const std::string& next_hop,
                               const CacheReader& cache, WallTime now, const AgeLimits& limits) {
    EndpointRecord record;
    record.endpoint = found.evidence.endpoint;
    std::optional<KnownVerdict> known;
    auto before = cache.endpoint(record.endpoint.address, record.endpoint.port);
    // The same server under another name may show another certificate.
    if (before && before->endpoint.name == record.endpoint.name) {
        known = before->verdict;
        record.next_hops = std::move(before->next_hops);
    }
    record.verdict = absorb(known, found.verdict.diagnosis, now, limits);
    if (!next_hop.empty()) {
        std::erase(record.next_hops, next_hop);
        record.next_hops.push_back(next_hop);
    }
    while (record.next_hops.size() > max_next_hops_of_endpoint)
        record.next_hops.erase(record.next_hops.begin());
    return record;
}

std::optional<PathRecord> path_record(const Evidence& evidence, WallTime now) {
    if (!evidence.inbound.path_mtu || evidence.vantage.source.is_unspecified()) return std::nullopt;
    PathRecord record;
    record.source = evidence.vantage.source;
    record.destination = evidence.endpoint.address;
    record.interface = evidence.vantage.interface;
    record.interface_mtu = evidence.vantage.interface_mtu;
    record.inbound = evidence.inbound.path_mtu;
    record.inbound_exact = evidence.inbound.exact;
    record.measured_at = now;
    return record;
}

std::vector<Endpoint> endpoints_of(const Report& report) {
    std::vector<Endpoint> endpoints;
    for (const auto& endpoint : report.endpoints) endpoints.push_back(endpoint.evidence.endpoint);
    return endpoints;
}

std::string change_line(const Remembered& remembered, TlsLevel floor) {
    const auto& verdict = remembered.verdict;
    const bool was_ill = remembered.before && ill(*remembered.before);
    if (!remembered.changed) return {};
    // The first good word about a place, and small differences between good words, are no news.
    if (!ill(verdict) && !was_ill && verdict.severity != Severity::unknown) return {};
    auto line = fmt::format("{}: {}", remembered.subject, brief(verdict));
    if (remembered.before) line += fmt::format(" (was {})", brief(*remembered.before));
    return line + "; " + consequence(verdict, floor);
}

}  // namespace

std::string consequence(const KnownVerdict& verdict, TlsLevel floor) {
    if (verdict.id == DiagnosisId::inconclusive)
        return "the probe could not tell; mail goes on as before";
    if (!ill(verdict)) return "mail to it flows";
    // Postfix at `may` turns TLS off for a message once a handshake failed and the message is older
    // than minimal_backoff_time (smtp(8), PLAINTEXT_FALLBACK_OK_AFTER_STARTTLS_FAILURE).
    const std::string in_clear =
        floor == TlsLevel::may ? ", or sent in clear text later if its TLS level is may," : "";
    switch (verdict.id) {
        case DiagnosisId::pmtu_black_hole:
            return fmt::format("mail to it is deferred{} until the path is mended", in_clear);
        case DiagnosisId::peer_stall:
        case DiagnosisId::reset_in_handshake:
        case DiagnosisId::tls_alert:
        case DiagnosisId::tls_protocol_mismatch:
        case DiagnosisId::tls_no_shared_cipher:
        case DiagnosisId::tls_garbage:
            return fmt::format("mail to it is deferred{} until its TLS handshake works", in_clear);
        case DiagnosisId::starttls_missing:
        case DiagnosisId::starttls_stripped:
            return "mail to it is deferred where TLS is required, and sent in clear text elsewhere";
        case DiagnosisId::certificate_expired:
        case DiagnosisId::certificate_not_yet_valid:
        case DiagnosisId::certificate_self_signed:
        case DiagnosisId::certificate_untrusted:
        case DiagnosisId::certificate_incomplete_chain:
        case DiagnosisId::certificate_name_mismatch:
        case DiagnosisId::certificate_weak:
            return "mail to it is deferred where the certificate is checked";
        case DiagnosisId::lossy_path:
            return "mail to it is slow, or deferred, while packets are lost";
        case DiagnosisId::name_error:
            return "mail to it is deferred or returned until its name can be resolved";
        default:
            return "mail to it is deferred until its server answers";
    }
}

Remembered remember(const Report& report, const ProbePlace& place, const CacheReader& cache,
                    WallTime now, const AgeLimits& limits) {
    Remembered remembered;
    remembered.subject = place.key();
    for (const auto& endpoint : report.endpoints) {
        remembered.change.endpoints.push_back(
            endpoint_record(endpoint, place.next_hop, cache, now, limits));
        if (auto path = path_record(endpoint.evidence, now))
            remembered.change.paths.push_back(std::move(*path));
    }

    if (!place.next_hop.empty()) {
        const auto before = cache.next_hop(place.next_hop);
        if (before) remembered.before = before->verdict;
        NextHopRecord record;
        record.next_hop = place.next_hop;
        record.verdict = absorb(remembered.before, report.diagnosis, now, limits);
        record.endpoints = endpoints_of(report);
        // A name that could not be resolved this time does not make us forget where it led.
        if (record.endpoints.empty() && before) record.endpoints = before->endpoints;
        remembered.verdict = record.verdict;
        remembered.change.next_hops.push_back(std::move(record));
        auto text = boost::json::serialize(to_json(report));
        if (text.size() <= max_report_bytes)
            remembered.change.reports.push_back({place.next_hop, std::move(text)});
    } else if (!report.endpoints.empty()) {
        const auto& record = remembered.change.endpoints.front();
        const auto before = cache.endpoint(record.endpoint.address, record.endpoint.port);
        if (before && before->endpoint.name == record.endpoint.name)
            remembered.before = before->verdict;
        remembered.verdict = record.verdict;
    } else {
        remembered.verdict = absorb(std::nullopt, report.diagnosis, now, limits);
    }

    remembered.changed =
        !remembered.before || !says_the_same(*remembered.before, remembered.verdict);
    remembered.line = change_line(remembered, report.floor);
    remembered.level = ill(remembered.verdict) ? log::Level::warning : log::Level::info;
    return remembered;
}

}  // namespace postfathom
