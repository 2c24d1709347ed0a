// SPDX-License-Identifier: Apache-2.0
// MX records (RFC 1035 section 3.3.9) from their wire form, in the order to try them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace postfathom {

struct MxRecord {
    std::uint16_t preference = 0;
    std::string exchange;  // lower case, without the dot at the end; empty for the root: a null MX
    auto operator<=>(const MxRecord&) const = default;
};

// Nothing for bytes that are not an uncompressed MX RDATA with a host name of letters, digits, '-',
// '_'.
std::optional<MxRecord> parse_mx(std::string_view rdata);

// Lowest preference first; equal ones by name, so that two probes try them in the same order. Each
// exchange once.
void sort_mx(std::vector<MxRecord>& records);

// "No mail here" (RFC 7505): a single record with the root as exchange.
bool null_mx(const std::vector<MxRecord>& records);

}  // namespace postfathom
