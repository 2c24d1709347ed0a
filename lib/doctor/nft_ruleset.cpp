// SPDX-License-Identifier: Apache-2.0
#include "lib/doctor/nft_ruleset.hpp"

#include <algorithm>
#include <boost/json/parse.hpp>
#include <map>

#include "lib/base/json_value.hpp"
#include "lib/base/text.hpp"
#include "lib/doctor/tool_output.hpp"

namespace postfathom {

namespace json = boost::json;

namespace {

constexpr std::size_t max_depth = 48;

bool has(const json::value& value, std::string_view name) {
    const auto* object = value.if_object();
    return object != nullptr && object->contains({name.data(), name.size()});
}

std::string text(const json::value& value) {
    if (const auto* found = value.if_string(); found != nullptr)
        return printable({found->data(), found->size()}, max_rule_word);
    if (const auto* number = value.if_int64(); number != nullptr) return std::to_string(*number);
    return "";
}

// The values of a right side, each as text: one, a list, or a set. Nothing for what is none of
// these (a range, a prefix, a named set).
std::optional<std::vector<std::string>> values_of(const json::value& right) {
    const auto* list = right.if_array();
    if (list == nullptr) list = member(right, "set").if_array();
    if (list == nullptr) {
        const auto one = text(right);
        if (one.empty() || one.front() == '@') return std::nullopt;
        return std::vector<std::string>{one};
    }
    std::vector<std::string> values;
    for (const auto& each : *list) {
        // An element with a counter or time-out of its own: {"elem": {"val": ...}}.
        const auto one = text(has(each, "elem") ? member(member(each, "elem"), "val") : each);
        if (one.empty()) return std::nullopt;
        values.push_back(one);
    }
    return values;
}

struct Asked {
    RuleSubject subject = RuleSubject::other;
    IpFamily icmp = IpFamily::v4;
};

Asked asked_of_payload(const std::string& protocol, const std::string& field) {
    if (protocol == "ip" && field == "protocol") return {RuleSubject::protocol, IpFamily::v4};
    if (protocol == "ip6" && field == "nexthdr") return {RuleSubject::protocol, IpFamily::v6};
    const auto family = protocol == "icmpv6" ? IpFamily::v6 : IpFamily::v4;
    if (protocol != "icmp" && protocol != "icmpv6") return {};
    if (field == "type") return {RuleSubject::icmp_type, family};
    if (field == "code") return {RuleSubject::icmp_code, family};
    return {};
}

Asked asked_of(const json::value& left) {
    if (const auto& payload = member(left, "payload"); payload.is_object())
        return asked_of_payload(text(member(payload, "protocol")), text(member(payload, "field")));
    if (text(member(member(left, "ct"), "key")) == "state") return {RuleSubject::state};
    const auto meta = text(member(member(left, "meta"), "key"));
    if (meta == "l4proto") return {RuleSubject::protocol};
    if (meta == "nfproto") return {RuleSubject::family};
    if (meta == "iif" || meta == "iifname") return {RuleSubject::interface};
    return {};
}

std::string known_value(const Asked& asked, const std::string& value) {
    switch (asked.subject) {
        case RuleSubject::protocol:
            if (value == "ipv6-icmp" || value == "58") return "icmpv6";
            return value == "1" ? "icmp" : value;
        case RuleSubject::family:
            if (value == "ipv4") return "4";
            return value == "ipv6" ? "6" : value;
        case RuleSubject::icmp_type:
            return icmp_type_number(value, asked.icmp);
        case RuleSubject::icmp_code:
            return value == "frag-needed" ? "4" : value;
        default:
            return value;
    }
}

// What a packet of another protocol never meets: "tcp dport 25". Nothing else is known of it.
bool is_transport(const json::value& left) {
    const auto protocol = text(member(member(left, "payload"), "protocol"));
    return protocol == "tcp" || protocol == "udp" || protocol == "sctp" || protocol == "dccp";
}

void add_condition(FirewallRule& rule, const json::value& left, const json::value& right,
                   bool negated) {
    const auto values = values_of(right);
    auto asked = asked_of(left);
    RuleCondition condition{asked.subject, asked.icmp, {}, negated};
    if (is_transport(left)) {
        const auto protocol = text(member(member(left, "payload"), "protocol"));
        rule.conditions.push_back({RuleSubject::protocol, IpFamily::v4, {protocol}, false});
    } else if (!values) {
        condition.subject = RuleSubject::other;
    } else {
        for (const auto& value : *values) condition.values.push_back(known_value(asked, value));
    }
    // Either family's packets are of an IP protocol, so that "ip6 nexthdr" says the family as well.
    const auto payload = text(member(member(left, "payload"), "protocol"));
    if (payload == "ip" || payload == "ip6")
        rule.conditions.push_back(
            {RuleSubject::family, IpFamily::v4, {payload == "ip" ? "4" : "6"}, false});
    rule.conditions.push_back(std::move(condition));
}

// Statements that let the packet go on to the next one.
bool passes_by(const json::value& statement) {
    for (const auto* name :
         {"counter", "log", "mangle", "notrack", "meter", "ct helper", "secmark", "comment"})
        if (has(statement, name)) return true;
    return false;
}

bool read_verdict(FirewallRule& rule, const json::value& statement) {
    if (has(statement, "accept")) rule.verdict = RuleVerdict::accept;
    if (has(statement, "drop") || has(statement, "reject")) rule.verdict = RuleVerdict::drop;
    if (has(statement, "return")) rule.verdict = RuleVerdict::give_back;
    if (has(statement, "jump")) {
        rule.verdict = RuleVerdict::jump;
        rule.target = text(member(member(statement, "jump"), "target"));
    }
    if (has(statement, "goto")) {
        rule.verdict = RuleVerdict::go_to;
        rule.target = text(member(member(statement, "goto"), "target"));
    }
    return rule.verdict != RuleVerdict::none;
}

// A verdict map is a rule for each of its elements.
void read_verdict_map(const FirewallRule& so_far, const json::value& map,
                      std::vector<FirewallRule>& rules) {
    const auto* elements = member(member(map, "data"), "set").if_array();
    if (elements == nullptr) {  // a named one: anything may be in it
        auto rule = so_far;
        rule.conditions.push_back({});
        rule.verdict = RuleVerdict::drop;
        rules.push_back(rule);
        rule.verdict = RuleVerdict::accept;
        rules.push_back(rule);
        return;
    }
    for (const auto& element : *elements) {
        const auto* pair = element.if_array();
        if (pair == nullptr || pair->size() != 2) continue;
        auto rule = so_far;
        add_condition(rule, member(map, "key"), pair->at(0), false);
        if (read_verdict(rule, pair->at(1))) rules.push_back(std::move(rule));
    }
}

struct TableChains {
    bool foreign = false;  // has rules of iptables-nft
};

void read_rule(const json::value& written, std::vector<FirewallRule>& rules, bool& foreign) {
    FirewallRule rule;
    rule.place = text(member(written, "family")) + ' ' + text(member(written, "table")) + ' ' +
                 text(member(written, "chain")) + " handle " + text(member(written, "handle"));
    const auto* statements = member(written, "expr").if_array();
    if (statements == nullptr) return;
    for (const auto& statement : *statements) {
        if (has(statement, "xt")) foreign = true;
        if (const auto& match = member(statement, "match"); match.is_object()) {
            const auto operation = text(member(match, "op"));
            if (operation == "==" || operation == "!=" || operation == "in")
                add_condition(rule, member(match, "left"), member(match, "right"),
                              operation == "!=");
            else
                rule.conditions.push_back({});
        } else if (const auto& map = member(statement, "vmap"); map.is_object()) {
            return read_verdict_map(rule, map, rules);
        } else if (read_verdict(rule, statement)) {
            break;
        } else if (!passes_by(statement)) {
            rule.conditions.push_back({});  // a limit, a named set, ...
        }
    }
    if (rule.verdict != RuleVerdict::none) rules.push_back(std::move(rule));
}

std::optional<IpFamily> family_of(const std::string& table_family) {
    if (table_family == "ip") return IpFamily::v4;
    if (table_family == "ip6") return IpFamily::v6;
    return std::nullopt;
}

std::string table_of(const json::value& object) {
    return text(member(object, "family")) + ' ' + text(member(object, "table"));
}

}  // namespace

std::string icmp_type_number(std::string_view name, IpFamily family) {
    static const std::map<std::string, std::string, std::less<>> v4{
        {"destination-unreachable", "3"},
        {"echo-reply", "0"},
        {"echo-request", "8"},
        {"source-quench", "4"},
        {"redirect", "5"},
        {"time-exceeded", "11"},
        {"parameter-problem", "12"},
        {"router-advertisement", "9"},
        {"router-solicitation", "10"},
        {"timestamp-request", "13"},
        {"timestamp-reply", "14"},
        {"info-request", "15"},
        {"info-reply", "16"},
        {"address-mask-request", "17"},
        {"address-mask-reply", "18"}};
    static const std::map<std::string, std::string, std::less<>> v6{
        {"destination-unreachable", "1"}, {"packet-too-big", "2"},
        {"time-exceeded", "3"},           {"parameter-problem", "4"},
        {"echo-request", "128"},          {"echo-reply", "129"},
        {"mld-listener-query", "130"},    {"mld-listener-report", "131"},
        {"mld-listener-done", "132"},     {"nd-router-solicit", "133"},
        {"nd-router-advert", "134"},      {"nd-neighbor-solicit", "135"},
        {"nd-neighbor-advert", "136"},    {"nd-redirect", "137"},
        {"router-renumbering", "138"},    {"mld2-listener-report", "143"}};
    if (!name.empty() && name.find_first_not_of("0123456789") == std::string_view::npos)
        return std::string(name);
    const auto& names = family == IpFamily::v4 ? v4 : v6;
    const auto found = names.find(name);
    return found == names.end() ? "" : found->second;
}

Result<NftRuleset> parse_nft_ruleset(std::string_view printed) {
    json::parse_options options;
    options.max_depth = max_depth;
    json::error_code error;
    const auto value = json::parse({printed.data(), printed.size()}, error, {}, options);
    const auto* objects = member(value, "nftables").if_array();
    if (error || objects == nullptr)
        return fail(ErrorCode::invalid_input, "nft --json list ruleset: no rules in the output");
    NftRuleset ruleset;
    for (const auto& object : *objects) {
        const auto& written = member(object, "chain");
        if (!written.is_object()) continue;
        FirewallChain chain;
        const auto family = text(member(written, "family"));
        if (family != "ip" && family != "ip6" && family != "inet") continue;
        chain.table = table_of(written);
        chain.name = text(member(written, "name"));
        chain.hook = text(member(written, "hook"));
        chain.policy_drop = text(member(written, "policy")) == "drop";
        chain.family = family_of(family);
        if (const auto* priority = member(written, "prio").if_int64(); priority != nullptr)
            chain.priority = static_cast<int>(*priority);
        ruleset.firewall.chains.push_back(std::move(chain));
    }
    std::vector<std::string> foreign_tables;
    for (const auto& object : *objects) {
        const auto& written = member(object, "rule");
        if (!written.is_object()) continue;
        const auto table = table_of(written);
        const auto name = text(member(written, "chain"));
        bool foreign = false;
        for (auto& chain : ruleset.firewall.chains)
            if (chain.table == table && chain.name == name)
                read_rule(written, chain.rules, foreign);
        if (foreign) foreign_tables.push_back(table);
    }
    // iptables-save tells these tables whole.
    ruleset.has_iptables_rules = !foreign_tables.empty();
    std::erase_if(ruleset.firewall.chains, [&](const FirewallChain& chain) {
        return std::find(foreign_tables.begin(), foreign_tables.end(), chain.table) !=
               foreign_tables.end();
    });
    return ruleset;
}

}  // namespace postfathom
