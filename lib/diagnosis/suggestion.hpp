// SPDX-License-Identifier: Apache-2.0
// A change that a person may apply, with its scope, how to verify it and how to undo it.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "lib/destination/endpoint.hpp"
#include "lib/destination/next_hop.hpp"
#include "lib/diagnosis/diagnose.hpp"

namespace postfathom {

// Facts of this host for one destination address, gathered by the shell (rtnetlink).
struct HostFacts {
    IpAddress destination;
    std::optional<IpAddress> gateway;  // none: on link
    std::string interface;
    std::optional<IpAddress> source;  // preferred source of the route
    std::optional<PathMtu> interface_mtu;
    bool mtu_learned = false;  // the kernel holds a path MTU for the destination that expires
    // Kind of the interface as the kernel names it ("wireguard", "gre", "vxlan", "ppp", "tun",
    // "veth",
    // ...; empty for a plain device).
    std::string interface_kind;
    // A host route to exactly this destination exists already: its full text for `ip route
    // replace`.
    std::optional<std::string> existing_host_route;
    bool operator==(const HostFacts&) const = default;
};

// The kinds of change, as in JSON.
enum class SuggestionKind {
    route_mtu,           // "route-mtu"
    tunnel_mtu,          // "tunnel-mtu"
    mss_clamp_nft,       // "mss-clamp-nft"
    mss_clamp_iptables,  // "mss-clamp-iptables"
    tls_policy,          // "tls-policy"
    no_pipelining,       // "no-pipelining"
};
std::string_view to_string(SuggestionKind kind);

struct Suggestion {
    SuggestionKind kind = SuggestionKind::route_mtu;
    std::string scope;  // "this host, this destination"
    std::string why;
    std::vector<std::string> commands;  // complete command lines, or lines of a named file
    std::vector<std::string> verify;
    std::vector<std::string> undo;
    bool proven = false;                 // a counter-probe under the same limit succeeded
    TlsLevel tls_floor = TlsLevel::may;  // the level in force; nothing here goes below it
};

struct SuggestionContext {
    NextHop next_hop;
    std::string next_hop_verbatim;  // as Postfix spells it, the key of smtp_tls_policy_maps
    Endpoint endpoint;
    HostFacts host;
    TlsLevel floor = TlsLevel::may;
};

// Groups of SMTP commands are lost for their size, so that commands sent one by one may pass.
// `sizes` as in Diagnosis; a ClientHello is no group of commands.
bool groups_of_commands_fail(DiagnosisId id, std::string_view sizes);

// The line for smtp_tls_policy_maps that keeps mail from going in clear text after TLS failed.
// Nothing where the floor leaves no room.
std::optional<Suggestion> hold_to_tls(const SuggestionContext& context);

// Best first. Empty when there is nothing this host can do.
std::vector<Suggestion> suggest(const Diagnosis& diagnosis, const SuggestionContext& context);

}  // namespace postfathom
