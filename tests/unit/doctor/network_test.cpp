// SPDX-License-Identifier: Apache-2.0
// Findings about links, routes and the kernel, and how findings are shown.
#include <doctest/doctest.h>

#include <algorithm>
#include <string>

#include "lib/doctor/examine.hpp"
#include "lib/doctor/links.hpp"

#include "tests/unit/doctor/findings.hpp"

using namespace postfathom;

namespace {

Interface link(const char* name, const char* kind, std::uint32_t mtu) {
    Interface interface;
    interface.name = name;
    interface.kind = kind;
    interface.mtu = mtu;
    interface.up = true;
    return interface;
}

std::vector<Finding> with_links(std::vector<Interface> links) {
    DoctorFacts facts;
    facts.links = LinkFacts{std::move(links), {{"default", "eth0", "", 0, false, false}}};
    return examine(facts);
}

std::vector<Finding> with_route(const KernelRoute& route) {
    DoctorFacts facts;
    facts.links = LinkFacts{{}, {route}};
    return examine(facts);
}

}  // namespace

TEST_CASE("tunnels and bridges are compared with the way out, to the byte") {
    struct Row {
        const char* name;
        Interface link;
        std::uint32_t out;
        const char* finding;  // nullptr: none
        const char* command;
    };
    auto gre6 = link("t", "ip6gre", 1457);
    gre6.outer = IpFamily::v6;
    auto gre4 = link("t", "gre", 1476);
    gre4.outer = IpFamily::v4;
    auto vxlan = link("t", "vxlan", 1451);
    vxlan.outer = IpFamily::v4;
    const Row rows[] = {
        {"WireGuard as its tools set it", link("wg0", "wireguard", 1420), 1500, nullptr, ""},
        {"WireGuard at the limit of IPv4", link("wg0", "wireguard", 1440), 1500, nullptr, ""},
        {"WireGuard one byte above", link("wg0", "wireguard", 1441), 1500, "tunnel-mtu",
         "ip link set dev wg0 mtu 1420"},
        {"the jumbo frames of a cloud", link("wg0", "wireguard", 8921), 9001, "tunnel-mtu-jumbo",
         "ip link set dev wg0 mtu 1420"},
        {"GRE that fits", gre4, 1500, nullptr, ""},
        {"GRE over IPv6, one byte above", gre6, 1500, "tunnel-mtu", "ip link set dev t mtu 1456"},
        {"VXLAN, one byte above", vxlan, 1500, "tunnel-mtu", "ip link set dev t mtu 1450"},
        {"PPPoE that fits", link("ppp0", "ppp", 1492), 1500, nullptr, ""},
        {"PPPoE that does not", link("ppp0", "ppp", 1500), 1500, "tunnel-mtu",
         "ip link set dev ppp0 mtu 1492"},
        {"a bridge of containers in a cloud", link("docker0", "bridge", 1500), 1450, "bridge-mtu",
         "ip link set dev docker0 mtu 1450"},
        {"a bridge that fits", link("docker0", "bridge", 1500), 1500, nullptr, ""},
        {"a plain interface", link("eth1", "", 9000), 1500, nullptr, ""},
    };
    for (const auto& row : rows) {
        CAPTURE(row.name);
        const auto findings = with_links({link("eth0", "", row.out), row.link});
        if (row.finding == nullptr) {
            REQUIRE(find(findings, "link-mtu") != nullptr);
            CHECK(find(findings, "link-mtu")->severity == Severity::ok);
            continue;
        }
        const auto* finding = find(findings, row.finding);
        REQUIRE(finding != nullptr);
        CHECK(finding->severity == Severity::warning);
        CHECK(finding->mend.front() == row.command);
        CHECK(find(findings, "link-mtu") == nullptr);
    }
}

TEST_CASE("a tunnel that is down, and the bridge that is the way out, are no fault") {
    auto down = link("wg0", "wireguard", 1500);
    down.up = false;
    CHECK(find(with_links({link("eth0", "", 1500), down}), "link-mtu") != nullptr);
    auto port = link("eth0", "", 1400);
    port.bridge = "br0";
    CHECK(find(with_links({port, link("br0", "bridge", 1500)}), "link-mtu") != nullptr);
    DoctorFacts facts;
    facts.links = LinkFacts{{link("wg0", "wireguard", 9000)}, {}};
    CHECK(find(examine(facts), "egress")->severity == Severity::unknown);
}

TEST_CASE("the arithmetic of a tunnel is shown") {
    const auto findings = with_links({link("eth0", "", 1400), link("wg0", "wireguard", 1420)});
    CHECK(find(findings, "tunnel-mtu")->what ==
          "the MTU of wg0 (wireguard) is too large for eth0: 1420 + 60 (outer IPv4 20, UDP 8 + "
          "WireGuard 32) = 1480, and eth0 carries 1400");
}

TEST_CASE("routes with an MTU of their own") {
    struct Row {
        const char* name;
        KernelRoute route;
        const char* finding;
        Severity severity;
    };
    const Row rows[] = {
        {"none", {"203.0.113.5", "eth0", "", 0, false, false}, "routes", Severity::ok},
        {"learned",
         {"203.0.113.5", "eth0", "", 1400, false, true},
         "route-exceptions",
         Severity::notice},
        {"learned, and smaller than IPv4 has it",
         {"203.0.113.5", "eth0", "", 551, false, true},
         "route-exception-too-small",
         Severity::warning},
        {"learned, and smaller than IPv6 has it",
         {"2001:db8::5", "eth0", "", 1279, false, true},
         "route-exception-too-small",
         Severity::warning},
        {"learned, the least of IPv6",
         {"2001:db8::5", "eth0", "", 1280, false, true},
         "route-exceptions",
         Severity::notice},
        {"set by hand",
         {"203.0.113.5", "eth0", "", 1400, false, false},
         "route-mtu-by-hand",
         Severity::notice},
        {"set for a network",
         {"203.0.113.0/24", "eth0", "", 1400, false, false},
         "routes",
         Severity::ok},
        {"locked",
         {"203.0.113.0/24", "eth0", "", 1400, true, false},
         "route-mtu-locked",
         Severity::warning},
    };
    for (const auto& row : rows) {
        CAPTURE(row.name);
        const auto findings = with_route(row.route);
        const auto* finding = find(findings, row.finding);
        REQUIRE(finding != nullptr);
        CHECK(finding->severity == row.severity);
    }
}

TEST_CASE("settings of the kernel") {
    struct Row {
        std::int64_t probing;
        std::int64_t discovery;
        Severity probing_is;
        bool discovery_found;
    };
    for (const auto& row : {Row{0, 0, Severity::notice, false}, Row{1, 0, Severity::ok, false},
                            Row{2, 1, Severity::warning, true}}) {
        DoctorFacts facts;
        facts.kernel = KernelFacts{row.probing, row.discovery, 0, {}};
        const auto findings = examine(facts);
        CHECK(find(findings, "tcp-mtu-probing")->severity == row.probing_is);
        CHECK((find(findings, "no-pmtu-discovery") != nullptr) == row.discovery_found);
    }
}

TEST_CASE("echoes are allowed to the prober by one of its groups") {
    for (const bool allowed : {false, true}) {
        DoctorFacts facts;
        facts.kernel = KernelFacts{{}, {}, {}, std::pair<std::int64_t, std::int64_t>{100, 200}};
        facts.prober = DaemonFacts{POSTFATHOM_VERSION,
                                   Account{"postfathom", 990, {990, allowed ? 150u : 250u}}, 0};
        CHECK(find(examine(facts), "ping-group-range")->severity ==
              (allowed ? Severity::ok : Severity::notice));
    }
}

TEST_CASE("links are read from ip's JSON, and what is none is refused") {
    const auto links = parse_links(
        R"([{"ifname":"lo","flags":["LOOPBACK","UP"],"mtu":65536,"link_type":"loopback"},
            {"ifname":"vx","flags":["UP"],"mtu":1500,"master":"br0",
             "linkinfo":{"info_kind":"vxlan","info_data":{"id":4,"remote6":"2001:db8::1"}}}])");
    REQUIRE(links);
    CHECK(links->at(0).loopback);
    CHECK(links->at(1).kind == "vxlan");
    CHECK(links->at(1).bridge == "br0");
    CHECK(links->at(1).outer == IpFamily::v6);
    for (const auto* wrong : {"", "{}", "4", "[{]"}) CHECK_FALSE(parse_links(wrong));
}

TEST_CASE("routes are read from ip's lines") {
    const auto routes = parse_routes(
        "default via 198.51.100.1 dev eth0 \n"
        "203.0.113.6 dev eth0 scope link mtu lock 900 advmss 860 \n"
        "203.0.113.7 via 198.51.100.1 dev eth0 \\    cache expires 595sec mtu 1400 \n"
        "local 127.0.0.1 dev lo table local proto kernel scope host src 127.0.0.1 \n"
        "192.0.2.0/24 dev wg0 table 51820 mtu 1400\n");
    REQUIRE(routes.size() == 4);
    CHECK(routes[0] == KernelRoute{"default", "eth0", "", 0, false, false});
    CHECK(routes[1] == KernelRoute{"203.0.113.6", "eth0", "", 900, true, false});
    CHECK(routes[2] == KernelRoute{"203.0.113.7", "eth0", "", 1400, false, true});
    CHECK(routes[3] == KernelRoute{"192.0.2.0/24", "wg0", "51820", 1400, false, false});
}

TEST_CASE("the exit status is that of the worst finding, and 3 when nothing could be read") {
    const auto of = [](std::initializer_list<Severity> severities) {
        std::vector<Finding> findings;
        for (const auto severity : severities) findings.push_back({"x", severity, "x", "", {}});
        return exit_status(findings);
    };
    CHECK(of({}) == 3);
    CHECK(of({Severity::unknown}) == 3);
    CHECK(of({Severity::ok, Severity::unknown}) == 0);
    CHECK(of({Severity::ok, Severity::notice}) == 0);
    CHECK(of({Severity::warning, Severity::notice}) == 1);
    CHECK(of({Severity::warning, Severity::critical, Severity::ok}) == 2);
}

TEST_CASE("what could not be read is said, and foreign text is made printable") {
    DoctorFacts facts;
    facts.unread.push_back({"the firewall's rules", "only \x1b[31mroot\x1b[0m may"});
    const auto text = to_text(examine(facts), false);
    CHECK(text.find("could not read the firewall's rules") != std::string::npos);
    CHECK(text.find('\x1b') == std::string::npos);
}
