// SPDX-License-Identifier: Apache-2.0
// Which TLS level Postfix has for a next hop, as smtp(8) finds it (src/smtp/smtp_tls_policy.c).
// Pure.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace postfathom {

// What smtp_tls_policy_maps is asked for, in this order: the next hop as Postfix has it; of a plain
// domain then ".parent" and so on, but not of one in brackets or with a port.
std::vector<std::string> tls_policy_keys(std::string_view next_hop);

// The value of `key` in `table`; nothing when it has none, or cannot be asked.
using TableLookup =
    std::function<std::optional<std::string>(const std::string& table, const std::string& key)>;

// The word of the level: the first value in the tables, else smtp_tls_security_level, else what its
// predecessors smtp_enforce_tls and smtp_use_tls say; "" for no TLS. `own_tables_socket`: our table
// there is not asked, since what it says follows from this. At most 8 tables are asked.
std::string tls_level_in_force(std::string_view next_hop,
                               const std::map<std::string, std::string>& parameters,
                               const std::string& own_tables_socket, const TableLookup& look_up);

}  // namespace postfathom
