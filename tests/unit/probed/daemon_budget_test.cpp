// SPDX-License-Identifier: Apache-2.0
// What the daemon asks of servers: one probe at a time, budgets, rounds, pauses, and what it makes
// of it when it has to wait.
#include <doctest/doctest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <map>

#include "lib/net/deadline.hpp"
#include "lib/net/notice.hpp"
#include "probes/daemon.hpp"
#include "tests/unit/probed/memory_cache.hpp"
#include "tests/unit/probed/reports.hpp"

using namespace postfathom;
using namespace std::chrono_literals;

namespace {

// Servers by next hop; each probe lasts until `held` is false and costs what it is allowed, up to
// `wants`.
struct World {
    std::map<std::string, std::vector<Endpoint>> servers;
    Diagnosis diagnosis = test_black_hole();
    std::string says;  // asks us to come again later
    std::uint32_t wants = 5;
    bool breaks_off = false;
    bool held = false;
    std::vector<std::pair<IpAddress, Admission>> admitted;
    std::map<IpAddress, int> at_work;
    int most_at_once = 0;
    std::vector<IpAddress> addresses;
};

EndpointReport found_at(const World& world, const Endpoint& endpoint, const Admission& admission) {
    auto report = test_report("", world.diagnosis, endpoint).endpoints.front();
    auto& evidence = report.evidence;
    evidence.connections = std::min(world.wants, admission.max_connections);
    evidence.aborted = std::min(world.wants - 1, admission.max_aborted);
    evidence.budget_ended =
        world.wants > admission.max_connections || world.wants - 1 > admission.max_aborted;
    evidence.asked_to_wait = world.says;
    if (evidence.budget_ended) {
        auto& diagnosis = report.verdict.diagnosis;
        diagnosis.path_mtu = evidence.inbound.path_mtu = PathMtu{1280};
        diagnosis.path_mtu_exact = evidence.inbound.exact = false;
        diagnosis.path_mtu_below = evidence.inbound.fails = PathMtu{1500};
    }
    return report;
}

// As the engine does it.
asio::awaitable<Report> probe_world(World* world, ProbeRequest request) {
    Report report;
    report.destination = to_string(request.next_hop);
    for (const auto& endpoint : world->servers[report.destination]) {
        auto admission = request.gate->enter(endpoint, IpAddress::parse("192.0.2.200"));
        if (admission.held_back) {
            report.held_back.push_back(*admission.held_back);
            if (!admission.known_ill) break;
            continue;
        }
        Turn turn(*request.gate, endpoint);
        world->admitted.emplace_back(endpoint.address, admission);
        world->most_at_once = std::max(world->most_at_once, ++world->at_work[endpoint.address]);
        do co_await pause(1ms);
        while (world->held);
        --world->at_work[endpoint.address];
        if (world->breaks_off) throw std::runtime_error("broken promise");
        report.endpoints.push_back(found_at(*world, endpoint, admission));
        turn.end(report.endpoints.back().evidence);
    }
    report.diagnosis = worst(report.endpoints, Diagnosis{});
    co_return report;
}

asio::awaitable<ResolvedAddresses> resolve_world(World* world, NextHop) {
    ResolvedAddresses found;
    found.addresses = world->addresses;
    co_return found;
}

struct Bench {
    explicit Bench(Millis window = 10min) {
        settings.probe.min_interval = 0ms;
        settings.probe.budget_window = window;
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
    void settle() {
        run_until([this] { return daemon->counters().schedule.running == 0; });
    }
    void fail_delivery(const std::string& domain, const std::string& relay) {
        log("SSL_connect error to " + relay + ":25: Connection timed out");
        log("45952A7814D: to=<you@" + domain + ">, relay=" + relay +
            ":25, delay=300, delays=0.02/0.03/300/0, dsn=4.7.5, status=deferred (Cannot start "
            "TLS: handshake failure)");
    }
    void deliver(const std::string& domain, const std::string& relay) {
        log("Untrusted TLS connection established to " + relay +
            ":25: TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)");
        log("45952A7814D: to=<you@" + domain + ">, relay=" + relay +
            ":25, delay=0.1, delays=0.02/0.03/0.04/0.02, dsn=2.0.0, status=sent (250 2.0.0 Ok)");
    }
    void log(const std::string& text) {
        daemon->on_log_line("Nov 23 01:11:21 mx postfix/smtp[3910]: " + text);
    }
    void ask(const std::string& next_hop) {
        REQUIRE(daemon->ask(*parse_next_hop(next_hop), next_hop));
    }
    // A domain whose mail goes to these servers.
    void add(const std::string& domain, std::vector<Endpoint> servers) {
        for (const auto& server : servers) world.addresses.push_back(server.address);
        world.servers[domain] = std::move(servers);
    }
    DiagnosisId verdict(const std::string& domain) {
        const auto known = cache.next_hop(domain);
        return known ? known->verdict.id : DiagnosisId::inconclusive;
    }

    Settings settings;
    MemoryCache cache;
    World world;
    asio::io_context io{1};
    std::optional<Daemon> daemon;
};

const auto mx = test_endpoint();
const std::string relay = "mail.example.net[192.0.2.1]";

}  // namespace

TEST_CASE("what one probe used is missing for the next, whatever domain it is for") {
    Bench bench;
    bench.add("example.net", {mx});
    bench.add("example.org", {mx});
    bench.fail_delivery("example.net", relay);
    bench.settle();
    REQUIRE(bench.world.admitted.size() == 1);
    CHECK(bench.world.admitted[0].second.max_connections == 8);
    CHECK(bench.world.admitted[0].second.max_aborted == 4);

    // Nothing is left, and what is known of the server is answer enough for the second domain.
    RouteRecord route;
    route.domain = "example.org";
    route.next_hop = "example.org";
    bench.cache.routes["example.org"] = route;
    bench.daemon->on_notice(encode(Notice{VerdictWanted{"example.org"}}));
    bench.settle();
    CHECK(bench.world.admitted.size() == 1);
    CHECK(bench.verdict("example.org") == DiagnosisId::pmtu_black_hole);
    CHECK(bench.cache.next_hop("example.org")->endpoints == std::vector{mx});
    CHECK_FALSE(bench.cache.report("example.org"));  // nothing was asked
    CHECK(bench.daemon->counters().schedule.queued == 0);
}

TEST_CASE("a person is not stopped by the budget, and pays for it") {
    Bench bench;
    bench.add("example.net", {mx});
    bench.world.wants = 20;
    bench.ask("example.net");
    bench.settle();
    bench.ask("example.net");
    bench.settle();
    REQUIRE(bench.world.admitted.size() == 2);
    CHECK(bench.world.admitted[1].second.max_connections == 32);
    CHECK(bench.cache.next_hop("example.net")->verdict.path_mtu_exact);
    // The log's next failure finds a fresh verdict; another domain finds no budget.
    bench.add("example.org", {mx});
    bench.cache.endpoints.clear();
    bench.fail_delivery("example.org", relay);
    bench.settle();
    CHECK(bench.world.admitted.size() == 2);
    CHECK(bench.daemon->counters().schedule.held_back == 1);
    CHECK(bench.daemon->counters().schedule.queued == 1);
}

TEST_CASE("a search goes on in rounds, each with what the one before found as a hint") {
    Bench bench(200ms);
    bench.add("example.net", {mx});
    bench.world.wants = 12;
    bench.fail_delivery("example.net", relay);
    bench.run_until([&] { return bench.world.admitted.size() >= 2; });
    bench.world.wants = 4;
    bench.run_until([&] {
        return bench.daemon->counters().schedule.queued == 0 &&
               bench.daemon->counters().schedule.running == 0;
    });
    const auto& second = bench.world.admitted[1].second;
    CHECK(second.inbound_before.path_mtu == PathMtu{1280});
    CHECK(second.inbound_before.fails == PathMtu{1500});
    CHECK_FALSE(second.inbound_before.exact);
    const auto known = bench.cache.next_hop("example.net");
    REQUIRE(known);
    CHECK(known->verdict.path_mtu_exact);
    CHECK(known->verdict.path_mtu == PathMtu{1400});
    CHECK(bench.daemon->counters().schedule.rounds >= 1);
}

TEST_CASE("a server is probed by one probe at a time, and other servers meanwhile") {
    Bench bench;
    const auto other = test_endpoint("192.0.2.9", "mail.example.com");
    for (const auto* name : {"a.example", "b.example", "c.example"}) bench.add(name, {mx});
    bench.add("other.example", {other});
    bench.world.wants = 1;
    bench.world.diagnosis = test_healthy();
    bench.world.held = true;
    for (const auto* name : {"a.example", "b.example", "c.example", "other.example"})
        bench.ask(name);
    bench.run_until([&] {
        return bench.world.at_work[mx.address] == 1 && bench.world.at_work[other.address] == 1;
    });
    CHECK(bench.world.admitted.size() == 2);
    bench.world.held = false;
    bench.run_until([&] { return bench.world.admitted.size() == 4; });
    bench.settle();
    for (const auto* name : {"a.example", "b.example", "c.example"})
        CHECK(bench.verdict(name) == DiagnosisId::healthy);
    CHECK(bench.world.most_at_once == 1);
}

TEST_CASE("a probe that breaks off has used all it might have, and gives the server back") {
    Bench bench;
    bench.add("example.net", {mx});
    bench.world.breaks_off = true;
    bench.fail_delivery("example.net", relay);
    bench.settle();
    bench.world.breaks_off = false;
    bench.add("example.org", {mx});
    bench.fail_delivery("example.org", relay);
    bench.settle();
    CHECK(bench.world.admitted.size() == 1);
    bench.ask("example.org");
    bench.run_until([&] { return bench.world.admitted.size() == 2; });
    bench.settle();
    CHECK(bench.verdict("example.org") == DiagnosisId::pmtu_black_hole);
}

TEST_CASE("a server that asks us to come again later is not asked for any domain") {
    Bench bench;
    bench.add("example.net", {mx});
    bench.add("example.org", {mx});
    bench.world.wants = 1;
    bench.world.says = "421 4.7.0 too many connections";
    bench.world.diagnosis = test_diagnosis(DiagnosisId::greeting_rejected, Severity::warning);
    bench.fail_delivery("example.net", relay);
    bench.settle();
    bench.cache.endpoints.clear();
    bench.fail_delivery("example.org", relay);
    bench.settle();
    CHECK(bench.world.admitted.size() == 1);
    // A person may.
    bench.ask("example.org");
    bench.settle();
    CHECK(bench.world.admitted.size() == 2);
}

TEST_CASE(
    "where no probe may be made, a delivery takes the verdict back; its handshake must have been "
    "seen") {
    Bench bench;
    bench.add("example.net", {mx});
    bench.fail_delivery("example.net", relay);
    bench.settle();
    REQUIRE(bench.verdict("example.net") == DiagnosisId::pmtu_black_hole);
    SUBCASE("without a word of TLS") {
        bench.log("45952A7814D: to=<you@example.net>, relay=" + relay +
                  ":25, delay=0.1, delays=0.02/0.03/0.04/0.02, dsn=2.0.0, status=sent (250 Ok)");
        bench.settle();
        CHECK(bench.verdict("example.net") == DiagnosisId::pmtu_black_hole);
    }
    SUBCASE("with it") {
        bench.deliver("example.net", relay);
        bench.settle();
        CHECK(bench.verdict("example.net") == DiagnosisId::healthy);
        CHECK(bench.cache.endpoint(mx.address, mx.port)->verdict.id == DiagnosisId::healthy);
    }
    CHECK(bench.world.admitted.size() == 1);
    CHECK(bench.daemon->counters().schedule.queued == 1);  // a probe will tell, when it may
}

TEST_CASE("which verdicts a delivery disproves") {
    KnownVerdict verdict;
    verdict.id = DiagnosisId::pmtu_black_hole;
    verdict.direction = Direction::inbound;
    CHECK(delivery_disproves(verdict));
    for (const auto direction : {Direction::outbound, Direction::both}) {
        verdict.direction = direction;
        CHECK_FALSE(delivery_disproves(verdict));
    }
    for (const auto id : all_diagnosis_ids())
        if (to_string(id).starts_with("certificate-") || to_string(id).starts_with("starttls-")) {
            verdict.id = id;
            CHECK_FALSE(delivery_disproves(verdict));
        }
}

TEST_CASE("a next hop that moved to other addresses is probed again, one that stayed is not") {
    Bench bench;
    bench.world.diagnosis = test_healthy();
    bench.world.wants = 1;
    bench.add("example.net", {mx});
    bench.ask("example.net");
    bench.settle();
    REQUIRE(bench.cache.next_hops.contains("example.net"));
    auto& record = bench.cache.next_hops["example.net"];
    record.addresses_expire = wall_now() - 1s;
    bench.daemon->refresh();
    bench.run_until([&] { return *record.addresses_expire > wall_now(); });
    bench.settle();
    CHECK(bench.world.admitted.size() == 1);

    bench.world.addresses.clear();
    bench.add("example.net", {test_endpoint("192.0.2.77", "mail2.example.net")});
    record.addresses_expire = wall_now() - 1s;
    bench.daemon->refresh();
    bench.run_until([&] { return bench.world.admitted.size() == 2; });
    bench.settle();
    CHECK(bench.cache.next_hop("example.net")->endpoints ==
          std::vector{test_endpoint("192.0.2.77", "mail2.example.net")});

    // A resolver that is down says nothing about where a place is.
    bench.world.addresses.clear();
    record.addresses_expire = wall_now() - 1s;
    bench.daemon->refresh();
    bench.run_until([&] { return *record.addresses_expire > wall_now(); });
    bench.settle();
    CHECK(bench.world.admitted.size() == 2);
}
