// SPDX-License-Identifier: Apache-2.0
// Interfaces and routes as ip(8) prints them.
#pragma once

#include "lib/base/result.hpp"
#include "lib/doctor/facts.hpp"

namespace postfathom {

// `ip -json -details link show`.
Result<std::vector<Interface>> parse_links(std::string_view printed);

// `ip -oneline route show table all` and `ip -oneline route show cache`. Not as JSON: iproute2
// 6.1 leaves out there that an MTU is locked.
std::vector<KernelRoute> parse_routes(std::string_view printed);

}  // namespace postfathom
