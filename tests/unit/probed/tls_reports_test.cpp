// SPDX-License-Identifier: Apache-2.0
// What Postfix's own reports of TLS handshakes make worth a probe, and what of them is remembered.
#include <doctest/doctest.h>

#include <boost/asio/io_context.hpp>

#include "lib/net/deadline.hpp"
#include "probes/daemon.hpp"
#include "probes/observer.hpp"
#include "probes/tls_history.hpp"
#include "tests/unit/probed/memory_cache.hpp"
#include "tests/unit/probed/reports.hpp"

using namespace postfathom;
using namespace std::chrono_literals;

namespace {

const WallTime now{std::chrono::hours{500'000}};
const IpAddress address = test_endpoint().address;  // 192.0.2.1, mail.example.net

struct Log {
    void deliver(const std::string& domain, const std::string& relay) {
        const auto line = parse_log_line(
            "Nov 23 01:11:21 mx postfix/smtp[3910]: 45952A7814D: to=<you@" + domain +
            ">, relay=" + relay +
            ", delay=0.1, delays=0.02/0.03/0.04/0.02, dsn=2.0.0, status=sent (250 2.0.0 Ok)");
        REQUIRE(line);
        observer.line(*line);
    }
    void route(const std::string& domain, const std::string& next_hop) {
        cache.routes[domain] = {domain, next_hop, next_hop, "smtp", now};
    }
    void know(const std::string& next_hop, const Diagnosis& diagnosis) {
        auto& record = cache.next_hops[next_hop];
        record.next_hop = next_hop;
        record.verdict = absorb(std::nullopt, diagnosis, wall_now(), {});
        record.endpoints = {test_endpoint()};
    }
    std::vector<ProbeWish> fail(const std::string& domain,
                                const std::string& name = "mail.example.net",
                                const std::string& server = "192.0.2.1",
                                TlsFailureKind kind = TlsFailureKind::validation_failure) {
        TlsReport report{domain, false, {{kind, std::nullopt, "tls-handshake-failure"}}};
        if (!server.empty())
            report.failures[0].peer = LoggedPeer{name, *IpAddress::parse(server), std::nullopt};
        return observer.tls_report(report);
    }
    MemoryCache cache;
    Observer observer{cache};
};

}  // namespace

TEST_CASE("a reported failure is about the place that mail was seen to go to, with its port") {
    Log log;
    SUBCASE("a relay in brackets with a port") {
        log.route("example.org", "[mail.example.net]:587");
        log.deliver("example.org", "mail.example.net[192.0.2.1]:587");
        const auto wishes = log.fail("mail.example.net");
        REQUIRE(wishes.size() == 1);
        CHECK(wishes[0].reason == ProbeReason::failure_seen);
        CHECK(wishes[0].place.next_hop == "[mail.example.net]:587");
        CHECK(wishes[0].place.peer->port == 587);
        CHECK(wishes[0].place.peer->service == Service::submission);
        CHECK_FALSE(wishes[0].place.assumed);
    }
    SUBCASE("the one by way of that server, of two with this host") {
        log.route("example.org", "[mail.example.net]:587");
        log.deliver("example.org", "mail.example.net[192.0.2.1]:587");
        log.route("example.com", "[mail.example.net]");
        log.deliver("example.com", "mail.example.net[192.0.2.9]:25");
        CHECK(log.fail("mail.example.net").at(0).place.next_hop == "[mail.example.net]:587");
        CHECK(log.fail("mail.example.net", "mail.example.net", "192.0.2.9").at(0).place.next_hop ==
              "[mail.example.net]");
    }
    SUBCASE("another server of a known next hop has to be one of its addresses") {
        log.know("example.net", test_healthy());
        CHECK_FALSE(log.fail("example.net").at(0).place.assumed);
        CHECK(log.fail("example.net", "mx2.example.net", "192.0.2.9").at(0).place.assumed);
    }
    SUBCASE("a domain that nothing else speaks of has to have that server by its MX records") {
        const auto wishes = log.fail("example.net");
        REQUIRE(wishes.size() == 1);
        CHECK(wishes[0].place.next_hop == "example.net");
        CHECK(wishes[0].place.peer == test_endpoint());
        CHECK(wishes[0].place.assumed);
    }
    SUBCASE("names that begin or end alike are others") {
        log.route("example.org", "[mail.example.net]:587");
        log.deliver("example.org", "mail.example.net[192.0.2.1]:587");
        for (const std::string host :
             {"mail.example.ne", "mail.example.net.example.org", "ail.example.net"})
            CHECK(log.fail(host).at(0).place.assumed);
    }
}

TEST_CASE("what fits no place, or no server has a part in, aims no probe") {
    Log log;
    // A relay that no log line was seen of yet: it may have any port.
    CHECK(log.fail("mail.example.net").empty());
    CHECK(log.fail("mail.example.net", "unknown").empty());
    CHECK(log.fail("example.net", "", "").empty());
    CHECK(log.observer.counters().tls_not_placed == 3);
    for (const auto kind : {TlsFailureKind::sts_policy_fetch_error, TlsFailureKind::tlsa_invalid,
                            TlsFailureKind::dane_required, TlsFailureKind::other})
        CHECK(log.fail("example.net", "mail.example.net", "192.0.2.1", kind).empty());
}

TEST_CASE("a reported success is news only of what is ill") {
    Log log;
    CHECK(log.observer.tls_report({"example.net", true, {}}).empty());
    log.know("example.net", test_healthy());
    CHECK(log.observer.tls_report({"example.net", true, {}}).empty());
    log.know("example.net", test_black_hole());
    const auto wishes = log.observer.tls_report({"example.net", true, {}});
    REQUIRE(wishes.size() == 1);
    CHECK(wishes[0].reason == ProbeReason::recovered);
    // Which of its servers it was is not told: a probe has to find out.
    CHECK_FALSE(wishes[0].handshake_seen);
}

TEST_CASE("the history of successes is bounded, and about next hops without brackets or port") {
    TlsHistory history(2);
    history.note("a.example", now);
    history.note("b.example", now + 1s);
    history.note("a.example", now + 2s);
    history.note("c.example", now + 3s);
    CHECK(history.size() == 2);
    CHECK(history.last("a.example") == now + 2s);
    CHECK_FALSE(history.last("b.example"));
    CHECK(history.last("c.example") == now + 3s);
    CHECK_FALSE(history.last("[a.example]"));
    CHECK_FALSE(history.last("a.example:587"));
}

namespace {

struct World {
    std::vector<IpAddress> addresses;
    int resolved = 0;
    std::vector<ProbeRequest> probed;
};

asio::awaitable<Report> probe_world(World* world, ProbeRequest request) {
    world->probed.push_back(request);
    co_await pause(1ms);
    co_return test_report(to_string(request.next_hop), test_black_hole(), test_endpoint());
}

asio::awaitable<ResolvedAddresses> resolve_world(World* world, NextHop) {
    ++world->resolved;
    ResolvedAddresses found;
    found.addresses = world->addresses;
    co_return found;
}

struct Bench {
    Bench() {
        settings.probe.min_interval = 0ms;
        daemon.emplace(
            io, settings, cache,
            [this](ProbeRequest request, ProgressSink) {
                return probe_world(&world, std::move(request));
            },
            [this](NextHop next_hop) { return resolve_world(&world, std::move(next_hop)); });
    }
    void run_until(const std::function<bool()>& done) {
        const auto deadline = std::chrono::steady_clock::now() + 30s;
        while (!done()) {
            REQUIRE(std::chrono::steady_clock::now() < deadline);
            io.restart();
            io.run_for(2ms);
        }
    }
    void succeed(const std::string& domain) {
        REQUIRE(daemon->on_tls_report(
            R"({"dpv": "1","d": ")" + domain +
            R"(","pr": "v=TLSRPTv1;","policies":[{"policy-type":9,"t":0,"f":0}]})"));
    }
    void fail(const std::string& domain, const std::string& name) {
        REQUIRE(daemon->on_tls_report(
            R"({"dpv": "1","d": ")" + domain +
            R"(","pr": "v=TLSRPTv1;","policies":[{"policy-type":9,)" +
            R"("failure-details":[{"c":205,"s": "198.51.100.7","n": ")" + name +
            R"(","h": "","r": "192.0.2.1","f": "tls-handshake-failure"}],"t":1,"f":1}]})"));
    }
    Settings settings;
    MemoryCache cache;
    World world;
    asio::io_context io{1};
    std::optional<Daemon> daemon;
};

}  // namespace

TEST_CASE("a domain that only a report names is probed when the server is its own") {
    Bench bench;
    SUBCASE("it is") {
        bench.world.addresses = {address};
        bench.fail("example.net", "mail.example.net");
        bench.run_until([&] { return bench.daemon->counters().schedule.finished == 1; });
        REQUIRE(bench.world.probed.size() == 1);
        CHECK(to_string(bench.world.probed[0].next_hop) == "example.net");
        CHECK(bench.cache.next_hop("example.net")->verdict.id == DiagnosisId::pmtu_black_hole);
        // Explained already.
        bench.fail("example.net", "mail.example.net");
        bench.run_until([&] { return bench.daemon->counters().schedule.running == 0; });
        CHECK(bench.world.probed.size() == 1);
    }
    SUBCASE("it is not: nothing is probed, not even the server alone") {
        bench.world.addresses = {*IpAddress::parse("192.0.2.77")};
        for (int i = 0; i < 10; ++i) bench.fail("example.net", "mail.example.net");
        bench.run_until([&] { return bench.world.resolved == 1; });
        // Its turn comes behind what was begun before it.
        REQUIRE(bench.daemon->ask(*parse_next_hop("example.com"), "example.com"));
        bench.run_until([&] { return bench.daemon->counters().schedule.finished == 1; });
        REQUIRE(bench.world.probed.size() == 1);
        CHECK(to_string(bench.world.probed[0].next_hop) == "example.com");
        CHECK(bench.world.resolved == 1);
    }
    CHECK(bench.daemon->counters().tls_failures > 0);
}

TEST_CASE("a success is remembered with its next hop, at once or when that is probed") {
    Bench bench;
    const auto begin = wall_now();
    bench.succeed("example.net");
    CHECK(bench.cache.next_hops.empty());
    REQUIRE(bench.daemon->ask(*parse_next_hop("example.net"), "example.net"));
    bench.run_until([&] { return bench.daemon->counters().schedule.finished == 1; });
    REQUIRE(bench.cache.next_hop("example.net"));
    CHECK(bench.cache.next_hop("example.net")->tls_seen >= begin);

    auto& record = bench.cache.next_hops["example.net"];
    record.tls_seen = begin - 30min;
    bench.succeed("example.net");
    CHECK(record.tls_seen == begin - 30min);  // not each time
    record.tls_seen = begin - 2h;
    bench.succeed("example.net");
    CHECK(record.tls_seen >= begin);
    CHECK(bench.daemon->counters().tls_successes == 3);
}

TEST_CASE("a datagram that is no report is counted") {
    Bench bench;
    for (const std::string datagram : {"", "{}", "GET / HTTP/1.0\r\n\r\n"})
        CHECK_FALSE(bench.daemon->on_tls_report(datagram));
    CHECK(bench.daemon->counters().tls_reports == 3);
    CHECK(bench.daemon->counters().bad_tls_reports == 3);
}
