// SPDX-License-Identifier: Apache-2.0
#include "probes/remember.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

#include "lib/destination/next_hop.hpp"
#include "lib/diagnosis/history.hpp"

namespace postfathom {

namespace {

bool says_the_same(const KnownVerdict& a, const KnownVerdict& b) {
    return a.id == b.id && a.severity == b.severity && a.direction == b.direction &&
           a.path_mtu == b.path_mtu && a.path_mtu_exact == b.path_mtu_exact &&
           a.path_mtu_below == b.path_mtu_below && a.varies == b.varies &&
           a.comes_and_goes == b.comes_and_goes &&
           a.suspected.has_value() == b.suspected.has_value();
}

bool says_something(const Diagnosis& diagnosis) {
    return diagnosis.id != DiagnosisId::inconclusive;
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
        record.history = std::move(before->history);
        if (before->endpoint.service == record.endpoint.service)
            record.starttls_seen = before->starttls_seen;
    }
    if (found.evidence.starttls_offered) record.starttls_seen = now;
    const auto& diagnosis = found.verdict.diagnosis;
    record.verdict = absorb(known, diagnosis, now, limits);
    if (says_something(diagnosis))
        record.history = remember_result(std::move(record.history),
                                         {.since = now,
                                          .at = now,
                                          .source = found.evidence.vantage.source,
                                          .id = diagnosis.id,
                                          .ill = diagnosis.severity >= Severity::warning});
    record.verdict.comes_and_goes = comes_and_goes(record.history, now);
    if (!next_hop.empty()) {
        std::erase(record.next_hops, next_hop);
        record.next_hops.push_back(next_hop);
    }
    while (record.next_hops.size() > max_next_hops_of_endpoint)
        record.next_hops.erase(record.next_hops.begin());
    return record;
}

// What ends at a limit of this host's own, and not at one that a router told it, may go further
// from here once that limit is another.
bool ends_here(const Vantage& vantage, const PathMtu& size) {
    const auto own = vantage.route_mtu ? vantage.route_mtu : vantage.interface_mtu;
    return own && size >= *own && !vantage.route_mtu_learned;
}

std::optional<PathRecord> path_record(const Evidence& evidence,
                                      const std::vector<PathRecord>& known, WallTime now) {
    const auto inbound = inbound_path(evidence);
    const auto& outbound = evidence.outbound;
    if (evidence.vantage.source.is_unspecified() || (!inbound.path_mtu && !outbound.path_mtu))
        return std::nullopt;
    PathRecord record;
    record.source = evidence.vantage.source;
    record.destination = evidence.endpoint.address;
    record.interface = evidence.vantage.interface;
    record.interface_mtu = evidence.vantage.interface_mtu;
    record.inbound = inbound.path_mtu;
    record.inbound_exact = inbound.exact;
    if (!inbound.exact) record.inbound_fails = inbound.fails;
    record.outbound = outbound.path_mtu;
    record.outbound_exact =
        outbound.exact && !(outbound.path_mtu && ends_here(evidence.vantage, *outbound.path_mtu));
    if (!outbound.exact) record.outbound_fails = outbound.fails;
    record.measured_at = now;
    const auto before = std::find_if(known.begin(), known.end(), [&](const PathRecord& path) {
        return path.source == record.source;
    });
    return absorb(before == known.end() ? std::nullopt : std::optional{*before}, std::move(record));
}

// What is stored of the paths to an endpoint from now on, the one just measured first.
std::vector<PathRecord> paths_with(std::optional<PathRecord> measured,
                                   std::vector<PathRecord> known) {
    if (!measured) return known;
    std::erase_if(known, [&](const PathRecord& path) { return path.source == measured->source; });
    known.insert(known.begin(), std::move(*measured));
    return known;
}

// The direction that the verdict is about comes first.
std::optional<SizeRange> variation(const std::vector<PathRecord>& paths,
                                   const KnownVerdict& verdict, WallTime now) {
    const bool outbound_first = verdict.direction == Direction::outbound;
    const auto first =
        varies(paths, outbound_first ? Direction::outbound : Direction::inbound, now);
    if (first) return first;
    return varies(paths, outbound_first ? Direction::inbound : Direction::outbound, now);
}

std::vector<Endpoint> endpoints_of(const Report& report) {
    std::vector<Endpoint> endpoints;
    for (const auto& endpoint : report.endpoints) endpoints.push_back(endpoint.evidence.endpoint);
    for (const auto& endpoint : report.held_back) endpoints.push_back(endpoint.endpoint);
    return endpoints;
}

// The worst of what is known of the endpoints that were not probed this time.
std::optional<KnownVerdict> known_of_held_back(const Report& report, const CacheReader& cache,
                                               WallTime now, const AgeLimits& limits) {
    std::optional<KnownVerdict> worst;
    for (const auto& held_back : report.held_back) {
        const auto& endpoint = held_back.endpoint;
        const auto known = cache.endpoint(endpoint.address, endpoint.port);
        if (!known || known->endpoint.name != endpoint.name ||
            known->verdict.id == DiagnosisId::inconclusive ||
            freshness(known->verdict, now, limits) == Freshness::expired)
            continue;
        if (!worst || known->verdict.severity > worst->severity) worst = known->verdict;
    }
    return worst;
}

// What was found now, or what is known of an endpoint that was held back, where that says more.
KnownVerdict next_hop_verdict(const Report& report, const std::optional<KnownVerdict>& before,
                              const std::optional<KnownVerdict>& held_back, WallTime now,
                              const AgeLimits& limits) {
    auto verdict = absorb(before, report.diagnosis, now, limits);
    if (!held_back) return verdict;
    const bool nothing_found = report.endpoints.empty();
    const bool newer = nothing_found && (verdict.id == DiagnosisId::inconclusive ||
                                         held_back->measured_at > verdict.measured_at);
    const bool worse = !nothing_found && held_back->severity > verdict.severity;
    if (!newer && !worse) return verdict;
    auto known = *held_back;
    if (before && before->id == known.id && before->direction == known.direction)
        known.since = std::min(known.since, before->since);
    return known;
}

// What is seen of the endpoints over time is said of the next hop too.
void take_over_changes(KnownVerdict& verdict, const std::vector<EndpointRecord>& endpoints) {
    if (endpoints.empty()) return;
    verdict.varies.reset();
    verdict.comes_and_goes = false;
    for (const auto& endpoint : endpoints) {
        if (!verdict.varies) verdict.varies = endpoint.verdict.varies;
        verdict.comes_and_goes = verdict.comes_and_goes || endpoint.verdict.comes_and_goes;
    }
}

bool is_for_clients(const Report& report) {
    return !report.endpoints.empty() &&
           speaks_imap(report.endpoints.front().evidence.endpoint.service);
}

std::string change_line(const Remembered& remembered, const Report& report) {
    const auto& verdict = remembered.verdict;
    const bool was_ill = remembered.before && ill(*remembered.before);
    if (!remembered.changed) return {};
    if (remembered.newly_suspected)
        return fmt::format("{}: {} once, still taken for {} until a second probe agrees",
                           remembered.subject, to_string(verdict.suspected->id), brief(verdict));
    const bool varies_anew =
        (verdict.varies && (!remembered.before || remembered.before->varies != verdict.varies)) ||
        (verdict.comes_and_goes && !(remembered.before && remembered.before->comes_and_goes));
    // The first good word about a place, and small differences between good words, are no news.
    if (!ill(verdict) && !was_ill && !varies_anew && verdict.severity != Severity::unknown)
        return {};
    auto line = fmt::format("{}: {}", remembered.subject, brief(verdict));
    if (remembered.before) line += fmt::format(" (was {})", brief(*remembered.before));
    if (is_for_clients(report))
        return line + (ill(verdict) ? "; mail clients meet it too" : "; mail clients are served");
    return line + "; " + consequence(verdict, report.floor);
}

// What a next hop has besides the verdict: how its mail went, and the level that Postfix has for
// it. A probe that led to no server did not ask for that either.
void keep_tls(NextHopRecord& record, const Report& report,
              const std::optional<NextHopRecord>& before) {
    if (before) record.tls_seen = before->tls_seen;
    if (report.floor.certain())
        record.tls_floor = report.floor.level();
    else if (report.endpoints.empty() && before)
        record.tls_floor = before->tls_floor;
}

// Whose mail goes to the endpoint is not known, as for a relay host that no macro has told of; so
// `list` and `show` have it under its address, as a next hop of that kind is spelled.
void keep_under_address(const Report& report, const CacheReader& cache, Remembered& remembered) {
    const auto literal = parse_next_hop(report.destination);
    if (!literal || !literal->literal) return;
    NextHopRecord record;
    record.next_hop = to_string(*literal);
    record.verdict = remembered.verdict;
    record.endpoints = endpoints_of(report);
    keep_tls(record, report, cache.next_hop(record.next_hop));
    auto text = boost::json::serialize(to_json(report));
    if (text.size() <= max_report_bytes)
        remembered.change.reports.push_back({record.next_hop, std::move(text)});
    remembered.change.next_hops.push_back(std::move(record));
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
        case DiagnosisId::pmtu_reduced:
            return "mail to it flows, in smaller packets";
        case DiagnosisId::size_specific_loss:
            return "mail to it is deferred when its conversation has packets or requests of those "
                   "sizes";
        case DiagnosisId::large_hello_intolerance:
            return fmt::format(
                "mail to it is deferred{} while our TLS handshake begins with a ClientHello that "
                "needs more than one packet",
                in_clear);
        case DiagnosisId::starttls_stripped:
            return "mail to it is deferred where TLS is required, and sent in CLEAR TEXT "
                   "elsewhere: somebody on the way may be reading it";
        case DiagnosisId::peer_stall:
        case DiagnosisId::reset_in_handshake:
        case DiagnosisId::tls_alert:
        case DiagnosisId::tls_protocol_mismatch:
        case DiagnosisId::tls_no_shared_cipher:
        case DiagnosisId::tls_garbage:
            return fmt::format("mail to it is deferred{} until its TLS handshake works", in_clear);
        case DiagnosisId::starttls_missing:
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
        auto record = endpoint_record(endpoint, place.next_hop, cache, now, limits);
        auto known = cache.paths(record.endpoint.address);
        auto path = path_record(endpoint.evidence, known, now);
        record.verdict.varies = variation(paths_with(path, std::move(known)), record.verdict, now);
        remembered.change.endpoints.push_back(std::move(record));
        if (path) remembered.change.paths.push_back(std::move(*path));
    }
    remembered.from_endpoint = known_of_held_back(report, cache, now, limits);
    if (report.endpoints.empty() && !report.held_back.empty() && !remembered.from_endpoint) {
        // Nothing was asked, and nothing is known: nothing changes.
        if (const auto before = cache.next_hop(place.next_hop)) remembered.before = before->verdict;
        remembered.verdict = remembered.before.value_or(KnownVerdict{});
        return remembered;
    }

    if (!place.next_hop.empty()) {
        const auto before = cache.next_hop(place.next_hop);
        if (before) remembered.before = before->verdict;
        NextHopRecord record;
        record.next_hop = place.next_hop;
        record.verdict =
            next_hop_verdict(report, remembered.before, remembered.from_endpoint, now, limits);
        take_over_changes(record.verdict, remembered.change.endpoints);
        record.endpoints = endpoints_of(report);
        // A name that could not be resolved this time does not make us forget where it led.
        if (record.endpoints.empty() && before) record.endpoints = before->endpoints;
        record.addresses_expire = report.addresses_expire;
        record.seen_only = place.seen_only;
        keep_tls(record, report, before);
        remembered.verdict = record.verdict;
        remembered.change.next_hops.push_back(std::move(record));
        // Where nothing was asked, the last report stays the one to look at.
        const bool asked = !report.endpoints.empty() || report.held_back.empty();
        auto text = asked ? boost::json::serialize(to_json(report)) : std::string{};
        if (asked && text.size() <= max_report_bytes)
            remembered.change.reports.push_back({place.next_hop, std::move(text)});
    } else if (!report.endpoints.empty()) {
        const auto& record = remembered.change.endpoints.front();
        const auto before = cache.endpoint(record.endpoint.address, record.endpoint.port);
        if (before && before->endpoint.name == record.endpoint.name)
            remembered.before = before->verdict;
        remembered.verdict = record.verdict;
        keep_under_address(report, cache, remembered);
    } else {
        if (!report.held_back.empty()) {
            const auto& endpoint = report.held_back.front().endpoint;
            if (const auto known = cache.endpoint(endpoint.address, endpoint.port))
                remembered.before = known->verdict;
        }
        remembered.verdict = absorb(remembered.before, report.diagnosis, now, limits);
    }

    remembered.newly_suspected =
        remembered.verdict.suspected && remembered.verdict.suspected->at == now;
    remembered.changed =
        !remembered.before || !says_the_same(*remembered.before, remembered.verdict);
    remembered.line = change_line(remembered, report);
    remembered.level = ill(remembered.verdict) ? log::Level::warning : log::Level::info;
    return remembered;
}

bool delivery_disproves(const KnownVerdict& verdict) {
    switch (verdict.id) {
        case DiagnosisId::pmtu_black_hole:
            return verdict.direction == Direction::inbound;
        case DiagnosisId::peer_stall:
        case DiagnosisId::reset_in_handshake:
        case DiagnosisId::tls_alert:
        case DiagnosisId::tls_protocol_mismatch:
        case DiagnosisId::tls_no_shared_cipher:
        case DiagnosisId::tls_garbage:
        case DiagnosisId::unreachable:
        case DiagnosisId::refused:
        case DiagnosisId::no_route:
        case DiagnosisId::greeting_timeout:
        case DiagnosisId::greeting_rejected:
        case DiagnosisId::name_error:
            return true;
        default:
            return false;
    }
}

Remembered remember_delivery(const ProbePlace& place, const CacheReader& cache, WallTime now,
                             const AgeLimits& limits) {
    Remembered remembered;
    remembered.subject = place.key();
    Diagnosis healthy;
    healthy.id = DiagnosisId::healthy;
    healthy.severity = Severity::ok;
    auto endpoint = cache.endpoint(place.peer->address, place.peer->port);
    auto next_hop = cache.next_hop(place.next_hop);
    const auto believe = [&](KnownVerdict& verdict) {
        if (!ill(verdict) || !delivery_disproves(verdict)) return false;
        remembered.before = verdict;
        verdict = absorb(verdict, healthy, now, limits);
        remembered.verdict = verdict;
        return true;
    };
    if (endpoint && believe(endpoint->verdict)) {
        const auto& history = endpoint->history;
        const PastVerdict healthy_again{
            .since = now,
            .at = now,
            .source = history.empty() ? IpAddress{} : history.back().source,
            .id = healthy.id,
            .ill = false};
        endpoint->history = remember_result(std::move(endpoint->history), healthy_again);
        remembered.change.endpoints.push_back(std::move(*endpoint));
    }
    if (next_hop && believe(next_hop->verdict))
        remembered.change.next_hops.push_back(std::move(*next_hop));
    remembered.changed =
        !remembered.change.endpoints.empty() || !remembered.change.next_hops.empty();
    if (remembered.changed)
        remembered.line = fmt::format(
            "{}: healthy, says a delivery whose TLS handshake went through (was {}); mail to it "
            "flows",
            remembered.subject, brief(*remembered.before));
    return remembered;
}

}  // namespace postfathom
