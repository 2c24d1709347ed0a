// SPDX-License-Identifier: Apache-2.0
// What this host's kernel says of the way to an address: route, interface, MTUs (rtnetlink).
#pragma once

#include "lib/base/result.hpp"
#include "lib/suggestion/host_facts.hpp"

namespace postfathom {

Result<HostFacts> host_facts(const IpAddress& destination, const std::optional<IpAddress>& source);

// The address that this host's kernel would send from; nothing is sent.
std::optional<IpAddress> chosen_source(const IpAddress& destination);

// Whether what is sent there stays on this host.
bool is_own_address(const IpAddress& address);

// The MTU the kernel would use now for `destination`: IP_MTU of a connected UDP socket, nothing is
// sent.
std::optional<PathMtu> current_route_mtu(const IpAddress& destination,
                                         const std::optional<IpAddress>& source);

}  // namespace postfathom
