// SPDX-License-Identifier: Apache-2.0
// Runs inside the namespace that in_namespace.sh makes.
#include <doctest/doctest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <string>

#include "lib/net/deadline.hpp"
#include "probes/host_facts.hpp"
#include "probes/resolver.hpp"

using namespace postfathom;
using namespace std::chrono_literals;

namespace {

asio::awaitable<void> resolve_into(Resolver& resolver, NextHop next_hop,
                                   std::optional<IpFamily> family, Result<Resolution>& result) {
    result = co_await resolver.resolve(next_hop, family, 10s);
}

Result<Resolution> resolve(Resolver& resolver, asio::io_context& io, NextHop next_hop,
                           std::optional<IpFamily> family = {}) {
    Result<Resolution> result = fail(ErrorCode::io, "not resolved");
    std::exception_ptr thrown;
    asio::co_spawn(io, resolve_into(resolver, next_hop, family, result),
                   [&](std::exception_ptr e) { thrown = e; });
    io.restart();
    io.run();
    REQUIRE_FALSE(thrown);
    return result;
}

std::string text(const Result<Resolution>& resolution) {
    if (!resolution) return "error: " + resolution.error().message;
    std::string result;
    for (const auto& host : resolution->hosts) {
        result += (result.empty() ? "" : "; ") + host.name + " =";
        for (const auto& address : host.addresses) result += ' ' + address.to_string();
    }
    return result;
}

NextHop domain(const std::string& name) { return {name, true, {}, {}}; }
NextHop host(const std::string& name) { return {name, false, {}, {}}; }

}  // namespace

TEST_CASE("a next hop resolves as Postfix resolves it") {
    asio::io_context io;
    Resolver resolver;
    const auto ask = [&](const NextHop& next_hop, std::optional<IpFamily> family = {}) {
        return resolve(resolver, io, next_hop, family);
    };
    SUBCASE("MX hosts by preference with all their addresses") {
        const auto found = ask(domain("example.org"));
        CHECK(text(found) == "a.example.org = 2001:db8::10 192.0.2.10; b.example.org = 192.0.2.20");
        REQUIRE(found.has_value());
        REQUIRE(found->ttl.has_value());
        CHECK(*found->ttl <= 60s);
    }
    SUBCASE("one family only, when asked") {
        CHECK(text(ask(domain("example.org"), IpFamily::v6)) == "a.example.org = 2001:db8::10");
        CHECK(text(ask(domain("example.org"), IpFamily::v4)) ==
              "a.example.org = 192.0.2.10; b.example.org = 192.0.2.20");
    }
    SUBCASE("brackets mean no MX lookup") {
        const auto found = ask(host("example.org"));
        REQUIRE_FALSE(found.has_value());
        CHECK(found.error().code == ErrorCode::not_found);
        CHECK(text(ask(host("b.example.org"))) == "b.example.org = 192.0.2.20");
    }
    SUBCASE("a domain without MX is its own mail host") {
        CHECK(text(ask(domain("plain.example.org"))) == "plain.example.org = 192.0.2.30");
    }
    SUBCASE("the hosts file comes before DNS") {
        CHECK(text(ask(host("listed.example.org"))) == "listed.example.org = 192.0.2.77");
        CHECK(text(ask(domain("listed.example.org"))) == "listed.example.org = 192.0.2.77");
        CHECK(ask(host("listed.example.org"), IpFamily::v6).error().code == ErrorCode::not_found);
    }
    SUBCASE("a name that does not exist, or whose MX does not, is not found") {
        CHECK(ask(domain("nowhere.example.org")).error().code == ErrorCode::not_found);
        CHECK(ask(domain("ghost.example.org")).error().code == ErrorCode::not_found);
    }
    SUBCASE("a null MX says that there is no mail") {
        const auto found = ask(domain("null.example.org"));
        REQUIRE_FALSE(found.has_value());
        CHECK(found.error().code == ErrorCode::not_found);
        CHECK(found.error().message.find("null MX") != std::string::npos);
    }
    SUBCASE("zones of internal relays are asked of the name server") {
        CHECK(text(ask(domain("internal.test"))) == "a.example.org = 2001:db8::10 192.0.2.10");
    }
    SUBCASE("a literal needs no name server") {
        NextHop literal{"192.0.2.9", false, IpAddress::parse("192.0.2.9"), {}};
        CHECK(text(ask(literal)) == " = 192.0.2.9");
        CHECK(ask(literal, IpFamily::v6).error().code == ErrorCode::not_found);
    }
}

TEST_CASE("many lookups at once each get their own answer") {
    asio::io_context io;
    Resolver resolver;
    std::vector<Result<Resolution>> results(20, fail(ErrorCode::io, "not resolved"));
    for (std::size_t i = 0; i < results.size(); ++i)
        asio::co_spawn(io,
                       resolve_into(resolver, host(i % 2 ? "b.example.org" : "plain.example.org"),
                                    {}, results[i]),
                       [](std::exception_ptr e) { CHECK_FALSE(e); });
    io.run();
    for (std::size_t i = 0; i < results.size(); ++i)
        CHECK(text(results[i]) ==
              (i % 2 ? "b.example.org = 192.0.2.20" : "plain.example.org = 192.0.2.30"));
}

TEST_CASE("an answer that does not come in time is an error, and the resolver goes on") {
    asio::io_context io;
    Resolver resolver;
    Result<Resolution> result = fail(ErrorCode::io, "not resolved");
    const auto ask_for_no_time = [](Resolver& r, Result<Resolution>& out) -> asio::awaitable<void> {
        NextHop plain{"plain.example.org", false, {}, {}};  // named: a g++ 12 trap
        out = co_await r.resolve(plain, {}, 0ms);
    };
    asio::co_spawn(io, ask_for_no_time(resolver, result),
                   [](std::exception_ptr e) { CHECK_FALSE(e); });
    io.run();
    REQUIRE_FALSE(result.has_value());
    CHECK(result.error().code == ErrorCode::timed_out);
    CHECK(text(resolve(resolver, io, host("plain.example.org"))) ==
          "plain.example.org = 192.0.2.30");
}

TEST_CASE("the way to an address is what the kernel says") {
    const auto facts = host_facts(*IpAddress::parse("192.0.2.1"), {});
    REQUIRE(facts.has_value());
    CHECK(facts->gateway == IpAddress::parse("198.51.100.1"));
    CHECK(facts->interface == "wan");
    CHECK(facts->interface_mtu == PathMtu{8921});
    CHECK(facts->interface_kind == "veth");
    CHECK_FALSE(facts->existing_host_route.has_value());

    const auto on_link = host_facts(*IpAddress::parse("198.51.100.9"), {});
    REQUIRE(on_link.has_value());
    CHECK_FALSE(on_link->gateway.has_value());

    const auto v6 = host_facts(*IpAddress::parse("2001:db8:ffff::1"), {});
    REQUIRE(v6.has_value());
    CHECK(v6->gateway == IpAddress::parse("2001:db8:1::1"));
    CHECK(v6->interface == "wan");
}

TEST_CASE("a host route that is there already is told as ip route would set it") {
    const auto facts = host_facts(*IpAddress::parse("203.0.113.5"), {});
    REQUIRE(facts.has_value());
    CHECK(facts->existing_host_route ==
          "203.0.113.5/32 via 198.51.100.1 dev wan src 198.51.100.2 mtu 1400");
    CHECK(current_route_mtu(*IpAddress::parse("203.0.113.5"), {}) == PathMtu{1400});
    CHECK(current_route_mtu(*IpAddress::parse("203.0.113.6"), {}) == PathMtu{8921});
}
