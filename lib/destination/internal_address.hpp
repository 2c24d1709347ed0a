// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "lib/destination/ip_address.hpp"

namespace postfathom {

// Of no use beyond a host, link or site: loopback, private (RFC 1918, RFC 4193), shared (RFC 6598),
// link-local, multicast, reserved, and IPv6 addresses that stand for such an IPv4 one (RFC 6052,
// RFC 3056). Those for documentation, which lead nowhere, are not counted.
bool is_internal(const IpAddress& address);

}  // namespace postfathom
