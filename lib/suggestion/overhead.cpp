// SPDX-License-Identifier: Apache-2.0
#include "lib/suggestion/overhead.hpp"

#include <fmt/core.h>

#include <array>

namespace postfathom {
namespace {

struct Known {
    std::string_view kind;
    std::string_view name;
    std::uint32_t bytes;
    std::string_view parts;
};

// WireGuard: type 4, receiver 4, counter 8, tag 16 (wireguard.com/papers). PPPoE: RFC 2516 section
// 7. GRE: RFC 2784. VXLAN: RFC 7348 section 5. GENEVE: RFC 8926, without options. ip6tnl and ip6gre
// carry a destination option of 8 bytes for the encapsulation limit (RFC 2473) unless told not to.
// ESP (RFC 4303) with AES-GCM: header 8, IV 8, trailer 2, tag 16, and up to 3 bytes of padding.
constexpr std::array<Known, 23> known{{
    {"wireguard", "WireGuard over IPv4", 60, "IPv4 20 + UDP 8 + WireGuard 32"},
    {"wireguard", "WireGuard over IPv6", 80, "IPv6 40 + UDP 8 + WireGuard 32"},
    {"ppp", "PPPoE", 8, "PPPoE 6 + PPP 2"},
    {"gre", "GRE over IPv4", 24, "IPv4 20 + GRE 4"},
    {"gretap", "Ethernet in GRE over IPv4", 38, "IPv4 20 + GRE 4 + Ethernet 14"},
    {"ip6gre", "GRE over IPv6", 52, "IPv6 40 + option 8 + GRE 4"},
    {"ip6gretap", "Ethernet in GRE over IPv6", 66, "IPv6 40 + option 8 + GRE 4 + Ethernet 14"},
    {"ipip", "IP in IPv4", 20, "IPv4 20"},
    {"sit", "6in4", 20, "IPv4 20"},
    {"ip6tnl", "IP in IPv6", 48, "IPv6 40 + option 8"},
    {"vxlan", "VXLAN over IPv4", 50, "IPv4 20 + UDP 8 + VXLAN 8 + Ethernet 14"},
    {"vxlan", "VXLAN over IPv6", 70, "IPv6 40 + UDP 8 + VXLAN 8 + Ethernet 14"},
    {"geneve", "GENEVE over IPv4", 50, "IPv4 20 + UDP 8 + GENEVE 8 + Ethernet 14"},
    {"geneve", "GENEVE over IPv6", 70, "IPv6 40 + UDP 8 + GENEVE 8 + Ethernet 14"},
    {"vti", "IPsec (AES-GCM) over IPv4", 57, "IPv4 20 + ESP 34 + padding up to 3"},
    {"vti6", "IPsec (AES-GCM) over IPv6", 77, "IPv6 40 + ESP 34 + padding up to 3"},
    {"xfrm", "IPsec (AES-GCM) over IPv4", 57, "IPv4 20 + ESP 34 + padding up to 3"},
    {"xfrm", "IPsec (AES-GCM) over IPv4 behind NAT", 65,
     "IPv4 20 + UDP 8 + ESP 34 + padding up to 3"},
    {"xfrm", "IPsec (AES-GCM) over IPv6", 77, "IPv6 40 + ESP 34 + padding up to 3"},
    {"bareudp", "IP in UDP over IPv4", 28, "IPv4 20 + UDP 8"},
    {"bareudp", "IP in UDP over IPv6", 48, "IPv6 40 + UDP 8"},
    {"gtp", "GTP-U over IPv4", 36, "IPv4 20 + UDP 8 + GTP 8"},
    {"gtp", "GTP-U over IPv6", 56, "IPv6 40 + UDP 8 + GTP 8"},
}};

}  // namespace

std::vector<Overhead> overheads(std::string_view kind) {
    std::vector<Overhead> found;
    for (const auto& one : known)
        if (one.kind == kind)
            found.push_back({std::string(one.name), one.bytes, std::string(one.parts)});
    return found;
}

std::string overhead_in_words(std::string_view kind, PathMtu inside) {
    std::string text;
    for (const auto& one : overheads(kind))
        text += fmt::format("{}{} adds {} bytes ({}): {} inside are {} outside",
                            text.empty() ? "" : "; ", one.name, one.bytes, one.parts, inside.bytes,
                            inside.bytes + one.bytes);
    return text.empty() ? text : text + ".";
}

}  // namespace postfathom
