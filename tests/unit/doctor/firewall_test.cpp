// SPDX-License-Identifier: Apache-2.0
// What becomes of ICMP errors under rules as nft 1.0.6 and iptables-save print them.
#include "lib/doctor/firewall.hpp"

#include <doctest/doctest.h>

#include <string>

#include "lib/doctor/nft_ruleset.hpp"

using namespace postfathom;

namespace {

std::string chain(const std::string& name, const std::string& base = "") {
    return R"({"chain":{"family":"inet","table":"filter","name":")" + name + "\",\"handle\":1" +
           base + "}}";
}
std::string input(const std::string& policy) {
    return chain("input", R"(,"type":"filter","hook":"input","prio":0,"policy":")" + policy + '"');
}
int handle = 0;
std::string rule(const std::string& expr, const std::string& in = "input") {
    return R"({"rule":{"family":"inet","table":"filter","chain":")" + in + R"(","handle":)" +
           std::to_string(++handle) + R"(,"expr":[)" + expr + "]}}";
}
std::string ruleset(std::initializer_list<std::string> objects) {
    std::string all = R"({"nftables":[{"metainfo":{"version":"1.0.6"}})";
    for (const auto& object : objects) all += ',' + object;
    return all + "]}";
}
ErrorFate fate(const std::string& printed, IpFamily family) {
    const auto parsed = parse_nft_ruleset(printed);
    REQUIRE(parsed);
    return fate_of_too_big(parsed->firewall, family).fate;
}

constexpr auto accepted = R"({"accept":null})";
constexpr auto established =
    R"({"match":{"op":"in","left":{"ct":{"key":"state"}},"right":["established","related"]}},{"accept":null})";
constexpr auto only_established =
    R"({"match":{"op":"in","left":{"ct":{"key":"state"}},"right":"established"}},{"accept":null})";
constexpr auto icmp_drop =
    R"({"match":{"op":"==","left":{"meta":{"key":"l4proto"}},"right":"icmp"}},{"drop":null})";
constexpr auto both_drop =
    R"({"match":{"op":"==","left":{"meta":{"key":"l4proto"}},"right":{"set":["icmp","ipv6-icmp"]}}},{"drop":null})";
constexpr auto too_big_v6 =
    R"({"match":{"op":"==","left":{"payload":{"protocol":"icmpv6","field":"type"}},"right":"packet-too-big"}},{"accept":null})";
constexpr auto frag_needed =
    R"({"match":{"op":"==","left":{"payload":{"protocol":"icmp","field":"type"}},"right":"destination-unreachable"}},{"match":{"op":"==","left":{"payload":{"protocol":"icmp","field":"code"}},"right":"frag-needed"}},{"accept":null})";
constexpr auto limited =
    R"({"match":{"op":"==","left":{"payload":{"protocol":"icmp","field":"type"}},"right":"destination-unreachable"}},{"limit":{"rate":10,"per":"second"}},{"accept":null})";
constexpr auto smtp =
    R"({"match":{"op":"==","left":{"payload":{"protocol":"tcp","field":"dport"}},"right":25}},{"accept":null})";
constexpr auto loopback =
    R"({"match":{"op":"==","left":{"meta":{"key":"iif"}},"right":"lo"}},{"accept":null})";
constexpr auto blocked_addresses =
    R"({"match":{"op":"==","left":{"payload":{"protocol":"ip","field":"saddr"}},"right":"@blocked"}},{"drop":null})";
// Fourteen chains, each of which jumps ten times to the next: ten to the fourteenth ways.
std::string ladder() {
    std::string all = R"({"nftables":[)" + input("accept");
    for (int step = 0; step < 14; ++step) {
        const auto from = step == 0 ? "input" : "step" + std::to_string(step);
        const auto to = "step" + std::to_string(step + 1);
        all += ',' + chain(to);
        for (int jump = 0; jump < 10; ++jump)
            all += ',' + rule(R"({"jump":{"target":")" + to + "\"}}", from);
    }
    return all + ',' + rule(both_drop, "step14") + "]}";
}
constexpr auto state_map =
    R"({"vmap":{"key":{"ct":{"key":"state"}},"data":{"set":[["established",{"accept":null}],["related",{"accept":null}],["invalid",{"drop":null}]]}}})";

}  // namespace

TEST_CASE("nft: what drops \"packet too big\" and what lets it in") {
    struct Row {
        const char* name;
        std::string rules;
        ErrorFate v4;
        ErrorFate v6;
    };
    const auto passes = ErrorFate::passes;
    const auto dropped = ErrorFate::dropped;
    const auto unclear = ErrorFate::unclear;
    const Row rows[] = {
        {"no rules", ruleset({}), passes, passes},
        {"an empty chain that accepts", ruleset({input("accept")}), passes, passes},
        {"an empty chain that drops", ruleset({input("drop")}), dropped, dropped},
        {"the usual", ruleset({input("drop"), rule(established), rule(loopback), rule(smtp)}),
         passes, passes},
        {"related by a verdict map", ruleset({input("drop"), rule(state_map)}), passes, passes},
        {"related is forgotten", ruleset({input("drop"), rule(only_established), rule(smtp)}),
         dropped, dropped},
        {"related is forgotten, one family let in",
         ruleset({input("drop"), rule(only_established), rule(too_big_v6)}), dropped, passes},
        {"both by type", ruleset({input("drop"), rule(frag_needed), rule(too_big_v6)}), passes,
         passes},
        {"ICMP dropped before related is accepted",
         ruleset({input("accept"), rule(icmp_drop), rule(established)}), dropped, passes},
        {"ICMP dropped after", ruleset({input("accept"), rule(established), rule(both_drop)}),
         passes, passes},
        {"both families dropped", ruleset({input("accept"), rule(both_drop)}), dropped, dropped},
        {"a rate for some of it", ruleset({input("drop"), rule(limited)}), unclear, dropped},
        {"addresses kept out say nothing", ruleset({input("accept"), rule(blocked_addresses)}),
         passes, passes},
        {"dropped in a chain that is jumped to",
         ruleset({chain("icmp"), input("accept"), rule(R"({"jump":{"target":"icmp"}})"),
                  rule(both_drop, "icmp")}),
         dropped, dropped},
        {"a chain that returns",
         ruleset({chain("icmp"), input("drop"), rule(R"({"jump":{"target":"icmp"}})"),
                  rule(R"({"return":null})", "icmp"), rule(accepted)}),
         passes, passes},
        {"a chain without return by goto ends in the policy",
         ruleset(
             {chain("icmp"), input("drop"), rule(R"({"goto":{"target":"icmp"}})"), rule(accepted)}),
         dropped, dropped},
        {"a loop of jumps ends",
         ruleset({chain("icmp"), input("accept"), rule(R"({"jump":{"target":"icmp"}})"),
                  rule(R"({"jump":{"target":"icmp"}})", "icmp")}),
         passes, passes},
        {"many jumps to many chains are walked once", ladder(), dropped, dropped},
        {"a range is not understood",
         ruleset(
             {input("accept"),
              rule(
                  R"({"match":{"op":"==","left":{"payload":{"protocol":"icmp","field":"type"}},"right":{"range":[1,5]}}},{"drop":null})")}),
         passes, passes},
        {"everything but the loopback",
         ruleset(
             {input("accept"),
              rule(
                  R"({"match":{"op":"!=","left":{"meta":{"key":"iifname"}},"right":"lo"}},{"counter":{"packets":0,"bytes":0}},{"log":null},{"drop":null})")}),
         dropped, dropped},
    };
    for (const auto& row : rows) {
        CAPTURE(row.name);
        CHECK(static_cast<int>(fate(row.rules, IpFamily::v4)) == static_cast<int>(row.v4));
        CHECK(static_cast<int>(fate(row.rules, IpFamily::v6)) == static_cast<int>(row.v6));
    }
}

TEST_CASE("nft: the rule or the policy that drops is named") {
    handle = 6;
    const auto parsed = parse_nft_ruleset(ruleset({input("accept"), rule(icmp_drop)}));
    CHECK(fate_of_too_big(parsed->firewall, IpFamily::v4).place == "inet filter input handle 7");
    const auto policy = parse_nft_ruleset(ruleset({input("drop")}));
    CHECK(fate_of_too_big(policy->firewall, IpFamily::v6).place == "policy of inet filter input");
}

TEST_CASE("nft: what is no ruleset is refused, and rules of iptables are left to iptables") {
    for (const auto* printed : {"", "{}", "[]", "not JSON", R"({"nftables":4})"})
        CHECK_FALSE(parse_nft_ruleset(printed));
    CHECK_FALSE(parse_nft_ruleset(std::string(10'000, '[')));
    const auto mixed = parse_nft_ruleset(
        ruleset({input("accept"), rule(R"({"xt":{"type":"match","name":"icmp"}},{"drop":null})")}));
    REQUIRE(mixed);
    CHECK(mixed->has_iptables_rules);
    CHECK(mixed->firewall.chains.empty());
}

TEST_CASE("iptables: what drops \"packet too big\" and what lets it in") {
    struct Row {
        const char* name;
        const char* rules;
        ErrorFate fate;
    };
    const std::string head = "*filter\n:INPUT DROP [0:0]\n:FORWARD DROP [0:0]\n:ours - [0:0]\n";
    const Row rows[] = {
        {"nothing let in", "", ErrorFate::dropped},
        {"related", "-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n",
         ErrorFate::passes},
        {"the old spelling", "-A INPUT -m state --state RELATED -j ACCEPT\n", ErrorFate::passes},
        {"established alone", "-A INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT\n",
         ErrorFate::dropped},
        {"by type", "-A INPUT -p icmp -m icmp --icmp-type 3/4 -j ACCEPT\n", ErrorFate::passes},
        {"another code", "-A INPUT -p icmp -m icmp --icmp-type 3/3 -j ACCEPT\n",
         ErrorFate::dropped},
        {"echo alone", "-A INPUT -p icmp -m icmp --icmp-type 8 -j ACCEPT\n", ErrorFate::dropped},
        {"all of ICMP with a comment",
         "-A INPUT -p icmp -m comment --comment \"let it in\" -j ACCEPT\n", ErrorFate::passes},
        {"dropped first", "-A INPUT -p icmp -j DROP\n-A INPUT -m state --state RELATED -j ACCEPT\n",
         ErrorFate::dropped},
        {"in a chain", "-A INPUT -j ours\n-A ours -p icmp -j ACCEPT\n", ErrorFate::passes},
        {"a log goes on", "-A INPUT -j LOG\n-A INPUT -p icmp -j ACCEPT\n", ErrorFate::passes},
        {"not what is asked", "-A INPUT ! -p icmp -j ACCEPT\n", ErrorFate::dropped},
        {"a rate", "-A INPUT -p icmp -m limit --limit 5/sec -j ACCEPT\n", ErrorFate::unclear},
        {"the loopback", "-A INPUT -i lo -j ACCEPT\n", ErrorFate::dropped},
        {"TCP", "-A INPUT -p tcp -m tcp --dport 25 -j ACCEPT\n", ErrorFate::dropped},
    };
    for (const auto& row : rows) {
        CAPTURE(row.name);
        const auto firewall = parse_iptables(head + row.rules + "COMMIT\n", IpFamily::v4);
        CHECK(static_cast<int>(fate_of_too_big(firewall, IpFamily::v4).fate) ==
              static_cast<int>(row.fate));
        CHECK(static_cast<int>(fate_of_too_big(firewall, IpFamily::v6).fate) ==
              static_cast<int>(ErrorFate::passes));
    }
}
