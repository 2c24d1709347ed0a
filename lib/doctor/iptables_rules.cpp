// SPDX-License-Identifier: Apache-2.0
// iptables-save(8), read for its chains and for the conditions that decide about ICMP errors.
#include "lib/base/text.hpp"
#include "lib/doctor/nft_ruleset.hpp"
#include "lib/doctor/tool_output.hpp"

namespace postfathom {

namespace {

struct Table {
    std::string name;
    std::size_t first_chain = 0;  // in Firewall::chains
};

std::string hook_of(std::string_view chain) {
    if (chain == "INPUT") return "input";
    if (chain == "PREROUTING") return "prerouting";
    if (chain == "OUTPUT") return "output";
    if (chain == "FORWARD") return "forward";
    return chain == "POSTROUTING" ? "postrouting" : "";
}

std::vector<std::string> states(std::string_view list) {
    std::vector<std::string> found;
    for (const auto state : split(list, ',')) found.push_back(to_lower(state));
    return found;
}

// "3/4", "fragmentation-needed", "destination-unreachable", "any".
void add_icmp_type(FirewallRule& rule, std::string_view asked, IpFamily family, bool negated) {
    if (asked == "any") return;
    if (asked == "fragmentation-needed") asked = "3/4";
    const auto slash = asked.find('/');
    const auto type = icmp_type_number(asked.substr(0, slash), family);
    if (type.empty()) {
        rule.conditions.push_back({});
        return;
    }
    if (negated && slash != std::string_view::npos) {
        rule.conditions.push_back({});  // "not both" is neither condition alone
        return;
    }
    rule.conditions.push_back({RuleSubject::icmp_type, family, {type}, negated});
    if (slash != std::string_view::npos)
        rule.conditions.push_back(
            {RuleSubject::icmp_code, family, {std::string(asked.substr(slash + 1))}, false});
}

void set_target(FirewallRule& rule, std::string_view target, bool go_to) {
    if (target == "ACCEPT") {
        rule.verdict = RuleVerdict::accept;
    } else if (target == "DROP" || target == "REJECT") {
        rule.verdict = RuleVerdict::drop;
    } else if (target == "RETURN") {
        rule.verdict = RuleVerdict::give_back;
    } else {
        // A target that is no chain (LOG, MARK, TCPMSS) lets the packet go on, and is not found.
        rule.verdict = go_to ? RuleVerdict::go_to : RuleVerdict::jump;
        rule.target = printable(target, max_rule_word);
    }
}

std::string protocol_name(std::string_view name) {
    if (name == "ipv6-icmp" || name == "58") return "icmpv6";
    return name == "1" ? "icmp" : std::string(name);
}

// Options after -A CHAIN, up to the target.
FirewallRule read_rule(const std::vector<std::string_view>& words, IpFamily family) {
    FirewallRule rule;
    bool negated = false;
    for (std::size_t i = 2; i < words.size(); ++i) {
        const auto word = words[i];
        const auto next = i + 1 < words.size() ? words[i + 1] : std::string_view{};
        if (word == "!") {
            negated = true;
            continue;
        }
        if (word == "-j" || word == "-g") {
            set_target(rule, next, word == "-g");
            break;  // the rest is the target's
        }
        if (word == "-p") {
            if (next != "all")
                rule.conditions.push_back(
                    {RuleSubject::protocol, IpFamily::v4, {protocol_name(next)}, negated});
        } else if (word == "--icmp-type" || word == "--icmpv6-type") {
            add_icmp_type(rule, next, family, negated);
        } else if (word == "--ctstate" || word == "--state") {
            rule.conditions.push_back({RuleSubject::state, IpFamily::v4, states(next), negated});
        } else if (word == "-i") {
            rule.conditions.push_back(
                {RuleSubject::interface, IpFamily::v4, {std::string(next)}, negated});
        } else if (word == "-m" &&
                   (next == "icmp" || next == "icmp6" || next == "conntrack" || next == "state" ||
                    next == "comment" || next == "tcp" || next == "udp")) {
            // What it asks comes with options of its own.
        } else if (word == "--comment") {
            // Words between quotes.
            if (!next.empty() && next.front() == '"')
                while (i + 1 < words.size() && words[i + 1].back() != '"') ++i;
        } else {
            rule.conditions.push_back({});
            while (i + 1 < words.size() && words[i + 1].front() != '-' && words[i + 1] != "!") ++i;
            negated = false;
            continue;
        }
        negated = false;
        if (i + 1 < words.size()) ++i;
    }
    return rule;
}

}  // namespace

Firewall parse_iptables(std::string_view printed, IpFamily family) {
    Firewall firewall;
    Table table;
    const std::string program = family == IpFamily::v4 ? "iptables" : "ip6tables";
    for (const auto line : split(printed, '\n')) {
        const auto words = words_of(line);
        if (words.empty()) continue;
        const auto first = words.front();
        if (first.front() == '*') {
            table = {program + ' ' + printable(first.substr(1), max_rule_word),
                     firewall.chains.size()};
        } else if (first.front() == ':' && words.size() >= 2) {
            FirewallChain chain;
            chain.table = table.name;
            chain.name = printable(first.substr(1), max_rule_word);
            chain.policy_drop = words[1] == "DROP";
            if (words[1] != "-") chain.hook = hook_of(first.substr(1));
            chain.family = family;
            firewall.chains.push_back(std::move(chain));
        } else if (first == "-A" && words.size() >= 3) {
            auto rule = read_rule(words, family);
            if (rule.verdict == RuleVerdict::none) continue;
            for (std::size_t i = table.first_chain; i < firewall.chains.size(); ++i) {
                auto& chain = firewall.chains[i];
                if (chain.name != words[1]) continue;
                rule.place = table.name + ' ' + chain.name + " rule " +
                             std::to_string(chain.rules.size() + 1);
                chain.rules.push_back(rule);
            }
        }
    }
    return firewall;
}

}  // namespace postfathom
