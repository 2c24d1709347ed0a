// SPDX-License-Identifier: Apache-2.0
#include "milter/envelope.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <utility>

#include "lib/base/text.hpp"
#include "lib/diagnosis/header.hpp"

namespace postfathom {
namespace {

constexpr std::size_t max_domain = 255;  // RFC 5321 section 4.5.3.1.2
constexpr std::size_t max_transport = 64;
constexpr std::size_t max_host_macro = 4096;  // 20 next hops of the longest kind fit
constexpr std::size_t max_listed_next_hops = 20;
constexpr std::size_t max_tls_text = 64;
constexpr std::uint32_t max_bits = 65'535;
constexpr auto route_refresh = std::chrono::hours{24};
constexpr auto clock_slack = std::chrono::hours{1};

// master(5) service names: Postfix's own, those in Debian's master.cf, and the usual names of
// delivery agents behind pipe(8).
constexpr std::array<std::string_view, 20> other_transports{
    "error",   "retry",    "discard",  "local",   "virtual", "pipe",        "spawn",
    "cyrus",   "uucp",     "ifmail",   "bsmtp",   "mailman", "maildrop",    "scalemail-backend",
    "dovecot", "procmail", "vacation", "prepend", "hold",    "spamassassin"};

constexpr std::string_view list_separators = " \t\r\n,";  // CHARS_COMMA_SP in Postfix

// A recipient's domain becomes a key and travels in a notice: a name or a literal, nothing else.
bool acceptable_domain(std::string_view domain) {
    if (domain.empty() || domain.size() > max_domain) return false;
    const bool literal = domain.front() == '[';
    if (literal ? domain.back() != ']' : domain.find(':') != domain.npos) return false;
    return parse_next_hop(domain).has_value();
}

bool plain_word(std::string_view text) {
    return std::all_of(text.begin(), text.end(), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               c == '-' || c == '_' || c == '.';
    });
}

std::vector<RoutedNextHop> listed_next_hops(std::string_view host) {
    std::vector<RoutedNextHop> found;
    std::size_t listed = 0;
    while (listed < max_listed_next_hops) {
        const auto start = host.find_first_not_of(list_separators);
        if (start == host.npos) break;
        host.remove_prefix(start);
        const auto piece = host.substr(0, host.find_first_of(list_separators));
        host.remove_prefix(piece.size());
        ++listed;
        if (const auto next_hop = parse_next_hop(piece))
            found.push_back({to_string(*next_hop), std::string(piece)});
    }
    return found;
}

}  // namespace

bool speaks_smtp(std::string_view transport) {
    if (transport.empty() || transport.size() > max_transport || !plain_word(transport))
        return false;
    const auto name = to_lower(transport);
    // lmtp(8) is smtp(8) under another name, but its servers know no EHLO.
    if (name.find("lmtp") != name.npos) return false;
    return std::find(other_transports.begin(), other_transports.end(), name) ==
           other_transports.end();
}

std::optional<RecipientRoute> route_of(const RecipientMacros& macros) {
    if (!speaks_smtp(macros.mailer) || macros.host.size() > max_host_macro) return std::nullopt;
    RecipientRoute route;
    route.domain = domain_of_recipient(macros.recipient);
    if (!acceptable_domain(route.domain)) return std::nullopt;
    route.next_hops = listed_next_hops(macros.host);
    if (route.next_hops.empty()) return std::nullopt;
    route.transport = macros.mailer;
    return route;
}

std::optional<RecipientRoute> route_without_macros(std::string_view recipient,
                                                   const std::optional<RouteRecord>& known,
                                                   std::optional<RoutedNextHop> configured) {
    RecipientRoute route;
    route.domain = domain_of_recipient(recipient);
    if (known && !known->next_hop.empty())
        route.next_hops.push_back({known->next_hop, known->verbatim});
    else if (configured)
        route.next_hops.push_back(std::move(*configured));
    else
        return std::nullopt;
    return route;
}

std::optional<ClientSeen> client_of(const ClientMacros& macros) {
    constexpr std::string_view ipv6_tag = "IPv6:";
    auto text = macros.address;
    if (istarts_with(text, ipv6_tag)) text.remove_prefix(ipv6_tag.size());
    const auto address = IpAddress::parse(text);
    if (!address || !counts_as_client(*address)) return std::nullopt;
    ClientSeen seen{network_of(*address), {}};
    if (macros.tls_version.empty()) {
        seen.counts.plain_sessions = 1;
        return seen;
    }
    seen.counts.tls_sessions = 1;
    seen.tls = ClientTls{printable(macros.tls_version, max_tls_text),
                         printable(macros.cipher, max_tls_text), std::nullopt};
    std::uint32_t bits = 0;
    const auto* end = macros.cipher_bits.data() + macros.cipher_bits.size();
    const auto parsed = std::from_chars(macros.cipher_bits.data(), end, bits);
    if (parsed.ec == std::errc{} && parsed.ptr == end && bits > 0 && bits <= max_bits)
        seen.tls->bits = bits;
    return seen;
}

std::optional<RouteRecord> route_to_learn(const RecipientRoute& route,
                                          const std::optional<RouteRecord>& known, WallTime now) {
    const auto& first = route.next_hops.front();
    if (known && known->next_hop == first.canonical && known->verbatim == first.verbatim &&
        known->transport == route.transport && known->learned_at > now - route_refresh &&
        known->learned_at <= now + clock_slack)
        return std::nullopt;
    return RouteRecord{.domain = route.domain,
                       .next_hop = first.canonical,
                       .verbatim = first.verbatim,
                       .transport = route.transport,
                       .learned_at = now};
}

NextHopOpinion opinion_on(const std::optional<NextHopRecord>& record, WallTime now,
                          const AgeLimits& limits) {
    if (!record) return {.finding = std::nullopt, .wanted = true};
    const auto age = freshness(record->verdict, now, limits);
    NextHopOpinion opinion{.finding = std::nullopt, .wanted = age != Freshness::fresh};
    if (age != Freshness::expired && ill(record->verdict)) opinion.finding = record->verdict;
    return opinion;
}

bool Envelope::first_sight(const std::string& next_hop) {
    if (std::find(seen_.begin(), seen_.end(), next_hop) != seen_.end()) return false;
    if (seen_.size() >= max_next_hops_per_message) return false;
    seen_.push_back(next_hop);
    return true;
}

void Envelope::add_finding(const std::string& next_hop, const KnownVerdict& verdict) {
    const auto place = std::find_if(findings_.begin(), findings_.end(), [&](const Finding& other) {
        return other.verdict.severity < verdict.severity;
    });
    findings_.insert(place, {next_hop, verdict});
    if (findings_.size() > max_diagnosis_headers) findings_.pop_back();
}

void Envelope::header(std::string_view name) {
    // "Name :" with blanks before the colon is the same header to Postfix (RFC 5322 section 4.5).
    if (iequals(trim(name), diagnosis_header_name) && copies_ <= max_removed_copies) ++copies_;
}

std::vector<std::pair<std::string, KnownVerdict>> Envelope::findings() const {
    std::vector<std::pair<std::string, KnownVerdict>> found;
    for (const auto& finding : findings_) found.emplace_back(finding.next_hop, finding.verdict);
    return found;
}

HeaderActions Envelope::actions(bool add_header, std::string_view host_token) const {
    HeaderActions actions;
    actions.remove = std::min(copies_, max_removed_copies);
    actions.copies_left = copies_ > max_removed_copies;
    if (!add_header) return actions;
    for (const auto& finding : findings_)
        actions.insert.push_back(fold_diagnosis_header(
            diagnosis_header_value(host_token, finding.next_hop, finding.verdict)));
    return actions;
}

}  // namespace postfathom
