// SPDX-License-Identifier: Apache-2.0
// Verdicts and hosts to make suggestions for.
#pragma once

#include "lib/suggestion/suggest.hpp"
#include "tests/unit/diagnosis/evidence_builder.hpp"

namespace postfathom::test {

inline Diagnosis black_hole(std::uint32_t path_mtu, const std::string& ip = "192.0.2.1") {
    Diagnosis hole;
    hole.id = DiagnosisId::pmtu_black_hole;
    hole.severity = Severity::critical;
    hole.direction = Direction::inbound;
    hole.confidence = 0.99;
    hole.path_mtu = PathMtu{path_mtu};
    hole.path_mtu_exact = true;
    hole.usable_mss = mss_for(PathMtu{path_mtu}, address(ip).family());
    hole.summary = "Packets above the size vanish.";
    return hole;
}

inline SuggestionContext plain_host(const std::string& ip = "192.0.2.1",
                                    const std::string& gateway = "10.0.0.1") {
    SuggestionContext context;
    context.next_hop.host = "mail.example.org";
    context.next_hop.mx_lookup = false;
    context.next_hop_verbatim = "[mail.example.org]";
    context.endpoint = {address(ip), 25, Service::smtp, "mail.example.org"};
    context.host.destination = address(ip);
    context.host.gateway = address(gateway);
    context.host.interface = "eth0";
    context.host.interface_mtu = PathMtu{1500};
    return context;
}

inline SuggestionContext behind_tunnel() {
    auto context = plain_host("192.0.2.1", "10.30.0.254");
    context.host.interface = "wg0";
    context.host.interface_kind = "wireguard";
    context.host.interface_mtu = PathMtu{8921};
    return context;
}

}  // namespace postfathom::test
