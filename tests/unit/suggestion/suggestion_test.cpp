// SPDX-License-Identifier: Apache-2.0
// What is suggested, in which order, and that each command is one a shell can run as printed.
#include <doctest/doctest.h>

#include <algorithm>

#include "tests/unit/suggestion/suggestion_builder.hpp"

using namespace postfathom;
using namespace postfathom::test;

namespace {

std::vector<std::string_view> kinds(const std::vector<Suggestion>& list) {
    std::vector<std::string_view> result;
    for (const auto& one : list) result.push_back(to_string(one.kind));
    return result;
}

const Suggestion* of_kind(const std::vector<Suggestion>& list, SuggestionKind kind) {
    const auto found =
        std::find_if(list.begin(), list.end(), [&](const auto& one) { return one.kind == kind; });
    return found == list.end() ? nullptr : &*found;
}

}  // namespace

TEST_CASE(
    "a black hole behind a tunnel: the tunnel first, then this destination, then routers, then "
    "TLS") {
    auto hole = black_hole(1400);
    hole.direction = Direction::both;
    const auto list = suggest(hole, behind_tunnel());
    CHECK(kinds(list) == std::vector<std::string_view>{"tunnel-mtu", "route-mtu", "mss-clamp-nft",
                                                       "mss-clamp-iptables", "let-icmp-through",
                                                       "tls-policy", "letter"});
    const auto& tunnel = list[0];
    CHECK(tunnel.commands == std::vector<std::string>{"ip link set dev wg0 mtu 1400"});
    CHECK(tunnel.undo == std::vector<std::string>{"ip link set dev wg0 mtu 8921"});
    CHECK(tunnel.scope == "this host, every destination behind wg0; only this one was tried");
    CHECK(
        tunnel.why.find(
            "its MTU is 8921, the path behind it carries 1400 bytes from this server, 7521 less") !=
        std::string::npos);
    CHECK(tunnel.proven);
    const auto& route = list[1];
    CHECK(route.commands == std::vector<std::string>{
                                "ip route replace 192.0.2.1/32 via 10.30.0.254 dev wg0 mtu 1400"});
    CHECK(route.undo ==
          std::vector<std::string>{"ip route del 192.0.2.1/32 via 10.30.0.254 dev wg0"});
    CHECK(route.verify == std::vector<std::string>{"ip route get 192.0.2.1",
                                                   "postfathom probe '[mail.example.org]'"});
    CHECK(route.why.find("MSS 1360 (1400 - 40)") != std::string::npos);
    CHECK(route.proven);
    CHECK(route.tls_floor == TlsLevel::may);
    const auto& nft = list[2];
    CHECK(nft.commands ==
          std::vector<std::string>{"nft add table inet postfathom_192_0_2_1",
                                   "nft add chain inet postfathom_192_0_2_1 forward "
                                   "'{ type filter hook forward priority mangle; }'",
                                   "nft add rule inet postfathom_192_0_2_1 forward ip daddr "
                                   "192.0.2.1 tcp flags syn / syn,rst "
                                   "tcp option maxseg size set 1360",
                                   "nft add rule inet postfathom_192_0_2_1 forward ip saddr "
                                   "192.0.2.1 tcp flags syn / syn,rst "
                                   "tcp option maxseg size set 1360"});
    CHECK(nft.undo == std::vector<std::string>{"nft delete table inet postfathom_192_0_2_1"});
    const auto& iptables = list[3];
    CHECK(iptables.commands ==
          std::vector<std::string>{
              "iptables -t mangle -A FORWARD -d 192.0.2.1 -p tcp --tcp-flags SYN,RST SYN -j "
              "TCPMSS --set-mss 1360",
              "iptables -t mangle -A FORWARD -s 192.0.2.1 -p tcp --tcp-flags SYN,RST SYN -j "
              "TCPMSS --set-mss 1360"});
    const auto& policy = list[5];
    CHECK(policy.commands == std::vector<std::string>{"[mail.example.org] encrypt"});
    CHECK_FALSE(policy.proven);
    CHECK(policy.why.find("IN CLEAR TEXT") != std::string::npos);
}

TEST_CASE("IPv6 has its own commands and arithmetic") {
    const auto list =
        suggest(black_hole(1400, "2001:db8::1"), plain_host("2001:db8::1", "fe80::1"));
    const auto* route = of_kind(list, SuggestionKind::route_mtu);
    REQUIRE(route);
    CHECK(route->commands.front() ==
          "ip -6 route replace 2001:db8::1/128 via fe80::1 dev eth0 mtu 1400");
    CHECK(route->undo.front() == "ip -6 route del 2001:db8::1/128 via fe80::1 dev eth0");
    CHECK(route->why.find("MSS 1340 (1400 - 60)") != std::string::npos);
    const auto* nft = of_kind(list, SuggestionKind::mss_clamp_nft);
    REQUIRE(nft);
    CHECK(nft->commands[0] == "nft add table inet postfathom_2001_db8__1");
    CHECK(nft->commands[2].find("ip6 daddr 2001:db8::1") != std::string::npos);
    CHECK(nft->commands[2].find("size set 1340") != std::string::npos);
    CHECK(of_kind(list, SuggestionKind::mss_clamp_iptables)->commands[0].starts_with("ip6tables "));
}

TEST_CASE("the route that is there is kept, apart from its sizes") {
    struct Row {
        const char* existing;
        const char* command;  // empty: no route is suggested
        const char* undo;
    };
    const Row rows[] = {
        {"192.0.2.1/32 via 10.0.0.9 dev eth1 src 10.0.0.5",
         "ip route replace 192.0.2.1/32 via 10.0.0.9 dev eth1 src 10.0.0.5 mtu 1400",
         "ip route replace 192.0.2.1/32 via 10.0.0.9 dev eth1 src 10.0.0.5"},
        {"192.0.2.1 via 10.0.0.9 dev eth1 proto static mtu 1492 advmss 1452",
         "ip route replace 192.0.2.1/32 via 10.0.0.9 dev eth1 proto static mtu 1400",
         "ip route replace 192.0.2.1 via 10.0.0.9 dev eth1 proto static mtu 1492 advmss 1452"},
        {"192.0.2.1/32 via 10.0.0.9 dev eth1 mtu lock 1492", "", ""},
        {"192.0.2.1/32 nexthop via 10.0.0.9 dev eth1 nexthop via 10.0.0.10 dev eth2", "", ""},
        {"192.0.2.1/32 dev eth1; reboot", "", ""},
        {"192.0.2.1/32 dev $(reboot)", "", ""},
        {"198.51.100.1/32 dev eth1", "", ""},
        {"192.0.2.1/32 -x dev eth1", "", ""},
        {"", "", ""},
    };
    for (const auto& row : rows) {
        INFO(std::string{row.existing});
        auto context = plain_host();
        context.host.existing_host_route = row.existing;
        const auto list = suggest(black_hole(1400), context);
        const auto* route = of_kind(list, SuggestionKind::route_mtu);
        CHECK((route != nullptr) == (*row.command != '\0'));
        if (!route) continue;
        CHECK(route->commands.front() == row.command);
        CHECK(route->undo.front() == row.undo);
    }
}

TEST_CASE("a route on link has no gateway, and a configured source stays") {
    auto context = plain_host();
    context.host.gateway.reset();
    context.host.source = address("10.0.0.5");
    const auto list = suggest(black_hole(1400), context);
    CHECK(of_kind(list, SuggestionKind::route_mtu)->commands.front() ==
          "ip route replace 192.0.2.1/32 dev eth0 src 10.0.0.5 mtu 1400");
}

TEST_CASE("the interface's MTU is suggested only where it helps and harms nothing") {
    struct Row {
        const char* kind;
        std::optional<PathMtu> mtu;
        std::uint32_t path_mtu;
        bool expected;
    };
    const Row rows[] = {
        {"wireguard", PathMtu{1420}, 1400, true},  {"gre", PathMtu{1476}, 1400, true},
        {"wireguard", PathMtu{1400}, 1400, false},  // already there
        {"wireguard", std::nullopt, 1400, false},   // no undo without the old MTU
        {"wireguard", PathMtu{1420}, 1279, false},  // would take the IPv6 addresses away
        {"", PathMtu{1500}, 1400, false},           // plain Ethernet
        {"veth", PathMtu{8921}, 1400, true},        // jumbo towards the Internet
        {"", PathMtu{9000}, 4000, false},
    };
    for (const auto& row : rows) {
        INFO(std::string{row.kind});
        auto context = plain_host();
        context.host.interface_kind = row.kind;
        context.host.interface_mtu = row.mtu;
        const auto list = suggest(black_hole(row.path_mtu), context);
        CHECK((of_kind(list, SuggestionKind::tunnel_mtu) != nullptr) == row.expected);
    }
}

TEST_CASE("what only looks like a tunnel comes after the route to this destination") {
    auto context = plain_host();
    context.host.interface_kind = "veth";
    context.host.interface_mtu = PathMtu{8921};
    const auto list = suggest(black_hole(1400), context);
    REQUIRE(list.size() > 3);
    CHECK(list[0].kind == SuggestionKind::route_mtu);
    CHECK(list[1].kind == SuggestionKind::route_advmss);
    CHECK(list[2].kind == SuggestionKind::tunnel_mtu);
}

TEST_CASE("no MTU below the protocol's minimum is suggested") {
    struct Row {
        const char* ip;
        std::uint32_t path_mtu;
        bool expected;
    };
    const Row rows[] = {{"192.0.2.1", 576, true},        {"192.0.2.1", 575, false},
                        {"192.0.2.1", 0, false},         {"192.0.2.1", 65536, false},
                        {"2001:db8::1", 1280, true},     {"2001:db8::1", 1279, false},
                        {"192.0.2.1", 4294967295, false}};
    for (const auto& row : rows) {
        CAPTURE(row.path_mtu);
        const auto list = suggest(black_hole(row.path_mtu, row.ip), plain_host(row.ip, row.ip));
        CHECK((of_kind(list, SuggestionKind::route_mtu) != nullptr) == row.expected);
        CHECK((of_kind(list, SuggestionKind::mss_clamp_nft) != nullptr) == row.expected);
    }
}

TEST_CASE("proven means that the very same limit went through") {
    auto hole = black_hole(1400);
    hole.usable_mss.reset();
    CHECK_FALSE(suggest(hole, plain_host()).front().proven);
    hole.usable_mss = Mss{1240};
    CHECK_FALSE(suggest(hole, plain_host()).front().proven);
    hole.usable_mss = Mss{1360};
    CHECK(suggest(hole, plain_host()).front().proven);
}

TEST_CASE("names that a shell could misread make their suggestion vanish") {
    for (const char* name : {"eth0;reboot", "$(reboot)", "eth 0", "-eth0", "eth0\nx", "a'b", "",
                             "`x`", "a-name-longer-than-15"}) {
        INFO(std::string{name});
        auto context = plain_host();
        context.host.interface = name;
        context.host.interface_kind = "wireguard";
        const auto list = suggest(black_hole(1400), context);
        CHECK_FALSE(of_kind(list, SuggestionKind::route_mtu));
        CHECK_FALSE(of_kind(list, SuggestionKind::tunnel_mtu));
        for (const auto& one : list)
            for (const auto& command : one.commands)
                if (*name) CHECK(command.find(name) == std::string::npos);
    }
    for (const char* next_hop : {"[mail.example.org] x", "a;b", "-e", "a\nb none", "$(x)", "a'b"}) {
        INFO(std::string{next_hop});
        auto context = plain_host();
        context.next_hop_verbatim = next_hop;
        const auto list = suggest(black_hole(1400), context);
        CHECK_FALSE(of_kind(list, SuggestionKind::tls_policy));
        CHECK(list.front().verify.back() == "postfathom probe 192.0.2.1");
    }
}

TEST_CASE("the TLS policy line has the next hop as Postfix spells it, and only raises") {
    auto context = plain_host();
    context.next_hop_verbatim = "[Mail.Example.Org]:2525";
    for (const auto floor : {TlsLevel::none, TlsLevel::may}) {
        context.floor = floor;
        const auto list = suggest(black_hole(1400), context);
        const auto* policy = of_kind(list, SuggestionKind::tls_policy);
        REQUIRE(policy);
        CHECK(policy->commands.front() == "[Mail.Example.Org]:2525 encrypt");
    }
    for (const auto floor :
         {TlsLevel::encrypt, TlsLevel::fingerprint, TlsLevel::half_dane, TlsLevel::dane,
          TlsLevel::dane_only, TlsLevel::verify, TlsLevel::secure}) {
        context.floor = floor;
        CHECK_FALSE(of_kind(suggest(black_hole(1400), context), SuggestionKind::tls_policy));
    }
    context.floor = TlsLevel::may;
    context.endpoint.service = Service::imap;
    CHECK_FALSE(of_kind(suggest(black_hole(1400), context), SuggestionKind::tls_policy));
}

TEST_CASE("the path is mended only where the path is ill") {
    for (const auto id : all_diagnosis_ids()) {
        CAPTURE(to_string(id));
        auto diagnosis = black_hole(1400);
        diagnosis.id = id;
        const auto list = suggest(diagnosis, behind_tunnel());
        if (id == DiagnosisId::pmtu_black_hole) continue;
        for (const auto& one : list) {
            CAPTURE(to_string(one.kind));
            CHECK((one.kind == SuggestionKind::tls_policy || one.kind == SuggestionKind::letter ||
                   one.kind == SuggestionKind::no_pipelining));
        }
    }
    auto stall = black_hole(1400);
    stall.id = DiagnosisId::peer_stall;
    CHECK(kinds(suggest(stall, plain_host())) ==
          std::vector<std::string_view>{"tls-policy", "letter"});
    auto stripped = black_hole(1400);
    stripped.id = DiagnosisId::starttls_stripped;
    const auto for_stripped = suggest(stripped, plain_host());
    REQUIRE(kinds(for_stripped) == std::vector<std::string_view>{"tls-policy", "letter"});
    CHECK(for_stripped.front().why.find("while STARTTLS is taken away") != std::string::npos);
    auto missing = black_hole(1400);
    missing.id = DiagnosisId::starttls_missing;
    CHECK(suggest(missing, plain_host()).empty());
}

TEST_CASE("a router touches only the direction that is ill") {
    struct Row {
        Direction direction;
        std::vector<std::string> sides;      // of nft
        std::vector<std::string> not_sides;  // of nft
        std::size_t rules;
        bool tls_policy;
    };
    const Row rows[] = {
        {Direction::inbound, {"ip daddr"}, {"ip saddr"}, 1, true},
        {Direction::outbound, {"ip saddr"}, {"ip daddr"}, 1, false},
        {Direction::both, {"ip daddr", "ip saddr"}, {}, 2, true},
    };
    for (const auto& row : rows) {
        CAPTURE(to_string(row.direction));
        auto hole = black_hole(1400);
        hole.direction = row.direction;
        const auto list = suggest(hole, behind_tunnel());
        const auto* nft = of_kind(list, SuggestionKind::mss_clamp_nft);
        const auto* iptables = of_kind(list, SuggestionKind::mss_clamp_iptables);
        REQUIRE(nft);
        REQUIRE(iptables);
        std::string all;
        for (const auto& command : nft->commands) all += command + '\n';
        for (const auto& side : row.sides) CHECK(all.find(side) != std::string::npos);
        for (const auto& side : row.not_sides) CHECK(all.find(side) == std::string::npos);
        CHECK(nft->commands.size() == 2 + row.rules);
        CHECK(iptables->commands.size() == row.rules);
        CHECK(iptables->undo.size() == row.rules);
        // A route's MTU mends both.
        REQUIRE(of_kind(list, SuggestionKind::route_mtu));
        // Only where a handshake fails does Postfix go on in clear text.
        CHECK((of_kind(list, SuggestionKind::tls_policy) != nullptr) == row.tls_policy);
    }
}

TEST_CASE("where groups of commands are lost for their size, they are sent one by one") {
    struct Case {
        const char* sizes;
        Severity severity;
        bool pipelining;
        bool policy;
    };
    for (const auto& row : {
             Case{"segments of 513 bytes", Severity::critical, true, true},
             Case{"requests of 256-511 bytes", Severity::warning, true, false},
             Case{"ClientHellos of 517 bytes", Severity::critical, false, true},
         }) {
        CAPTURE(row.sizes);
        Diagnosis loss;
        loss.id = DiagnosisId::size_specific_loss;
        loss.severity = row.severity;
        loss.sizes = row.sizes;
        const auto list = suggest(loss, plain_host());
        const auto* one_by_one = of_kind(list, SuggestionKind::no_pipelining);
        CHECK((one_by_one != nullptr) == row.pipelining);
        CHECK((of_kind(list, SuggestionKind::tls_policy) != nullptr) == row.policy);
        if (one_by_one == nullptr) continue;
        CHECK(one_by_one->commands ==
              std::vector{plain_host().host.destination.to_string() + " pipelining"});
        CHECK_FALSE(one_by_one->proven);
    }
}

// As smtp_tls_policy_maps is asked for it (postconf(5)).
TEST_CASE("an address that was typed without brackets has them in the TLS policy line") {
    auto context = plain_host();
    for (const auto& [typed, key] : {std::pair{"192.0.2.1", "[192.0.2.1]"},
                                     {"2001:db8::1", "[IPv6:2001:db8::1]"},
                                     {"[192.0.2.1]:2525", "[192.0.2.1]:2525"}}) {
        context.next_hop = parse_next_hop(typed).value();
        context.next_hop_verbatim = typed;
        const auto list = suggest(black_hole(1400), context);
        const auto* policy = of_kind(list, SuggestionKind::tls_policy);
        REQUIRE(policy);
        CHECK(policy->commands.front() == std::string{key} + " encrypt");
    }
}
