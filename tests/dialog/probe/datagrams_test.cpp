// SPDX-License-Identifier: Apache-2.0
// Sends real datagrams from the client's namespace of topology.sh; datagrams.sh says under which
// path each test runs. What TCP found is given.
#include <doctest/doctest.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <exception>
#include <string>

#include "lib/diagnosis/notes.hpp"
#include "probes/datagram_probe.hpp"
#include "probes/host_facts.hpp"

using namespace postfathom;

namespace {

constexpr const char* server_v4 = "198.51.100.2";
constexpr const char* server_v6 = "2001:db8:2::2";
constexpr const char* router_v4 = "192.0.2.1";
constexpr const char* router_v6 = "2001:db8:1::1";

// What is sent after TCP found that 1400 bytes pass and 1401 do not.
Evidence sent_to(const char* address) {
    ProbePlan plan;
    plan.endpoint.address = IpAddress::parse(address).value();
    const auto tls = TlsContext::create({});
    REQUIRE(tls);
    EndpointRun run(plan, *tls, {});
    run.evidence.vantage.interface_mtu = PathMtu{8921};
    run.evidence.vantage.route_mtu = PathMtu{8921};
    run.evidence.outbound = {PathMtu{1400}, true, PathMtu{1401}};
    asio::io_context io;
    std::exception_ptr thrown;
    asio::co_spawn(io, send_datagrams(run), [&thrown](std::exception_ptr e) { thrown = e; });
    io.run();
    REQUIRE_FALSE(thrown);
    for (const auto& probe : run.evidence.datagrams)
        MESSAGE(std::string(probe.echo ? "echo " : "udp ")
                << probe.size.bytes << ": " << to_string(probe.outcome));
    CHECK(run.evidence.datagrams.size() <= 10);
    return run.evidence;
}

std::vector<DatagramProbe> of_size(const Evidence& evidence, std::uint32_t size, bool echo) {
    std::vector<DatagramProbe> result;
    for (const auto& probe : evidence.datagrams)
        if (probe.size == PathMtu{size} && probe.echo == echo) result.push_back(probe);
    return result;
}

bool noted(const Evidence& evidence, std::string_view id) {
    const auto notes = path_notes(evidence);
    return std::any_of(notes.begin(), notes.end(), [&](const Note& note) { return note.id == id; });
}

}  // namespace

TEST_CASE("discovery: the router that says too big is named" * doctest::skip()) {
    for (const auto& [address, router] :
         {std::pair{server_v4, router_v4}, std::pair{server_v6, router_v6}}) {
        for (const bool echo : {false, true}) {
            const auto evidence = sent_to(address);
            const auto& server = address;  // clang 14 captures no structured binding
            CAPTURE(server);
            CAPTURE(echo);
            const auto small = of_size(evidence, 1400, echo);
            REQUIRE(small.size() == 1);
            CHECK(small.front().outcome == DatagramOutcome::passed);
            const auto large = of_size(evidence, 1401, echo);
            REQUIRE(large.size() == 1);
            CHECK(large.front().outcome == DatagramOutcome::too_big);
            CHECK(large.front().reported == PathMtu{1400});
            CHECK(large.front().router == IpAddress::parse(router));
            CHECK(noted(evidence, "icmp-arrives"));
            CHECK(noted(evidence, "path-mtu-learned-now"));
        }
        // And the kernel has learned it from us.
        const auto destination = IpAddress::parse(address).value();
        CHECK(current_route_mtu(destination, std::nullopt) == PathMtu{1400});
        const auto facts = host_facts(destination, std::nullopt);
        REQUIRE(facts);
        CHECK(facts->mtu_learned);
    }
}

TEST_CASE("hole: one byte more is answered by nobody" * doctest::skip()) {
    for (const auto* address : {server_v4, server_v6}) {
        const auto evidence = sent_to(address);
        CAPTURE(address);
        const auto large = of_size(evidence, 1401, false);
        REQUIRE(large.size() == 1);
        CHECK(large.front().outcome == DatagramOutcome::silent);
        CHECK_FALSE(large.front().router);
        const auto small = of_size(evidence, 1400, false);
        REQUIRE(small.size() == 1);
        CHECK(small.front().outcome == DatagramOutcome::passed);
        CHECK(noted(evidence, "icmp-silent"));
        CHECK_FALSE(noted(evidence, "icmp-arrives"));
        const auto destination = IpAddress::parse(address).value();
        CHECK(current_route_mtu(destination, std::nullopt) == PathMtu{8921});
        const auto facts = host_facts(destination, std::nullopt);
        REQUIRE(facts);
        CHECK_FALSE(facts->mtu_learned);
    }
}

TEST_CASE("deaf: a host that answers nothing is asked once per kind" * doctest::skip()) {
    for (const auto* address : {server_v4, server_v6}) {
        const auto evidence = sent_to(address);
        CHECK(evidence.datagrams.size() == 2);
        for (const auto& probe : evidence.datagrams)
            CHECK(probe.outcome == DatagramOutcome::silent);
        CHECK_FALSE(noted(evidence, "icmp-silent"));
    }
}

TEST_CASE("forbidden: without ping sockets UDP alone is sent" * doctest::skip()) {
    const auto evidence = sent_to(server_v4);
    CHECK_FALSE(evidence.datagrams.empty());
    CHECK(std::none_of(evidence.datagrams.begin(), evidence.datagrams.end(),
                       [](const DatagramProbe& probe) { return probe.echo; }));
}
