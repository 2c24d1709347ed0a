// SPDX-License-Identifier: Apache-2.0
// Routes learned from deliveries in the log: what is certain enough, and what takes it back.
#include "probes/logged_routes.hpp"

#include <doctest/doctest.h>

#include <boost/asio/io_context.hpp>

#include "lib/net/deadline.hpp"
#include "probes/daemon.hpp"
#include "probes/observer.hpp"
#include "tests/unit/probed/memory_cache.hpp"
#include "tests/unit/probed/reports.hpp"

using namespace postfathom;
using namespace std::chrono_literals;

namespace {

const WallTime now{std::chrono::hours{500'000}};

// Stores what is certain at once, as the daemon does where no look at the DNS is needed.
struct Log {
    void line(const std::string& text, const std::string& program = "smtp") {
        const auto whole = "Nov 23 01:11:21 mx postfix/" + program + "[3910]: " + text;
        CacheChange change;
        if (const auto parsed = parse_log_line(whole)) {
            observer.line(*parsed);
            if (auto found = observer.logged_route(change, at)) {
                last = found;
                if (!found->to_confirm) change.routes.push_back(found->route);
            }
        } else {
            observer.other_line(whole);
            CHECK_FALSE(observer.logged_route(change, at));
        }
        REQUIRE(cache.store(change));
    }
    std::string status(const std::string& domain, const std::string& relay,
                       const std::string& end) {
        return "4A" + std::to_string(++messages) + "0: to=<you@" + domain + ">, relay=" + relay +
               ", delay=1, delays=0/0/1/0, dsn=2.0.0, status=" + end;
    }
    void deliver(const std::string& domain, const std::string& relay, int times = 1,
                 const std::string& program = "smtp") {
        for (int i = 0; i < times; ++i) line(status(domain, relay, "sent (250 2.0.0 Ok)"), program);
    }
    std::string route(const std::string& domain) {
        const auto known = cache.route(domain);
        return known ? known->next_hop : "-";
    }
    WallTime at = now;
    int messages = 100;
    MemoryCache cache;
    Observer observer{cache};
    std::optional<LoggedRoute> last;
};

const std::string relay = "relay.example.org[192.0.2.25]:587";

}  // namespace

TEST_CASE("three messages in a row to the same host and port tell the way of a domain's mail") {
    Log log;
    log.deliver("example.net", relay, 2);
    CHECK(log.route("example.net") == "-");
    log.deliver("example.com", relay);
    log.deliver("example.net", relay);
    CHECK(log.route("example.net") == "[relay.example.org]:587");
    CHECK(log.route("example.com") == "-");
    const auto record = *log.cache.route("example.net");
    CHECK(record.from_log);
    CHECK(record.transport == "smtp");
    CHECK(record.learned_at == now);
    SUBCASE("failures are those of the relay from then on") {
        const auto place = log.observer.place_for(
            "example.net", LoggedPeer{"relay.example.org", *IpAddress::parse("192.0.2.25"), 587});
        CHECK(place.next_hop == "[relay.example.org]:587");
        CHECK_FALSE(place.assumed);
    }
    SUBCASE("but not those of another server") {
        const auto place = log.observer.place_for(
            "example.net", LoggedPeer{"mx.example.net", *IpAddress::parse("192.0.2.1"), 25});
        CHECK(place.next_hop == "example.net");
        CHECK(place.assumed);
    }
    SUBCASE("it is confirmed once a day") {
        log.at = now + 23h;
        log.deliver("example.net", relay);
        CHECK(log.cache.route("example.net")->learned_at == now);
        log.at = now + 24h;
        log.deliver("example.net", relay);
        CHECK(log.cache.route("example.net")->learned_at == log.at);
    }
    SUBCASE("one message that goes another way takes it back, and more are asked for then") {
        log.deliver("example.net", "other.example.org[192.0.2.26]:587");
        CHECK(log.route("example.net") == "-");
        log.deliver("example.net", relay, 5);
        CHECK(log.route("example.net") == "-");
        log.deliver("example.net", relay);
        CHECK(log.route("example.net") == "[relay.example.org]:587");
    }
    SUBCASE("what the configuration says takes it back for good") {
        log.observer.set_routes({{"example.net", "[r.example.org]", "[r.example.org]"}});
        log.deliver("example.net", relay, 10);
        CHECK(log.route("example.net") == "-");
    }
}

TEST_CASE("what is not certain teaches nothing") {
    Log log;
    SUBCASE("recipients of one message") {
        const auto text = log.status("example.net", relay, "sent (250 2.0.0 Ok)");
        for (int i = 0; i < 5; ++i) log.line(text);
    }
    SUBCASE("mail that is not delivered") {
        for (int i = 0; i < 5; ++i)
            log.line(
                log.status("example.net", relay, "deferred (host relay.example.org said: 450)"));
    }
    SUBCASE("another way each time, as with several relays or after a content filter") {
        for (int i = 0; i < 50; ++i) {
            log.deliver("example.net", relay);
            log.deliver("example.net", "filter.example.org[192.0.2.30]:10024");
        }
    }
    SUBCASE("a filter on this host, where the last step is not SMTP") {
        log.deliver("example.net", "127.0.0.1[127.0.0.1]:10024", 9);
        log.deliver("example.net", "localhost[::1]:10024", 9);
    }
    SUBCASE("deliveries over LMTP") { log.deliver("example.net", relay, 9, "lmtp"); }
    SUBCASE("a relay that took over when a server had trouble") {
        for (const std::string trouble :
             {"connect to mx.example.net[192.0.2.1]:25: Connection timed out",
              "SSL_connect error to mx.example.net[192.0.2.1]:25: lost connection",
              "45952A7814D: lost connection with mx.example.net[192.0.2.1] while receiving the "
              "initial "
              "server greeting",
              "45952A7814D: host mx.example.net[192.0.2.1] refused to talk to me: 421 4.3.2 too "
              "busy",
              "45952A7814D: host mx.example.net[192.0.2.1] said: 450 4.2.0 greylisted (in reply to "
              "RCPT TO "
              "command)"})
            for (int i = 0; i < 4; ++i) {
                CAPTURE(trouble);
                log.line(trouble);
                log.deliver("example.net", relay);
                CHECK(log.route("example.net") == "-");
            }
    }
    SUBCASE("a domain of its own name, a literal, no domain") {
        log.deliver("example.net", "example.net[192.0.2.1]:587", 5);
        log.deliver("[192.0.2.1]", relay, 5);
        log.deliver("a b", relay, 5);
        log.deliver("unknown.example", "unknown[192.0.2.1]:587", 5);
        CHECK(log.route("[192.0.2.1]") == "-");
        CHECK(log.route("a b") == "-");
        CHECK(log.route("unknown.example") == "-");
    }
    SUBCASE("port 25, by itself") {
        log.deliver("example.net", "relay.example.org[192.0.2.25]:25", 3);
        REQUIRE(log.last);
        CHECK(log.last->to_confirm);
        CHECK(log.last->route.next_hop == "[relay.example.org]");
    }
    CHECK(log.route("example.net") == "-");
}

TEST_CASE("what the milter told stays") {
    Log log;
    log.cache.routes["example.net"] = {"example.net", "[told.example.org]", "[told.example.org]",
                                       "relay", now};
    log.deliver("example.net", relay, 9);
    CHECK(log.route("example.net") == "[told.example.org]");
}

TEST_CASE("relays by address, and ways of many domains") {
    Log log;
    log.deliver("example.net", "192.0.2.25[192.0.2.25]:587", 3);
    CHECK(log.route("example.net") == "[192.0.2.25]:587");
    log.deliver("example.com", "2001:db8::25[2001:db8::25]:587", 3);
    CHECK(log.route("example.com") == "[IPv6:2001:db8::25]:587");

    LoggedRoutes ways(2);
    for (const std::string domain : {"a.example", "b.example", "c.example"})
        CHECK_FALSE(ways.add(domain, "[r.example]", "1"));
    CHECK(ways.size() == 2);
    CHECK_FALSE(ways.add("a.example", "[r.example]", "2"));  // forgotten meanwhile
    CHECK_FALSE(ways.add("a.example", "[r.example]", "3"));
    CHECK(ways.add("a.example", "[r.example]", "4"));
    // Who could not be confirmed is asked about ever more rarely.
    int asked = 0;
    for (int i = 5; i < 100; ++i) asked += ways.add("a.example", "[r.example]", std::to_string(i));
    CHECK(asked == 5);  // 6, 12, 24, 48, 96
}

TEST_CASE("names of one mail service belong together") {
    CHECK(same_owner("mx7.mail.example.org", "mx1.example.org"));
    CHECK(same_owner("Example.ORG", "mx.example.org"));
    CHECK_FALSE(same_owner("relay.example.com", "mx.example.org"));
    CHECK_FALSE(same_owner("relay", "mx.example.org"));
}

namespace {

struct World {
    ResolvedAddresses own;
    int resolved = 0;
};

asio::awaitable<Report> probe_world(ProbeRequest) { co_return Report{}; }

asio::awaitable<ResolvedAddresses> resolve_world(World* world, NextHop) {
    ++world->resolved;
    co_return world->own;
}

struct Bench {
    Bench() {
        daemon.emplace(
            io, settings, cache,
            [](ProbeRequest request, ProgressSink) { return probe_world(std::move(request)); },
            [this](NextHop next_hop) { return resolve_world(&world, std::move(next_hop)); });
    }
    void deliver(int times) {
        for (int i = 0; i < times; ++i)
            daemon->on_log_line("Nov 23 01:11:21 mx postfix/smtp[3910]: 45952A781" +
                                std::to_string(i) +
                                "0: to=<you@example.net>, relay=relay.example.org[192.0.2.25]:25, "
                                "delay=1, delays=0/0/1/0, dsn=2.0.0, status=sent (250 Ok)");
    }
    // All that was begun.
    void run() {
        io.restart();
        while (io.poll_one() > 0) {
        }
    }
    Settings settings;
    MemoryCache cache;
    World world;
    asio::io_context io{1};
    std::optional<Daemon> daemon;
};

}  // namespace

TEST_CASE("a relay on port 25 is told from a domain's own servers by the DNS") {
    Bench bench;
    const auto relay_address = *IpAddress::parse("192.0.2.25");
    const auto other_address = *IpAddress::parse("192.0.2.1");
    std::string learned = "-";
    SUBCASE("others are the domain's own") {
        bench.world.own = {{other_address}, {}, {"mx.example.net"}};
        learned = "[relay.example.org]";
    }
    SUBCASE("its own address") { bench.world.own = {{other_address, relay_address}, {}, {"mx.x"}}; }
    SUBCASE("its own name, or one like it: a name may have other addresses each time") {
        bench.world.own = {{other_address}, {}, {"mx1.example.org"}};
    }
    SUBCASE("nothing is known") {}
    bench.deliver(3);
    bench.run();
    CHECK(bench.world.resolved == 1);
    const auto known = bench.cache.route("example.net");
    CHECK((known ? known->next_hop : "-") == learned);
}
