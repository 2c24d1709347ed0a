// SPDX-License-Identifier: Apache-2.0
// Firewall rules as their programs print them: `nft --json list ruleset`, iptables-save(8).
#pragma once

#include <string_view>

#include "lib/base/result.hpp"
#include "lib/doctor/firewall.hpp"

namespace postfathom {

struct NftRuleset {
    Firewall firewall;
    // There are rules of iptables-nft, which nft cannot tell: ask iptables-save for these.
    bool has_iptables_rules = false;
};
Result<NftRuleset> parse_nft_ruleset(std::string_view printed);

// `family`: whether it is iptables-save or ip6tables-save.
Firewall parse_iptables(std::string_view printed, IpFamily family);

// Types and codes of ICMP by number, from the names that nft and iptables use; "" for one that is
// not known.
std::string icmp_type_number(std::string_view name, IpFamily family);

}  // namespace postfathom
