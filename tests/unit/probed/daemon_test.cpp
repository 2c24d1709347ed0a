// SPDX-License-Identifier: Apache-2.0
// The daemon's core on a real event loop, with probes that answer from a table.
#include "probes/daemon.hpp"

#include <doctest/doctest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>

#include "lib/base/text.hpp"
#include "lib/net/deadline.hpp"
#include "lib/net/notice.hpp"
#include "probes/admin_answers.hpp"
#include "tests/unit/probed/memory_cache.hpp"
#include "tests/unit/probed/reports.hpp"

using namespace postfathom;
using namespace std::chrono_literals;

namespace {

// What the network would say.
struct World {
    Diagnosis diagnosis = test_black_hole();
    Endpoint server = test_endpoint();
    std::vector<IpAddress> addresses;  // of every name
    std::optional<std::chrono::seconds> ttl;
    bool throws = false;
    std::vector<ProbeRequest> probed;
};

asio::awaitable<Report> probe_world(World* world, ProbeRequest request) {
    world->probed.push_back(request);
    co_await pause(1ms);
    if (world->throws) throw std::runtime_error("broken promise");
    co_return test_report(to_string(request.next_hop), world->diagnosis,
                          request.only.value_or(world->server));
}

asio::awaitable<ResolvedAddresses> resolve_world(World* world, NextHop) {
    ResolvedAddresses found;
    found.addresses = world->addresses;
    found.ttl = world->ttl;
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
    // Until nothing is under way or queued.
    void settle() {
        const auto deadline = std::chrono::steady_clock::now() + 30s;
        for (;;) {
            io.restart();
            io.run_for(2ms);
            const auto now = daemon->counters().schedule;
            if (now.running == 0 && now.queued == 0) return;
            REQUIRE(std::chrono::steady_clock::now() < deadline);
        }
    }
    void log(const std::string& text) {
        daemon->on_log_line("Nov 23 01:11:21 mx postfix/smtp[3910]: " + text);
    }
    void fail_delivery() {
        log("SSL_connect error to mail.example.net[192.0.2.1]:25: Connection timed out");
        log("45952A7814D: to=<you@example.net>, relay=mail.example.net[192.0.2.1]:25, delay=300, "
            "delays=0.02/0.03/300/0, dsn=4.7.5, status=deferred (Cannot start TLS: handshake "
            "failure)");
    }
    Settings settings;
    MemoryCache cache;
    World world;
    asio::io_context io{1};
    std::optional<Daemon> daemon;
};

// Whether the alarm is among the events, and says what it has to.
asio::awaitable<void> read_alarm(EventReader* reader, bool* told, bool with_advice) {
    const std::string lines = co_await reader->next(30s);
    for (const auto line : split(lines, '\n')) {
        if (line.find("clear-text-delivery") == line.npos) continue;
        const auto event = boost::json::parse({line.data(), line.size()}).as_object();
        CHECK(event.at("queue_id") == "45952A7814D");
        CHECK(event.at("severity") == "warning");
        CHECK(event.at("next_hop") == "[mail.example.net]");
        CHECK(event.at("endpoint") == "mail.example.net[192.0.2.1]:25");
        CHECK(event.at("sign") == "tls-failed-before");
        CHECK(event.at("tls_failures") == 1);
        *told = true;
        CHECK(event.at("suggestion").is_object() == with_advice);
        if (!with_advice) continue;
        const auto& suggestion = event.at("suggestion").as_object();
        CHECK(suggestion.at("kind") == "tls-policy");
        CHECK(suggestion.at("commands").as_array().at(0) == "[mail.example.net]:25 encrypt");
    }
}

asio::awaitable<void> ask(Daemon* daemon, std::optional<Result<void>>* result) {
    *result = co_await daemon->ask_and_wait(*parse_next_hop("example.net"), "example.net", 30s);
}

}  // namespace

TEST_CASE("a failed delivery in the log ends in a verdict in the cache") {
    Bench bench;
    bench.world.addresses = {test_endpoint().address};
    bench.fail_delivery();
    bench.settle();
    REQUIRE(bench.world.probed.size() == 1);
    CHECK(to_string(bench.world.probed[0].next_hop) == "example.net");
    REQUIRE(bench.cache.next_hop("example.net"));
    CHECK(bench.cache.next_hop("example.net")->verdict.id == DiagnosisId::pmtu_black_hole);
    CHECK(bench.cache.report("example.net"));

    // Explained already: the next failures ask nothing new.
    bench.fail_delivery();
    bench.settle();
    CHECK(bench.world.probed.size() == 1);
}

TEST_CASE(
    "mail that went in clear text after TLS failed is told, counted, and followed by advice") {
    Bench bench;
    bench.cache.routes["example.net"] = {"example.net", "[mail.example.net]",
                                         "[mail.example.net]:25", "smtp", wall_now()};
    auto& known = bench.cache.next_hops["[mail.example.net]"];
    known.next_hop = "[mail.example.net]";
    bool with_advice = false;
    SUBCASE("where Postfix would fall to clear text again") {
        known.tls_floor = TlsLevel::may;
        with_advice = true;
    }
    SUBCASE("but none of a level where Postfix has one that asks for more") {
        known.tls_floor = TlsLevel::dane;
    }
    SUBCASE("but none of a level where Postfix's is not known") {}
    const auto reader = bench.daemon->events().subscribe();
    const auto in_clear = [&] {
        bench.log("SSL_connect error to mail.example.net[192.0.2.1]:25: Connection timed out");
        bench.log("45952A7814D: Cannot start TLS: handshake failure");
        bench.log(
            "45952A7814D: to=<you@example.net>, relay=mail.example.net[192.0.2.1]:25, "
            "delay=600, delays=300/0/300/0, dsn=2.0.0, status=sent (250 2.0.0 taken)");
    };
    in_clear();
    CHECK(bench.daemon->counters().clear_text_deliveries == 1);
    bool told = false;
    asio::co_spawn(bench.io, read_alarm(reader.get(), &told, with_advice), asio::detached);
    bench.settle();
    CHECK(told);
    in_clear();
    CHECK(bench.daemon->counters().clear_text_deliveries == 2);
}

TEST_CASE("a domain whose servers are others is not probed in the relay's place") {
    Bench bench;
    bench.world.addresses = {*IpAddress::parse("192.0.2.77")};
    bench.fail_delivery();
    bench.settle();
    REQUIRE(bench.world.probed.size() == 1);
    REQUIRE(bench.world.probed[0].only);
    CHECK(*bench.world.probed[0].only == test_endpoint());
    CHECK_FALSE(bench.cache.next_hop("example.net"));
    REQUIRE(bench.cache.endpoint(test_endpoint().address, 25));
}

// Whoever is to have our bounce may name our relay in his MX records, and a victim beside it.
TEST_CASE("for a domain that the log alone speaks for, only servers that Postfix used are probed") {
    Bench bench;
    const auto& used = test_endpoint().address;
    const std::optional<std::vector<IpAddress>> among{{used}};
    bench.world.addresses = {*IpAddress::parse("10.9.9.9"), used};
    bench.fail_delivery();
    bench.settle();
    REQUIRE(bench.world.probed.size() == 1);
    CHECK(to_string(bench.world.probed[0].next_hop) == "example.net");
    CHECK(bench.world.probed[0].as_postfix);
    CHECK(bench.world.probed[0].among == among);
    REQUIRE(bench.cache.next_hop("example.net"));
    CHECK(bench.cache.next_hop("example.net")->seen_only);

    const auto probe_again = [&]() -> const ProbeRequest& {
        auto& known = bench.cache.next_hops.at("example.net");
        known.verdict.measured_at -= bench.settings.cache.age.ill_refresh + 1s;
        bench.daemon->refresh();
        bench.settle();
        return bench.world.probed.back();
    };
    SUBCASE("later as well, and when policyd asks") {
        CHECK(probe_again().among == among);
        CHECK(bench.world.probed.size() == 2);
        bench.cache.next_hops.at("example.net").verdict.measured_at = WallTime{};
        bench.daemon->on_notice(encode(Notice{VerdictWanted{"example.net"}}));
        bench.settle();
        REQUIRE(bench.world.probed.size() == 3);
        REQUIRE(bench.world.probed[2].among);
        for (const auto& address : *bench.world.probed[2].among) CHECK(address == used);
    }
    SUBCASE("also when what was known of it is gone, and Postfix used a known server again") {
        bench.fail_delivery();
        bench.settle();
        bench.cache.next_hops.erase("example.net");
        bench.daemon->on_notice(encode(Notice{VerdictWanted{"example.net"}}));
        bench.settle();
        CHECK(bench.world.probed.back().among == among);
        CHECK(bench.cache.next_hop("example.net")->seen_only);
    }
    SUBCASE("until Postfix says that its mail goes by that name") {
        RouteRecord route;
        route.domain = route.next_hop = route.verbatim = "example.net";
        route.transport = "smtp";
        bench.daemon->on_notice(encode(Notice{RouteLearned{route}}));
        CHECK_FALSE(bench.cache.next_hop("example.net")->seen_only);
        CHECK_FALSE(probe_again().among);
    }
    SUBCASE("or a person does") {
        CHECK(bench.daemon->ask(*parse_next_hop("example.net"), "example.net"));
        bench.settle();
        CHECK_FALSE(bench.world.probed.back().among);
        CHECK_FALSE(bench.world.probed.back().as_postfix);
        CHECK_FALSE(bench.cache.next_hop("example.net")->seen_only);
    }
    SUBCASE("or the configuration does") {
        bench.settings.routes.push_back({"example.com", "example.net", "example.net"});
        bench.daemon->reload(bench.settings, [&bench](ProbeRequest request, ProgressSink) {
            return probe_world(&bench.world, std::move(request));
        });
        CHECK_FALSE(probe_again().among);
    }
}

TEST_CASE("the server that failed is probed by itself when the probe of the next hop left it out") {
    Bench bench;
    bench.world.addresses = {test_endpoint().address};
    bench.world.server = test_endpoint("192.0.2.9", "mx0.example.net");
    bench.world.diagnosis = test_healthy();
    bench.fail_delivery();
    bench.settle();
    REQUIRE(bench.world.probed.size() == 2);
    CHECK(bench.world.probed[1].only == test_endpoint());
}

TEST_CASE("mail that gets through to an ill place brings a new verdict") {
    Bench bench;
    bench.world.addresses = {test_endpoint().address};
    bench.fail_delivery();
    bench.settle();
    bench.world.diagnosis = test_healthy();
    bench.log(
        "45952A7814D: to=<you@example.net>, relay=mail.example.net[192.0.2.1]:25, delay=0.1, "
        "delays=0.02/0.03/0.04/0.02, dsn=2.0.0, status=sent (250 2.0.0 Ok)");
    bench.settle();
    CHECK(bench.cache.next_hop("example.net")->verdict.id == DiagnosisId::healthy);
}

TEST_CASE("a person waits for the end of the probe, with others who ask the same") {
    Bench bench;
    std::optional<Result<void>> first;
    std::optional<Result<void>> second;
    asio::co_spawn(bench.io, ask(&*bench.daemon, &first), asio::detached);
    asio::co_spawn(bench.io, ask(&*bench.daemon, &second), asio::detached);
    const auto deadline = std::chrono::steady_clock::now() + 30s;
    while (!first || !second) {
        REQUIRE(std::chrono::steady_clock::now() < deadline);
        bench.io.restart();
        bench.io.run_for(2ms);
    }
    REQUIRE(first);
    CHECK(*first);
    REQUIRE(second);
    CHECK(*second);
    CHECK(bench.world.probed.size() == 1);
}

TEST_CASE("a probe that breaks ends as inconclusive, and the daemon goes on") {
    Bench bench;
    bench.world.throws = true;
    REQUIRE(bench.daemon->ask(*parse_next_hop("example.net"), "example.net"));
    bench.settle();
    REQUIRE(bench.cache.next_hop("example.net"));
    CHECK(bench.cache.next_hop("example.net")->verdict.id == DiagnosisId::inconclusive);
    bench.world.throws = false;
    REQUIRE(bench.daemon->ask(*parse_next_hop("example.net"), "example.net"));
    bench.settle();
    CHECK(bench.cache.next_hop("example.net")->verdict.id == DiagnosisId::pmtu_black_hole);
}

TEST_CASE("probes that break outside the probe itself keep no place of those to come") {
    Bench bench;
    bench.cache.throws = true;
    // More than run at a time.
    for (int i = 0; i < 20; ++i) {
        const auto name = "d" + std::to_string(i) + ".example.net";
        REQUIRE(bench.daemon->ask(*parse_next_hop(name), name));
    }
    bench.settle();
    CHECK(bench.world.probed.size() == 20);
    bench.cache.throws = false;
    REQUIRE(bench.daemon->ask(*parse_next_hop("example.net"), "example.net"));
    bench.settle();
    CHECK(bench.cache.next_hop("example.net"));
}

TEST_CASE("a full disk loses verdicts, not the daemon") {
    Bench bench;
    bench.cache.broken = true;
    REQUIRE(bench.daemon->ask(*parse_next_hop("example.net"), "example.net"));
    bench.settle();
    CHECK(bench.daemon->counters().cache_errors == 1);
    bench.cache.broken = false;
    REQUIRE(bench.daemon->ask(*parse_next_hop("example.net"), "example.net"));
    bench.settle();
    CHECK(bench.cache.next_hop("example.net"));
}

TEST_CASE("ill and stale next hops are probed again, healthy ones and fresh ones not") {
    Bench bench;
    const auto add = [&](const std::string& name, const Diagnosis& diagnosis, auto age) {
        NextHopRecord record;
        record.next_hop = name;
        record.verdict = absorb(std::nullopt, diagnosis, wall_now() - age, {});
        bench.cache.next_hops[name] = record;
    };
    add("ill-stale.example", test_black_hole(), 1h);
    add("ill-fresh.example", test_black_hole(), 1min);
    add("healthy-stale.example", test_healthy(), 48h);
    bench.daemon->refresh();
    bench.settle();
    REQUIRE(bench.world.probed.size() == 1);
    CHECK(to_string(bench.world.probed[0].next_hop) == "ill-stale.example");
}

TEST_CASE("an ill verdict from a day to come is measured again, since a clock was wrong") {
    Bench bench;
    NextHopRecord record;
    record.next_hop = "tomorrow.example";
    record.verdict = absorb(std::nullopt, test_black_hole(), wall_now() + 24h, {});
    bench.cache.next_hops[record.next_hop] = record;
    CHECK(freshness(record.verdict, wall_now(), {}) == Freshness::expired);
    bench.daemon->refresh();
    bench.settle();
    REQUIRE(bench.world.probed.size() == 1);
    CHECK(freshness(bench.cache.next_hop("tomorrow.example")->verdict, wall_now(), {}) ==
          Freshness::fresh);
}

TEST_CASE("every next hop of a large cache comes to its turn") {
    Bench bench;
    for (int i = 0; i < 2500; ++i) {
        NextHopRecord record;
        record.next_hop = "d" + std::to_string(i) + ".example";
        record.verdict =
            absorb(std::nullopt, i == 2499 || i == 1 ? test_black_hole() : test_healthy(),
                   wall_now() - 1h, {});
        bench.cache.next_hops[record.next_hop] = record;
    }
    for (int i = 0; i < 3; ++i) bench.daemon->refresh();
    bench.settle();
    CHECK(bench.world.probed.size() == 2);
}

TEST_CASE("notices are taken as they come, good or bad") {
    Bench bench;
    RouteRecord route;
    route.domain = "example.net";
    route.next_hop = "[relay.example.org]:587";
    route.verbatim = "[relay.example.org]:587";
    route.transport = "smtp";
    route.learned_at = wall_now();
    bench.daemon->on_notice(encode(Notice{RouteLearned{route}}));
    bench.settle();
    REQUIRE(bench.cache.route("example.net"));
    REQUIRE(bench.world.probed.size() == 1);
    CHECK(bench.world.probed[0].verbatim == "[relay.example.org]:587");

    const auto whole = encode(Notice{RouteLearned{route}});
    for (std::size_t length = 0; length < whole.size(); ++length)
        bench.daemon->on_notice(std::string_view(whole).substr(0, length));
    bench.daemon->on_notice(std::string(5000, '\xff'));
    CHECK(bench.daemon->counters().bad_notices == whole.size() + 1);
    bench.daemon->on_notice(encode(Notice{VerdictWanted{"victim.example.com"}}));
    bench.settle();
    CHECK(bench.world.probed.size() == 1);
}

TEST_CASE("a reader of events that does not read is cut off, others are served") {
    Bench bench;
    const auto slow = bench.daemon->events().subscribe();
    boost::json::object event;
    event["text"] = std::string(1000, 'x');
    for (int i = 0; i < 1000; ++i) bench.daemon->events().publish(event);
    CHECK(slow->too_slow());
    const auto quick = bench.daemon->events().subscribe();
    bench.daemon->events().publish(event);
    CHECK_FALSE(quick->too_slow());
    CHECK(bench.daemon->events().readers() == 2);
}

TEST_CASE("what the milter saw of clients is stored by network, and listed") {
    Bench bench;
    const auto tell = [&](const char* address, ClientCounts counts) {
        ClientSeen seen{network_of(*IpAddress::parse(address)), counts};
        if (counts.tls_sessions > 0) seen.tls = ClientTls{"TLSv1.3", "TLS_AES_128_GCM_SHA256", 128};
        bench.daemon->on_notice(encode(Notice{ClientsSeen{seen}}));
    };
    tell("192.0.2.1", {2, 0, 0, 0});
    tell("192.0.2.250", {0, 3, 0, 0});
    tell("2001:db8::1", {1, 0, 0, 0});
    tell("127.0.0.1", {1, 0, 0, 0});
    CHECK(bench.cache.clients.empty());  // a store for all of them, by the clock
    bench.daemon->store_clients();
    REQUIRE(bench.cache.clients.size() == 2);
    tell("192.0.2.7", {0, 1, 0, 0});
    bench.daemon->refresh();
    CHECK(bench.cache.clients.at("192.0.2.0/24").day.counts == ClientCounts{2, 4, 0, 0});
    bench.settle();
    CHECK(bench.world.probed.empty());

    const auto reply = answer_clients(*bench.daemon, "limit=1");
    CHECK(reply.status == 200);
    REQUIRE(reply.body.at("clients").get_array().size() == 1);
    CHECK(reply.body.at("clients").at(0).at("network").get_string() == "192.0.2.0/24");
    CHECK(reply.body.at("next").get_string() == "192.0.2.0/24");
    const auto rest = answer_clients(*bench.daemon, "after=192.0.2.0%2F24");
    REQUIRE(rest.body.at("clients").get_array().size() == 1);
    CHECK(rest.body.at("clients").at(0).at("tls").at("version").get_string() == "TLSv1.3");
    CHECK(rest.body.at("next").is_null());
}

TEST_CASE("the log's word of clients whose handshake or message failed is stored by network") {
    Bench bench;
    const auto say = [&](const std::string& text) {
        bench.daemon->on_log_line("Nov 23 11:22:24 mail postfix/smtpd[23584]: " + text);
    };
    say("SSL_accept error from mail.example.org[192.0.2.2]: Connection timed out");
    say("lost connection after STARTTLS from mail.example.org[192.0.2.2]");
    say("timeout after DATA (12 bytes) from mail.example.org[192.0.2.2]");
    say("lost connection after DATA (120000 bytes) from unknown[192.0.2.77]");
    say("lost connection after EHLO from unknown[192.0.2.77]");
    say("disconnect from unknown[192.0.2.77] ehlo=1 quit=1 commands=2");
    say("SSL_accept error from localhost[127.0.0.1]: -1");
    say("SSL_accept error from unknown[2001:db8:1::5]: lost connection");
    bench.daemon->store_clients();
    REQUIRE(bench.cache.clients.size() == 2);
    CHECK(bench.cache.clients.at("192.0.2.0/24").day.counts == ClientCounts{0, 0, 1, 2});
    CHECK(bench.cache.clients.at("2001:db8:1::/48").day.counts == ClientCounts{0, 0, 1, 0});
    bench.settle();
    CHECK(bench.world.probed.empty());
}
