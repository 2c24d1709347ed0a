// SPDX-License-Identifier: Apache-2.0
// The hosts file (hosts(5)), which glibc and Postfix's native lookups ask before DNS.
#pragma once

#include <string_view>
#include <vector>

#include "lib/destination/ip_address.hpp"

namespace postfathom {

// Addresses of `name` in the text of a hosts file, in its order; names are compared without case.
std::vector<IpAddress> addresses_in_hosts_file(std::string_view text, std::string_view name);

}  // namespace postfathom
