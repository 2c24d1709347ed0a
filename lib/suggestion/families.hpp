// SPDX-License-Identifier: Apache-2.0
// The families of suggestions, one file each. Each says nothing where it does not apply; the order
// is suggest.cpp's.
#pragma once

#include <optional>
#include <vector>

#include "lib/suggestion/plan.hpp"

namespace postfathom {

using MaybeSuggestion = std::optional<Suggestion>;

// routes.cpp: sizes of routes and interfaces of this host.
bool behind_tunnel(const HostFacts& host);
// A jumbo MTU towards the Internet usually belongs to a tunnel over jumbo frames.
bool perhaps_tunnel(const Plan& plan);
MaybeSuggestion tunnel_mtu(const Plan& plan);
MaybeSuggestion container_mtu(const Plan& plan);
MaybeSuggestion route_mtu(const Plan& plan);
MaybeSuggestion route_advmss(const Plan& plan);
MaybeSuggestion tcp_mtu_probing(const Plan& plan);

// clamps.cpp: the segment size in the SYN, for the direction that is ill.
MaybeSuggestion host_clamp(const Plan& plan);
Suggestion mss_clamp_nft(const Plan& plan);
Suggestion mss_clamp_iptables(const Plan& plan);

// icmp.cpp: what tells a sender that its packet is too big.
Suggestion let_icmp_through(const Plan& plan);

// postfix.cpp: how Postfix speaks to this server.
MaybeSuggestion tls_policy(const Plan& plan);
MaybeSuggestion no_pipelining(const Plan& plan);
MaybeSuggestion session_cache(const Plan& plan);

// transports.cpp: a copy of Postfix's smtp transport for this next hop.
MaybeSuggestion bind_address(const Plan& plan);
MaybeSuggestion address_family(const Plan& plan);
MaybeSuggestion patient_transport(const Plan& plan);

// own_server.cpp: the server is this host.
MaybeSuggestion own_server(const Plan& plan);

// letter.cpp: what only the operator of the server, or of the path, can mend.
MaybeSuggestion letter(const Plan& plan);

}  // namespace postfathom
