// SPDX-License-Identifier: Apache-2.0
// A firewall's rules, as far as they decide about ICMP errors, and what becomes of one.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "lib/base/units.hpp"

namespace postfathom {

// What a rule asks of a packet, in one vocabulary for nft and iptables.
enum class RuleSubject {
    family,     // "4", "6"
    protocol,   // "icmp", "icmpv6"; others as they are
    icmp_type,  // numbers
    icmp_code,  // numbers
    state,      // "related", "established", ...
    interface,  // "lo"; other names are another's
    other,      // anything else: may hold or not
};

struct RuleCondition {
    RuleSubject subject = RuleSubject::other;
    IpFamily icmp = IpFamily::v4;     // whose types and codes
    std::vector<std::string> values;  // one of these
    bool negated = false;
    bool operator==(const RuleCondition&) const = default;
};

enum class RuleVerdict { none, accept, drop, jump, go_to, give_back };

struct FirewallRule {
    std::vector<RuleCondition> conditions;  // all of them
    RuleVerdict verdict = RuleVerdict::none;
    std::string target;  // of jump and go_to
    std::string place;   // for a person: "inet filter input handle 7"
    bool operator==(const FirewallRule&) const = default;
};

struct FirewallChain {
    std::string table;  // with its family: "inet filter"
    std::string name;
    std::string hook;  // "input"; empty: only jumped to
    int priority = 0;
    bool policy_drop = false;
    std::optional<IpFamily> family;  // none: both
    std::vector<FirewallRule> rules;
    bool operator==(const FirewallChain&) const = default;
};

struct Firewall {
    std::vector<FirewallChain> chains;
};

// What becomes of "packet too big" (ICMP type 3 code 4, ICMPv6 type 2) that a router sends us on
// account of a connection of ours.
enum class ErrorFate { passes, dropped, unclear };
struct FateOfErrors {
    ErrorFate fate = ErrorFate::passes;
    std::string place;  // the rule or policy that drops it, or that may
    bool operator==(const FateOfErrors&) const = default;
};
FateOfErrors fate_of_too_big(const Firewall& firewall, IpFamily family);

}  // namespace postfathom
