// SPDX-License-Identifier: Apache-2.0
// MTUs of tunnels and bridges against the way out, routes with an MTU of their own, and ICMP.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "lib/base/text.hpp"
#include "lib/doctor/rules.hpp"

namespace postfathom {

namespace {

constexpr std::uint32_t least_mtu_v6 = 1280;  // RFC 8200 section 5
// net.ipv4.route.min_pmtu: the kernel itself believes no ICMP error below it.
constexpr std::uint32_t least_believable_v4 = 552;

// What a tunnel puts around each packet, outer IP header and all, without options.
struct TunnelKind {
    std::string_view kind;
    std::uint32_t v4;
    std::uint32_t v6;
    std::string_view arithmetic;  // without the outer IP header
    bool inside_a_site;           // usually between hosts of one data centre
};
constexpr std::array<TunnelKind, 11> tunnel_kinds{{
    {"wireguard", 60, 80, "UDP 8 + WireGuard 32", false},
    {"gre", 24, 44, "GRE 4", false},
    {"ip6gre", 24, 44, "GRE 4", false},
    {"gretap", 38, 58, "GRE 4 + Ethernet 14", false},
    {"ip6gretap", 38, 58, "GRE 4 + Ethernet 14", false},
    {"ipip", 20, 40, "nothing else", false},
    {"sit", 20, 40, "nothing else", false},
    {"ip6tnl", 20, 40, "nothing else", false},
    {"vxlan", 50, 70, "UDP 8 + VXLAN 8 + Ethernet 14", true},
    {"geneve", 50, 70, "UDP 8 + Geneve 8 + Ethernet 14", true},
    // RFC 2516 section 7: PPPoE 6 + PPP 2, on the Ethernet frame that IP would else have.
    {"ppp", 8, 8, "PPPoE 6 + PPP 2", false},
}};

const TunnelKind* tunnel_kind(const Interface& interface) {
    const auto found =
        std::find_if(tunnel_kinds.begin(), tunnel_kinds.end(),
                     [&](const TunnelKind& known) { return known.kind == interface.kind; });
    return found == tunnel_kinds.end() ? nullptr : &*found;
}

const Interface* find(const LinkFacts& links, const std::string& name) {
    const auto found = std::find_if(links.interfaces.begin(), links.interfaces.end(),
                                    [&](const Interface& each) { return each.name == name; });
    return found == links.interfaces.end() ? nullptr : &*found;
}

// The way out: the interface of a default route that is no tunnel; of several, the one with the
// largest MTU, so that what does not fit there fits nowhere.
const Interface* egress(const LinkFacts& links) {
    const Interface* best = nullptr;
    for (const auto& route : links.routes) {
        if (route.destination != "default") continue;
        const auto* interface = find(links, route.interface);
        if (interface == nullptr || interface->mtu == 0 || tunnel_kind(*interface) != nullptr ||
            interface->kind == "tun")
            continue;
        if (best == nullptr || interface->mtu > best->mtu) best = interface;
    }
    return best;
}

std::string arithmetic(const Interface& tunnel, const TunnelKind& kind, bool v6) {
    const auto around = v6 ? kind.v6 : kind.v4;
    if (kind.kind == "ppp") return fmt::format("{} + {} ({})", tunnel.mtu, around, kind.arithmetic);
    return fmt::format("{} + {} (outer {}, {})", tunnel.mtu, around, v6 ? "IPv6 40" : "IPv4 20",
                       kind.arithmetic);
}

std::vector<std::string> set_mtu(const std::string& name, std::uint32_t mtu,
                                 const std::string& kind) {
    std::vector<std::string> lines{fmt::format("ip link set dev {} mtu {}", name, mtu)};
    if (kind == "wireguard")
        lines.push_back(fmt::format("# to keep it: MTU = {} in [Interface] of {}.conf", mtu, name));
    return lines;
}

constexpr std::string_view too_large_for =
    "Full-sized packets do not fit into the way that carries them. TCP offers an MSS from this "
    "MTU, so that both sides send packets of this size, and where an ICMP error is lost on the way "
    "they vanish without a word: TLS handshakes hang, large messages stay in the queue.";

void examine_tunnel(const Interface& tunnel, const TunnelKind& kind, const Interface& out,
                    Findings& findings) {
    const bool v6 = tunnel.outer == IpFamily::v6;
    const auto around = v6 ? kind.v6 : kind.v4;
    // Where the outer family is not known, advice is good for both.
    const auto safe_around = tunnel.outer == IpFamily::v4 ? kind.v4 : kind.v6;
    if (tunnel.mtu + around > out.mtu) {
        findings.push_back(
            {"tunnel-mtu", Severity::warning,
             fmt::format("the MTU of {} ({}) is too large for {}: {} = {}, and {} carries {}",
                         tunnel.name, kind.kind, out.name, arithmetic(tunnel, kind, v6),
                         tunnel.mtu + around, out.name, out.mtu),
             std::string(too_large_for),
             set_mtu(tunnel.name, out.mtu - std::min(out.mtu, safe_around), tunnel.kind)});
        return;
    }
    if (tunnel.mtu + around <= ethernet_mtu.bytes) return;
    findings.push_back(
        {"tunnel-mtu-jumbo", kind.inside_a_site ? Severity::notice : Severity::warning,
         fmt::format("the MTU of {} ({}) is {}: its packets are up to {} bytes, more than the {} "
                     "that Ethernet and the Internet carry",
                     tunnel.name, kind.kind, tunnel.mtu, tunnel.mtu + around, ethernet_mtu.bytes),
         fmt::format(
             "That is right only where every link between the two ends carries {} bytes. "
             "If one does not, large packets vanish: TLS handshakes hang and large messages "
             "stay in the queue, although small ones pass.",
             tunnel.mtu + around),
         set_mtu(tunnel.name, ethernet_mtu.bytes - safe_around, tunnel.kind)});
}

void examine_bridge(const Interface& bridge, const Interface& out, Findings& findings) {
    if (bridge.name == out.name || out.bridge == bridge.name || bridge.mtu <= out.mtu) return;
    const bool docker = bridge.name.rfind("docker", 0) == 0 || bridge.name.rfind("br-", 0) == 0;
    std::vector<std::string> mend{fmt::format("ip link set dev {} mtu {}", bridge.name, out.mtu)};
    if (docker)
        mend.push_back(fmt::format(
            "# to keep it: \"mtu\": {} in /etc/docker/daemon.json, or the network option "
            "com.docker.network.driver.mtu={}",
            out.mtu, out.mtu));
    findings.push_back(
        {"bridge-mtu", Severity::warning,
         fmt::format("the MTU of the bridge {} is {}, and the way out, {}, carries {}", bridge.name,
                     bridge.mtu, out.name, out.mtu),
         "Containers and guests behind it offer an MSS that does not fit the way out. What comes "
         "back to them in full size vanishes wherever ICMP errors are lost.",
         std::move(mend)});
}

bool is_host(const KernelRoute& route) {
    return route.destination != "default" && route.destination.find('/') == std::string::npos;
}

std::string listed(const std::vector<const KernelRoute*>& routes) {
    constexpr std::size_t most = 5;
    std::string text;
    for (std::size_t i = 0; i < routes.size() && i < most; ++i)
        text +=
            fmt::format("{}{} ({})", i == 0 ? "" : ", ", routes[i]->destination, routes[i]->mtu);
    if (routes.size() > most) text += fmt::format(" and {} more", routes.size() - most);
    return text;
}

bool is_v6(const KernelRoute& route) { return route.destination.find(':') != std::string::npos; }

bool is_unbelievable(const KernelRoute& route) {
    return route.mtu < (is_v6(route) ? least_mtu_v6 : least_believable_v4);
}

std::string flush_command(const KernelRoute& route) {
    return fmt::format("ip {}route flush cache", is_v6(route) ? "-6 " : "");
}

// `place` as FirewallRule has it, or "policy of TABLE CHAIN".
std::string let_in(std::string_view place, bool v4) {
    constexpr std::string_view policy = "policy of ";
    if (place.substr(0, policy.size()) == policy) place.remove_prefix(policy.size());
    const auto words = split(place, ' ');
    const auto word = [&](std::size_t i) {
        return i < words.size() ? words[i] : std::string_view{};
    };
    if (word(0) == "iptables" || word(0) == "ip6tables")
        return fmt::format("{} -t {} -I {} -p {} -j ACCEPT", word(0), word(1), word(2),
                           v4 ? "icmp --icmp-type fragmentation-needed"
                              : "ipv6-icmp --icmpv6-type packet-too-big");
    return fmt::format("nft insert rule {} {} {} {} accept", word(0), word(1), word(2),
                       v4 ? "icmp type destination-unreachable icmp code frag-needed"
                          : "icmpv6 type packet-too-big");
}

}  // namespace

void examine_links(const LinkFacts& links, const DoctorFacts& /*facts*/, Findings& findings) {
    const auto* out = egress(links);
    if (out == nullptr) {
        findings.push_back({"egress",
                            Severity::unknown,
                            "no default route: tunnels and bridges have nothing to be compared to",
                            "",
                            {}});
        return;
    }
    const auto before = findings.size();
    for (const auto& interface : links.interfaces) {
        if (!interface.up || interface.mtu == 0) continue;
        if (const auto* kind = tunnel_kind(interface))
            examine_tunnel(interface, *kind, *out, findings);
        else if (interface.kind == "bridge")
            examine_bridge(interface, *out, findings);
    }
    if (findings.size() == before)
        findings.push_back(
            {"link-mtu",
             Severity::ok,
             fmt::format("the MTUs of tunnels and bridges are no larger than that of {}, {}; "
                         "what a path carries, a probe tells",
                         out->name, out->mtu),
             "",
             {}});
    if (out->mtu > ethernet_mtu.bytes)
        findings.push_back(
            {"jumbo-egress",
             Severity::notice,
             fmt::format("the way out, {}, has an MTU of {}", out->name, out->mtu),
             "The Internet carries 1500 bytes. Each connection beyond the own network depends on "
             "ICMP errors or on the far side's smaller MSS to find that out.",
             {fmt::format("# add \"mtu {}\" to the default route by {}; the own network keeps {}",
                          ethernet_mtu.bytes, out->name, out->mtu)}});
}

void examine_routes(const LinkFacts& links, Findings& findings) {
    std::vector<const KernelRoute*> learned;
    std::vector<const KernelRoute*> unbelievable;
    std::vector<const KernelRoute*> by_hand;
    const auto before = findings.size();
    for (const auto& route : links.routes) {
        if (route.mtu == 0) continue;
        if (route.mtu_locked)
            findings.push_back(
                {"route-mtu-locked",
                 Severity::warning,
                 fmt::format("the route to {} has its MTU of {} locked", route.destination,
                             route.mtu),
                 "The kernel then sends without the bit \"don't fragment\" and no longer learns: "
                 "fragments are dropped by many firewalls, with no word to anyone.",
                 {fmt::format("# make the route to {} again with \"mtu {}\", without the word lock",
                              route.destination, route.mtu)}});
        else if (route.learned)
            (is_unbelievable(route) ? unbelievable : learned).push_back(&route);
        else if (is_host(route))
            by_hand.push_back(&route);
    }
    if (!unbelievable.empty())
        findings.push_back(
            {"route-exception-too-small",
             Severity::warning,
             "the kernel has learned path MTUs smaller than networks have: " + listed(unbelievable),
             "An ICMP error that no honest router sends, or a broken one. Packets become small and "
             "many; the kernel forgets it after net.ipv4.route.mtu_expires, 10 minutes.",
             {flush_command(*unbelievable.front())}});
    if (!learned.empty())
        findings.push_back(
            {"route-exceptions",
             Severity::notice,
             "the kernel has learned smaller path MTUs: " + listed(learned),
             "No fault: path MTU discovery works for these. After a change on the way the old "
             "value "
             "stays for up to 10 minutes.",
             {flush_command(*learned.front()) + "   # after a change, to measure anew"}});
    if (!by_hand.empty())
        findings.push_back(
            {"route-mtu-by-hand",
             Severity::notice,
             "routes to single hosts have an MTU of their own: " + listed(by_hand),
             "Somebody's remedy. It outlives the fault and slows a path that is whole again.",
             {fmt::format("postfathom probe {}   # says whether it is still needed",
                          by_hand.front()->destination)}});
    if (findings.size() == before)
        findings.push_back(
            {"routes", Severity::ok, "no route has an MTU of its own, learned or set", "", {}});
}

void examine_firewall(const Firewall& firewall, Findings& findings) {
    constexpr std::string_view why =
        "Routers tell with this message that a packet does not fit. Without it the kernel sends "
        "the "
        "same packet again and again: large messages hang, and nothing says why.";
    const auto before = findings.size();
    for (const auto family : {IpFamily::v4, IpFamily::v6}) {
        const auto fate = fate_of_too_big(firewall, family);
        if (fate.fate == ErrorFate::passes) continue;
        const bool v4 = family == IpFamily::v4;
        const std::string message =
            v4 ? "ICMP \"fragmentation needed\"" : "ICMPv6 \"packet too big\"";
        if (fate.fate == ErrorFate::unclear) {
            findings.push_back(
                {"icmp-unclear",
                 Severity::unknown,
                 "could not tell whether the firewall lets " + message + " in; see " + fate.place,
                 "The answer depends on conditions that are not known here, such as "
                 "a rate or an address.",
                 {}});
            continue;
        }
        const auto command = let_in(fate.place, v4);
        findings.push_back({v4 ? "icmp-dropped" : "icmpv6-dropped",
                            Severity::warning,
                            "this host's firewall drops " + message + ": " + fate.place,
                            std::string(why),
                            {command}});
    }
    if (findings.size() == before)
        findings.push_back({"icmp",
                            Severity::ok,
                            "this host's firewall lets ICMP \"packet too big\" in, IPv4 and IPv6",
                            "",
                            {}});
}

}  // namespace postfathom
