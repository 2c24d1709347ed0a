// SPDX-License-Identifier: Apache-2.0
// What a tunnel adds to each packet.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/units.hpp"

namespace postfathom {

struct Overhead {
    std::string name;         // "WireGuard over IPv4"
    std::uint32_t bytes = 0;  // between the packet inside and the one outside
    std::string parts;        // "IPv4 20 + UDP 8 + WireGuard 32"
    bool operator==(const Overhead&) const = default;
};

// By the kernel's name of the interface's kind; more than one where the outer protocol is not told
// by it. Empty for what is no tunnel, or one whose overhead depends on its settings.
std::vector<Overhead> overheads(std::string_view kind);

// "WireGuard adds 60 bytes (IPv4 20 + UDP 8 + WireGuard 32): 1400 inside are 1460 outside." Empty
// when nothing is known.
std::string overhead_in_words(std::string_view kind, PathMtu inside);

}  // namespace postfathom
