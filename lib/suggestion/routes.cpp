// SPDX-License-Identifier: Apache-2.0
// Sizes that this host sets for a path: of the interface, of a route to this destination, and what
// the kernel finds out by itself.
#include <fmt/core.h>

#include <algorithm>
#include <array>

#include "lib/base/text.hpp"
#include "lib/suggestion/families.hpp"
#include "lib/suggestion/overhead.hpp"

namespace postfathom {
namespace {

// Kinds of rtnetlink that put packets into packets.
constexpr std::array tunnel_kinds{"wireguard", "gre",   "gretap", "erspan", "ip6gre", "ip6gretap",
                                  "ip6erspan", "ipip",  "sit",    "ip6tnl", "vti",    "vti6",
                                  "xfrm",      "vxlan", "geneve", "gtp",    "ppp",    "tun",
                                  "tap",       "l2tp",  "bareudp"};

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
    const auto& host = plan.host();
    if (host.existing_host_route) return without_sizes(*host.existing_host_route, plan);
    if (!safe_interface(host.interface)) return std::nullopt;
    std::string route = host_prefix(plan);
    if (host.gateway)
        // An IPv4 route through an IPv6 gateway (RFC 5549) names the family.
        route += fmt::format(" via {}{}", host.gateway->family() == plan.family() ? "" : "inet6 ",
                             host.gateway->to_string());
    route += fmt::format(" dev {}", host.interface);
    if (host.source) route += fmt::format(" src {}", host.source->to_string());
    return route;
}

FileLines kept_by_networkd(const Plan& plan, const std::string& size) {
    const auto& host = plan.host();
    FileLines kept{host.owner_file, {"[Route]", "Destination=" + host_prefix(plan)}};
    if (host.gateway)
        kept.lines.push_back("Gateway=" + host.gateway->to_string());
    else
        kept.lines.emplace_back("Scope=link");
    if (host.source) kept.lines.push_back("PreferredSource=" + host.source->to_string());
    kept.lines.push_back(size);
    return kept;
}

// Where the interface's own configuration has the change for the next start.
std::vector<FileLines> kept_route(const Plan& plan, const Suggestion& made,
                                  const std::string& networkd_size) {
    const auto& host = plan.host();
    // A route that somebody made has its place already.
    if (host.existing_host_route || !safe_path(host.owner_file)) return {};
    switch (host.owner) {
        case InterfaceOwner::wg_quick:
            return {{host.owner_file,
                     {"[Interface]", "PostUp = " + made.commands.front(),
                      "PreDown = " + made.undo.front()}}};
        case InterfaceOwner::ifupdown:
            return {{host.owner_file,
                     {fmt::format("# in the stanza of {}:", host.interface),
                      "    up " + made.commands.front(), "    down " + made.undo.front()}}};
        case InterfaceOwner::networkd:
            return {kept_by_networkd(plan, networkd_size)};
        case InterfaceOwner::unknown:
            break;
    }
    return {};
}

std::vector<FileLines> kept_mtu(const Plan& plan) {
    const auto& host = plan.host();
    if (!safe_path(host.owner_file)) return {};
    const auto mtu = std::to_string(plan.mtu.bytes);
    switch (host.owner) {
        case InterfaceOwner::wg_quick:
            return {{host.owner_file, {"[Interface]", "MTU = " + mtu}}};
        case InterfaceOwner::ifupdown:
            return {{host.owner_file,
                     {fmt::format("# in the stanza of {}:", host.interface), "    mtu " + mtu}}};
        case InterfaceOwner::networkd:
            return {{host.owner_file, {"[Link]", "MTUBytes=" + mtu}}};
        case InterfaceOwner::unknown:
            break;
    }
    return {};
}

constexpr std::string_view until_reboot =
    "Lasts until the interface or the host starts anew, unless the network configuration has it "
    "too.";

// "mtu 1400", "advmss 1360".
std::optional<Suggestion> sized_route(const Plan& plan, SuggestionKind kind,
                                      const std::string& size, const std::string& networkd_size) {
    const auto route = route_to_destination(plan);
    if (!route) return std::nullopt;
    const auto& existing = plan.host().existing_host_route;
    auto suggestion = begin(plan, kind);
    prove(suggestion, plan);
    suggestion.scope = "this host, this destination";
    suggestion.commands = {fmt::format("{} route replace {} {}", ip_command(plan), *route, size)};
    suggestion.verify = {fmt::format("{} route get {}", ip_command(plan), plan.destination),
                         probe_command(plan)};
    suggestion.undo = {existing
                           ? fmt::format("{} route replace {}", ip_command(plan), trim(*existing))
                           : fmt::format("{} route del {}", ip_command(plan), *route)};
    suggestion.files = kept_route(plan, suggestion, networkd_size);
    suggestion.risk = fmt::format("If the way to {} changes, this route stays as it is. {}",
                                  plan.destination, until_reboot);
    return suggestion;
}

}  // namespace

bool behind_tunnel(const HostFacts& host) {
    return std::find(tunnel_kinds.begin(), tunnel_kinds.end(), host.interface_kind) !=
           tunnel_kinds.end();
}

// 8921 = 9001 - 80, WireGuard.
bool perhaps_tunnel(const Plan& plan) {
    const auto& host = plan.host();
    return !behind_tunnel(host) && host.interface_mtu && *host.interface_mtu > ethernet_mtu &&
           plan.mtu <= ethernet_mtu;
}

// How much more packets there are when they shrink: from the largest that were seen to cross the
// path, for larger ones never did; 1500 where that was not measured.
std::string cost_of_smaller(const Plan& plan) {
    const auto most = plan.host().interface_mtu.value_or(plan.mtu);
    const auto crossed =
        std::min(most, plan.context.evidence.outbound.path_mtu.value_or(ethernet_mtu));
    if (crossed <= plan.mtu) return "";
    return fmt::format(", {} % more of them than with {} bytes",
                       100 * crossed.bytes / plan.mtu.bytes - 100, crossed.bytes);
}

std::optional<Suggestion> tunnel_mtu(const Plan& plan) {
    const auto& host = plan.host();
    // Below 1280 the kernel takes the interface's IPv6 addresses away.
    constexpr std::uint32_t ipv6_minimum = 1280;
    if (!safe_interface(host.interface) || !host.interface_mtu || *host.interface_mtu <= plan.mtu ||
        plan.mtu.bytes < ipv6_minimum)
        return std::nullopt;
    auto suggestion = begin(plan, SuggestionKind::tunnel_mtu);
    prove(suggestion, plan);
    suggestion.scope = fmt::format(
        "this host, every destination behind {}; only this one was tried", host.interface);
    const auto what =
        behind_tunnel(host)
            ? fmt::format("{} is a {} tunnel", host.interface, printable(host.interface_kind, 16))
            : fmt::format("{} looks like a tunnel over jumbo frames", host.interface);
    suggestion.why = fmt::format(
        "{}: its MTU is {}, the path behind it carries {} bytes {} this server, {} less. With MTU "
        "{} this host "
        "asks for MSS {} and sends no larger packet itself. Right if the tunnel is yours and "
        "carries no more to any destination.",
        what, host.interface_mtu->bytes, plan.mtu.bytes, plan.inbound() ? "from" : "to",
        host.interface_mtu->bytes - plan.mtu.bytes, plan.mtu.bytes, mss_in_words(plan));
    if (const auto arithmetic = overhead_in_words(host.interface_kind, plan.mtu);
        !arithmetic.empty())
        suggestion.why += " " + arithmetic;
    suggestion.commands = {
        fmt::format("ip link set dev {} mtu {}", host.interface, plan.mtu.bytes)};
    suggestion.files = kept_mtu(plan);
    suggestion.expected =
        fmt::format("every packet through {} fits, in both directions over TCP.", host.interface);
    suggestion.verify = {fmt::format("ip link show dev {}", host.interface), probe_command(plan)};
    suggestion.undo = {
        fmt::format("ip link set dev {} mtu {}", host.interface, host.interface_mtu->bytes)};
    suggestion.risk = fmt::format("Everything behind {} has smaller packets{}. {}", host.interface,
                                  cost_of_smaller(plan), until_reboot);
    return suggestion;
}

// A container's interface has the MTU of the network that it was made for.
std::optional<Suggestion> container_mtu(const Plan& plan) {
    const auto& host = plan.host();
    constexpr std::uint32_t ipv6_minimum = 1280;
    // Docker and Podman call it eth0; another one inside is somebody's own.
    if (!host.in_container || host.interface_kind != "veth" || !host.interface.starts_with("eth") ||
        !safe_interface(host.interface) || !host.interface_mtu || *host.interface_mtu <= plan.mtu ||
        plan.mtu.bytes < ipv6_minimum)
        return std::nullopt;
    auto suggestion = begin(plan, SuggestionKind::container_mtu);
    prove(suggestion, plan);
    suggestion.form = SuggestionForm::other_shell;
    suggestion.scope =
        "the host of this container, in the directory of its compose.yaml; every destination of "
        "the containers on that network";
    suggestion.why = fmt::format(
        "This is a container, and its network has MTU {} while the path carries {} bytes. Docker "
        "gives a network 1500 whatever the host's own interface has. An MTU is set when the "
        "network is made, so that it has to be made anew.",
        host.interface_mtu->bytes, plan.mtu.bytes);
    suggestion.commands = {"docker compose down", "docker compose up -d"};
    suggestion.files = {
        {"compose.yaml",
         {"networks:", "  default:", "    driver_opts:",
          fmt::format("      com.docker.network.driver.mtu: \"{}\"", plan.mtu.bytes)},
         true}};
    suggestion.expected = fmt::format("inside the container `ip link show dev {}` says mtu {}.",
                                      host.interface, plan.mtu.bytes);
    suggestion.verify = {fmt::format("ip link show dev {}", host.interface), probe_command(plan)};
    suggestion.undo = {"# take the lines out of compose.yaml again", "docker compose down",
                       "docker compose up -d"};
    suggestion.risk = "All containers of the project stop for as long as it takes.";
    return suggestion;
}

std::optional<Suggestion> route_mtu(const Plan& plan) {
    auto suggestion =
        sized_route(plan, SuggestionKind::route_mtu, fmt::format("mtu {}", plan.mtu.bytes),
                    fmt::format("MTUBytes={}", plan.mtu.bytes));
    if (!suggestion) return suggestion;
    suggestion->why = fmt::format(
        "A route of its own to {} with MTU {}: this host then asks the server for MSS {} and sends "
        "no larger packet itself, so both directions fit, and fragmentation stays forbidden.",
        plan.destination, plan.mtu.bytes, mss_in_words(plan));
    suggestion->expected =
        fmt::format("`{} route get {}` says mtu {}, and the handshake completes.", ip_command(plan),
                    plan.destination, plan.mtu.bytes);
    return suggestion;
}

// What we ask for, and nothing else: only for a hole that is inbound and no more.
std::optional<Suggestion> route_advmss(const Plan& plan) {
    if (plan.direction != Direction::inbound) return std::nullopt;
    auto suggestion =
        sized_route(plan, SuggestionKind::route_advmss, fmt::format("advmss {}", plan.mss.bytes),
                    fmt::format("TCPAdvertisedMaximumSegmentSize={}", plan.mss.bytes));
    if (!suggestion) return suggestion;
    suggestion->why = fmt::format(
        "A route of its own to {} that asks the server for MSS {} and leaves what we send as it "
        "is: only packets from the server were shown to be lost. In place of a route with an MTU, "
        "not beside it.",
        plan.destination, mss_in_words(plan));
    suggestion->expected =
        fmt::format("the server sends packets of at most {} bytes, and the handshake completes.",
                    plan.mtu.bytes);
    return suggestion;
}

// Only what we send is found out so: the server's packets are the server's.
std::optional<Suggestion> tcp_mtu_probing(const Plan& plan) {
    if (plan.direction != Direction::outbound || plan.host().tcp_mtu_probing != 0)
        return std::nullopt;
    auto suggestion = begin(plan, SuggestionKind::tcp_mtu_probing);
    suggestion.scope = "this host, all that it sends over TCP";
    suggestion.why =
        "A mitigation, no cure: a connection whose large packets are not acknowledged tries "
        "smaller "
        "ones after about four seconds, and goes on. For packets from this host only. The kernel "
        "has one setting for IPv4 and IPv6.";
    suggestion.commands = {"sysctl -w net.ipv4.tcp_mtu_probing=1"};
    suggestion.files = {{"/etc/sysctl.d/60-mtu-probing.conf", {"net.ipv4.tcp_mtu_probing = 1"}}};
    suggestion.expected = "a large message to this server stalls for some seconds, then arrives.";
    suggestion.verify = {"sysctl net.ipv4.tcp_mtu_probing",
                         fmt::format("ss -ti dst {}", plan.destination)};
    suggestion.undo = {"sysctl -w net.ipv4.tcp_mtu_probing=0"};
    suggestion.risk =
        "Every stalled connection of this host then sends smaller packets for a while, lost for "
        "their size or not.";
    return suggestion;
}

}  // namespace postfathom
