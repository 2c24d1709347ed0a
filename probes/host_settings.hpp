// SPDX-License-Identifier: Apache-2.0
// What this host's configuration says, beside its kernel's routes: who sets interfaces up, which
// firewall program is there, Postfix's own settings. Read only; what cannot be read is not known.
#pragma once

#include <optional>
#include <string>

#include "lib/suggestion/host_facts.hpp"

namespace postfathom {

// The same for every destination.
struct HostSettings {
    bool in_container = false;
    bool has_nft = false;
    bool has_iptables = false;
    std::optional<int> tcp_mtu_probing;
    std::optional<PostfixFacts> postfix;
};
// Asks postconf(1), which takes some 20 ms; bounded by its limit of 20 s.
HostSettings host_settings();

struct OwnedInterface {
    InterfaceOwner owner = InterfaceOwner::unknown;
    std::string file;
};
// Who configures `interface`: wg-quick(8), systemd-networkd(8) or ifupdown (interfaces(5)), by
// their files below `root` ("" for this host).
OwnedInterface interface_owner(const std::string& interface, const std::string& root = "");

// Puts both into the facts of a way.
void add_settings(HostFacts& facts, const HostSettings& settings);

}  // namespace postfathom
