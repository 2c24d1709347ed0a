// SPDX-License-Identifier: Apache-2.0
// Facts of this host by which a suggestion is made to fit it, gathered by probes/host_facts and
// probes/host_settings. What is not known is empty.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "lib/base/units.hpp"
#include "lib/destination/ip_address.hpp"

namespace postfathom {

// Who sets an interface up, so that a change outlives a restart.
enum class InterfaceOwner { unknown, wg_quick, networkd, ifupdown };

// Postfix's settings, as postconf(1) prints them.
struct PostfixFacts {
    std::map<std::string, std::string> values;  // in force, with $names expanded
    std::string smtp_service;                   // the line of smtp/unix in master.cf

    bool operator==(const PostfixFacts&) const = default;
};

struct HostFacts {
    // The way to one destination (rtnetlink).
    IpAddress destination;
    std::optional<IpAddress> gateway;  // none: on link
    std::string interface;
    std::optional<IpAddress> source;  // preferred source of the route
    std::optional<PathMtu> interface_mtu;
    bool mtu_learned = false;  // the kernel holds a path MTU for the destination that expires
    bool own = false;          // the destination is this host
    // Kind of the interface as the kernel names it ("wireguard", "gre", "vxlan", "ppp", "tun",
    // "veth", ...; empty for a plain device).
    std::string interface_kind;
    // A host route to exactly this destination exists already: its full text for `ip route
    // replace`.
    std::optional<std::string> existing_host_route;

    // The host.
    InterfaceOwner owner = InterfaceOwner::unknown;  // of the interface
    std::string owner_file;                          // that configures it
    bool in_container = false;
    bool has_nft = false;
    bool has_iptables = false;
    std::optional<int> tcp_mtu_probing;  // net.ipv4.tcp_mtu_probing
    std::optional<PostfixFacts> postfix;

    bool operator==(const HostFacts&) const = default;
};

}  // namespace postfathom
