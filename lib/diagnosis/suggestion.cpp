// SPDX-License-Identifier: Apache-2.0
// What a person can do on this host, or on a router of theirs, about a path that loses large
// packets. Every command runs as printed; whatever would need quoting makes its suggestion vanish
// instead.
#include "lib/diagnosis/suggestion.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <utility>

#include "lib/base/text.hpp"
#include "lib/diagnosis/names.hpp"

namespace postfathom {
namespace {

constexpr NameTable<SuggestionKind, 6> kind_names{{
    {SuggestionKind::route_mtu, "route-mtu"},
    {SuggestionKind::tunnel_mtu, "tunnel-mtu"},
    {SuggestionKind::mss_clamp_nft, "mss-clamp-nft"},
    {SuggestionKind::mss_clamp_iptables, "mss-clamp-iptables"},
    {SuggestionKind::tls_policy, "tls-policy"},
    {SuggestionKind::no_pipelining, "no-pipelining"},
}};

constexpr std::string_view letters_and_digits =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

bool only_of(std::string_view text, std::string_view more) {
    return std::all_of(text.begin(), text.end(), [&](char c) {
        return letters_and_digits.find(c) != std::string_view::npos ||
               more.find(c) != std::string_view::npos;
    });
}

// A leading '-' would be read as an option.
bool safe_word(std::string_view text, std::string_view more) {
    return !text.empty() && text.front() != '-' && only_of(text, more);
}

bool safe_interface(std::string_view name) {
    constexpr std::size_t longest = 15;  // IFNAMSIZ - 1
    return name.size() <= longest && safe_word(name, "._@-");
}

// Brackets are patterns to the shell; nothing that safe_word() lets pass ends a single quote.
std::string shell_word(std::string_view text) {
    return only_of(text, "._:@/-") ? std::string{text} : fmt::format("'{}'", text);
}

struct Plan {
    const SuggestionContext& context;
    PathMtu mtu;  // what the path carries
    Mss mss;
    bool proven;
    bool stripped = false;    // STARTTLS was taken away: the path is not what has to be mended
    Direction direction;      // which is ill
    std::string destination;  // address
    std::string next_hop;     // verbatim; empty when it cannot be printed safely
};

std::string probe_command(const Plan& plan) {
    return fmt::format("postfathom probe {}",
                       plan.next_hop.empty() ? plan.destination : shell_word(plan.next_hop));
}

Suggestion begin(const Plan& plan, SuggestionKind kind) {
    Suggestion suggestion;
    suggestion.kind = kind;
    suggestion.proven = plan.proven;
    suggestion.tls_floor = plan.context.floor;
    return suggestion;
}

IpFamily family(const Plan& plan) { return plan.context.host.destination.family(); }
bool is_v6(const Plan& plan) { return family(plan) == IpFamily::v6; }
std::string_view ip_command(const Plan& plan) { return is_v6(plan) ? "ip -6" : "ip"; }
std::string host_prefix(const Plan& plan) {
    return plan.destination + (is_v6(plan) ? "/128" : "/32");
}

// "1360 = 1400 - 40"
std::string mss_in_words(const Plan& plan) {
    return fmt::format("{} ({} - {})", plan.mss.bytes, plan.mtu.bytes, header_bytes(family(plan)));
}

// Kinds of rtnetlink that put packets into packets.
constexpr std::array tunnel_kinds{"wireguard", "gre",   "gretap", "erspan", "ip6gre", "ip6gretap",
                                  "ip6erspan", "ipip",  "sit",    "ip6tnl", "vti",    "vti6",
                                  "xfrm",      "vxlan", "geneve", "gtp",    "ppp",    "tun",
                                  "tap",       "l2tp",  "bareudp"};

bool tunnel(const HostFacts& host) {
    return std::find(tunnel_kinds.begin(), tunnel_kinds.end(), host.interface_kind) !=
           tunnel_kinds.end();
}

constexpr std::uint32_t ethernet_mtu = 1500;

// A jumbo MTU towards the Internet usually belongs to a tunnel over jumbo frames (8921 = 9001 - 80,
// WireGuard).
bool perhaps_tunnel(const Plan& plan) {
    const auto& host = plan.context.host;
    return !tunnel(host) && host.interface_mtu && host.interface_mtu->bytes > ethernet_mtu &&
           plan.mtu.bytes <= ethernet_mtu;
}

std::optional<Suggestion> tunnel_mtu(const Plan& plan) {
    const auto& host = plan.context.host;
    // Below 1280 the kernel takes the interface's IPv6 addresses away.
    constexpr std::uint32_t ipv6_minimum = 1280;
    if (!safe_interface(host.interface) || !host.interface_mtu || *host.interface_mtu <= plan.mtu ||
        plan.mtu.bytes < ipv6_minimum)
        return std::nullopt;
    auto suggestion = begin(plan, SuggestionKind::tunnel_mtu);
    suggestion.scope = fmt::format("this host, every destination behind {}", host.interface);
    const auto what =
        tunnel(host)
            ? fmt::format("{} is a {} tunnel", host.interface, printable(host.interface_kind, 16))
            : fmt::format("{} looks like a tunnel over jumbo frames", host.interface);
    suggestion.why = fmt::format(
        "{}: its MTU is {}, the path behind it carries {} bytes, {} less. With MTU {} this host "
        "asks for "
        "MSS {} and sends no larger packet itself. Right if the tunnel is yours and carries no "
        "more to any "
        "destination.",
        what, host.interface_mtu->bytes, plan.mtu.bytes, host.interface_mtu->bytes - plan.mtu.bytes,
        plan.mtu.bytes, mss_in_words(plan));
    suggestion.commands = {
        fmt::format("ip link set dev {} mtu {}", host.interface, plan.mtu.bytes)};
    suggestion.verify = {fmt::format("ip link show dev {}", host.interface), probe_command(plan)};
    suggestion.undo = {
        fmt::format("ip link set dev {} mtu {}", host.interface, host.interface_mtu->bytes)};
    return suggestion;
}

// The route's words without the MTU and MSS it had; nothing when it holds what we cannot print or
// keep.
std::optional<std::string> without_sizes(const std::string& route, const Plan& plan) {
    if (!only_of(route, " ._:@/-")) return std::nullopt;
    std::vector<std::string_view> words;
    for (const auto word : split(route, ' '))
        if (!word.empty()) words.push_back(word);
    if (words.empty() || (words.front() != plan.destination && words.front() != host_prefix(plan)))
        return std::nullopt;
    std::string kept = host_prefix(plan);
    for (std::size_t i = 1; i < words.size(); ++i) {
        if (words[i].front() == '-' || words[i] == "lock" || words[i] == "nexthop")
            return std::nullopt;
        if (words[i] == "mtu" || words[i] == "advmss") {
            ++i;
            if (i < words.size() && words[i] == "lock") return std::nullopt;
            continue;
        }
        kept += fmt::format(" {}", words[i]);
    }
    return kept;
}

std::optional<std::string> route_to_destination(const Plan& plan) {
    const auto& host = plan.context.host;
    if (host.existing_host_route) return without_sizes(*host.existing_host_route, plan);
    if (!safe_interface(host.interface)) return std::nullopt;
    std::string route = host_prefix(plan);
    if (host.gateway)
        // An IPv4 route through an IPv6 gateway (RFC 5549) names the family.
        route += fmt::format(" via {}{}", host.gateway->family() == family(plan) ? "" : "inet6 ",
                             host.gateway->to_string());
    route += fmt::format(" dev {}", host.interface);
    if (host.source) route += fmt::format(" src {}", host.source->to_string());
    return route;
}

std::optional<Suggestion> route_mtu(const Plan& plan) {
    const auto route = route_to_destination(plan);
    if (!route) return std::nullopt;
    const auto& existing = plan.context.host.existing_host_route;
    auto suggestion = begin(plan, SuggestionKind::route_mtu);
    suggestion.scope = "this host, this destination";
    suggestion.why = fmt::format(
        "A route of its own to {} with MTU {}: this host then asks the server for MSS {} and sends "
        "no larger "
        "packet itself, so both directions fit, and fragmentation stays forbidden. Lasts until the "
        "next "
        "reboot unless the network configuration has it too.",
        plan.destination, plan.mtu.bytes, mss_in_words(plan));
    suggestion.commands = {
        fmt::format("{} route replace {} mtu {}", ip_command(plan), *route, plan.mtu.bytes)};
    suggestion.verify = {fmt::format("{} route get {}", ip_command(plan), plan.destination),
                         probe_command(plan)};
    suggestion.undo = {existing
                           ? fmt::format("{} route replace {}", ip_command(plan), trim(*existing))
                           : fmt::format("{} route del {}", ip_command(plan), *route)};
    return suggestion;
}

// A SYN from us tells the server what to send, a SYN from the server tells us: only the ill
// direction is touched.
std::string router_reason(const Plan& plan) {
    const std::string whose =
        "For a router of yours on the path, whose hosts all have this trouble: it lowers the MSS "
        "in "
        "the SYN ";
    switch (plan.direction) {
        case Direction::inbound:
            return whose +
                   "that goes to the server, so the server does not send what does not fit. Our "
                   "own packets are not touched: they fit.";
        case Direction::outbound:
            return whose +
                   "that comes from the server, so nobody sends it what does not fit. Its own "
                   "packets are not touched: they fit.";
        case Direction::both:
            break;
    }
    return whose +
           "of both sides, so neither sends what does not fit. One direction, or a clamp in "
           "OUTPUT, "
           "mends one direction only.";
}

// Addresses of the server that a SYN is matched by: `to`, `from`, or both.
std::vector<std::string_view> sides(const Plan& plan, std::string_view to, std::string_view from) {
    if (plan.direction == Direction::inbound) return {to};
    if (plan.direction == Direction::outbound) return {from};
    return {to, from};
}

// Letters and digits only, so that each destination has a table that can be taken away alone.
std::string nft_table(const Plan& plan) {
    auto name = "postfathom_" + plan.destination;
    std::replace_if(name.begin(), name.end(), [](char c) { return c == '.' || c == ':'; }, '_');
    return name;
}

Suggestion mss_clamp_nft(const Plan& plan) {
    const auto table = nft_table(plan);
    const auto rule = [&](std::string_view side) {
        return fmt::format(
            "nft add rule inet {} forward {} {} {} tcp flags syn / syn,rst tcp option maxseg size "
            "set {}",
            table, is_v6(plan) ? "ip6" : "ip", side, plan.destination, plan.mss.bytes);
    };
    auto suggestion = begin(plan, SuggestionKind::mss_clamp_nft);
    suggestion.scope = "a router of yours with nftables, this destination";
    suggestion.why = router_reason(plan);
    suggestion.commands = {
        fmt::format("nft add table inet {}", table),
        fmt::format(
            "nft add chain inet {} forward '{{ type filter hook forward priority mangle; }}'",
            table)};
    for (const auto side : sides(plan, "daddr", "saddr")) suggestion.commands.push_back(rule(side));
    suggestion.verify = {fmt::format("nft list table inet {}", table), probe_command(plan)};
    suggestion.undo = {fmt::format("nft delete table inet {}", table)};
    return suggestion;
}

Suggestion mss_clamp_iptables(const Plan& plan) {
    const auto rule = [&](char action, std::string_view side) {
        return fmt::format(
            "{} -t mangle -{} FORWARD {} {} -p tcp --tcp-flags SYN,RST SYN -j TCPMSS --set-mss {}",
            is_v6(plan) ? "ip6tables" : "iptables", action, side, plan.destination, plan.mss.bytes);
    };
    auto suggestion = begin(plan, SuggestionKind::mss_clamp_iptables);
    suggestion.scope = "a router of yours with iptables, this destination";
    suggestion.why = router_reason(plan);
    for (const auto side : sides(plan, "-d", "-s")) {
        suggestion.commands.push_back(rule('A', side));
        suggestion.undo.push_back(rule('D', side));
    }
    suggestion.verify = {
        fmt::format("{} -t mangle -S FORWARD", is_v6(plan) ? "ip6tables" : "iptables"),
        probe_command(plan)};
    return suggestion;
}

bool handshake_fails(const Diagnosis& diagnosis) {
    switch (diagnosis.id) {
        // Else it is about requests that this host does not send yet.
        case DiagnosisId::size_specific_loss:
        case DiagnosisId::large_hello_intolerance:
            return diagnosis.severity == Severity::critical;
        case DiagnosisId::pmtu_black_hole:
            // Towards the server a ClientHello passes and a message does not.
            return diagnosis.direction != Direction::outbound;
        case DiagnosisId::peer_stall:
        case DiagnosisId::reset_in_handshake:
        case DiagnosisId::tls_alert:
        case DiagnosisId::tls_protocol_mismatch:
        case DiagnosisId::tls_no_shared_cipher:
        case DiagnosisId::tls_garbage:
            return true;
        default:
            return false;
    }
}

bool sends_mail(Service service) {
    return service == Service::smtp || service == Service::submission || service == Service::smtps;
}

std::optional<Suggestion> tls_policy(const Plan& plan) {
    const auto raised = SuggestedLevel::raise(plan.context.floor, TlsLevel::encrypt);
    if (!raised || plan.next_hop.empty() || !sends_mail(plan.context.endpoint.service))
        return std::nullopt;
    auto suggestion = begin(plan, SuggestionKind::tls_policy);
    const auto level = to_string(raised->level());
    suggestion.proven = false;
    suggestion.scope =
        "this host's Postfix, this next hop; a line for the table of smtp_tls_policy_maps";
    suggestion.why =
        plan.stripped
            ? fmt::format(
                  "At the opportunistic level Postfix sends mail IN CLEAR TEXT while "
                  "STARTTLS is taken away. With {} it waits until TLS is there again.",
                  level)
            : fmt::format(
                  "At the opportunistic level Postfix tries again IN CLEAR TEXT once a message "
                  "with a failed handshake is older than minimal_backoff_time. With {} it waits "
                  "for TLS instead. Beside the mended path, not in place of it.",
                  level);
    suggestion.commands = {fmt::format("{} {}", plan.next_hop, level)};
    suggestion.verify = {fmt::format("postmap -q {} \"$(postconf -hx smtp_tls_policy_maps)\"",
                                     shell_word(plan.next_hop))};
    suggestion.undo = {"# take the line out of the table again"};
    return suggestion;
}

// Commands sent one by one have other sizes than a group of them. No cure: a single one may have
// the size that fails as well.
std::optional<Suggestion> no_pipelining(const Plan& plan) {
    if (!sends_mail(plan.context.endpoint.service) ||
        plan.context.host.destination.is_unspecified())
        return std::nullopt;
    auto suggestion = begin(plan, SuggestionKind::no_pipelining);
    suggestion.proven = false;
    suggestion.scope =
        "this host's Postfix, this server; a line for the table of "
        "smtp_discard_ehlo_keyword_address_maps";
    suggestion.why =
        "Postfix then sends SMTP commands one at a time, so that no group of them has a size that "
        "fails. It costs a round trip per command. To be taken back once the device that loses "
        "these sizes is mended; tell the operator of the server which sizes they are.";
    suggestion.commands = {fmt::format("{} pipelining", plan.destination)};
    suggestion.verify = {
        fmt::format("postmap -q {} \"$(postconf -hx smtp_discard_ehlo_keyword_address_maps)\"",
                    plan.destination)};
    suggestion.undo = {"# take the line out of the table again"};
    return suggestion;
}

// MTUs that make sense to set: an IPv4 host takes 576 (RFC 1122 section 3.3.2), an IPv6 link
// carries 1280 (RFC 8200 section 5). Less is a claim that needs a person.
bool sensible(PathMtu mtu, IpFamily family) {
    constexpr std::uint32_t largest_packet = 65535;
    const std::uint32_t smallest = family == IpFamily::v4 ? 576 : 1280;
    return mtu.bytes >= smallest && mtu.bytes <= largest_packet;
}

// Empty when it cannot be printed safely. An address without brackets is how a person types it;
// Postfix knows only the other.
std::string spelled_next_hop(const SuggestionContext& context) {
    const auto& verbatim = context.next_hop_verbatim;
    const bool bare = context.next_hop.literal && !verbatim.starts_with('[');
    auto spelled = verbatim.empty() || bare ? to_string(context.next_hop) : verbatim;
    return safe_word(spelled, "._:@[]-") ? spelled : std::string{};
}

void add(std::vector<Suggestion>& list, std::optional<Suggestion> suggestion) {
    if (suggestion) list.push_back(std::move(*suggestion));
}

// Safest first: the tunnel whose MTU is wrong, then this destination alone, then routers.
void mend_path(std::vector<Suggestion>& list, const Plan& plan) {
    if (tunnel(plan.context.host)) add(list, tunnel_mtu(plan));
    add(list, route_mtu(plan));
    if (perhaps_tunnel(plan)) add(list, tunnel_mtu(plan));
    list.push_back(mss_clamp_nft(plan));
    list.push_back(mss_clamp_iptables(plan));
}

}  // namespace

bool groups_of_commands_fail(DiagnosisId id, std::string_view sizes) {
    return id == DiagnosisId::size_specific_loss &&
           (sizes.starts_with("segments") || sizes.starts_with("requests"));
}

std::optional<Suggestion> hold_to_tls(const SuggestionContext& context) {
    return tls_policy({.context = context,
                       .mtu = {},
                       .mss = {},
                       .proven = false,
                       .stripped = false,
                       .direction = Direction::both,
                       .destination = {},
                       .next_hop = spelled_next_hop(context)});
}

std::string_view to_string(SuggestionKind kind) { return name_in(kind_names, kind); }

std::vector<Suggestion> suggest(const Diagnosis& diagnosis, const SuggestionContext& context) {
    const bool stripped = diagnosis.id == DiagnosisId::starttls_stripped;
    const bool no_tls = handshake_fails(diagnosis) || stripped;
    const bool groups = groups_of_commands_fail(diagnosis.id, diagnosis.sizes);
    const auto size = diagnosis.path_mtu.value_or(PathMtu{});
    const auto mss = mss_for(size, context.host.destination.family());
    const Plan plan{.context = context,
                    .mtu = size,
                    .mss = mss,
                    .proven = diagnosis.usable_mss == mss,
                    .stripped = stripped,
                    .direction = diagnosis.direction.value_or(Direction::both),
                    .destination = context.host.destination.to_string(),
                    .next_hop = spelled_next_hop(context)};
    std::vector<Suggestion> list;
    if (diagnosis.id == DiagnosisId::pmtu_black_hole && diagnosis.path_mtu &&
        sensible(size, context.host.destination.family()) &&
        !context.host.destination.is_unspecified())
        mend_path(list, plan);
    if (groups) add(list, no_pipelining(plan));
    if (no_tls) add(list, tls_policy(plan));
    return list;
}

}  // namespace postfathom
