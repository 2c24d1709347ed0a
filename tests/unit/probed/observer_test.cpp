// SPDX-License-Identifier: Apache-2.0
#include "probes/observer.hpp"

#include <doctest/doctest.h>

#include "tests/unit/probed/memory_cache.hpp"

using namespace postfathom;

namespace {

const WallTime now{std::chrono::hours{500'000}};

struct Log {
    std::vector<ProbeWish> operator()(const std::string& text, unsigned pid = 3910) {
        const auto line =
            parse_log_line("Nov 23 01:11:21 mx postfix/smtp[" + std::to_string(pid) + "]: " + text);
        REQUIRE_MESSAGE(line, text);
        return observer.line(*line);
    }
    MemoryCache cache;
    Observer observer{cache};
};

const std::string stalled =
    "SSL_connect error to mail.example.net[192.0.2.1]:25: Connection timed out";
const std::string deferred =
    "45952A7814D: to=<you@example.net>, relay=mail.example.net[192.0.2.1]:25, delay=300, "
    "delays=0.02/0.03/300/0, dsn=4.7.5, status=deferred (Cannot start TLS: handshake failure)";
const std::string sent =
    "45952A7814D: to=<you@example.net>, relay=mail.example.net[192.0.2.1]:25, delay=0.1, "
    "delays=0.02/0.03/0.04/0.02, dsn=2.0.0, status=sent (250 2.0.0 Ok: queued as 45952A7814D)";

const Endpoint server{*IpAddress::parse("192.0.2.1"), 25, Service::smtp, "mail.example.net"};

RouteRecord route(const std::string& domain, const std::string& next_hop) {
    RouteRecord record;
    record.domain = domain;
    record.next_hop = next_hop;
    record.verbatim = next_hop;
    record.transport = "smtp";
    return record;
}

NextHopRecord black_hole(const std::string& next_hop) {
    NextHopRecord record;
    record.next_hop = next_hop;
    record.verdict.id = DiagnosisId::pmtu_black_hole;
    record.verdict.severity = Severity::critical;
    return record;
}

}  // namespace

TEST_CASE("a failed handshake is joined with the recipient by the process that logged both") {
    Log log;
    CHECK(log(stalled).empty());
    const auto wishes = log(deferred);
    REQUIRE(wishes.size() == 1);
    CHECK(wishes[0].reason == ProbeReason::failure_seen);
    CHECK(wishes[0].place.next_hop == "example.net");
    CHECK(wishes[0].place.peer == server);
    // Nothing but the recipient's domain speaks for it yet.
    CHECK(wishes[0].place.assumed);
}

TEST_CASE("every kind of trouble makes its place worth a probe") {
    const std::string to = "45952A7814D: to=<you@example.net>, relay=";
    const std::string numbers = ", delay=30, delays=0/0/30/0, dsn=4.4.1, status=deferred (";
    const std::string named = "mail.example.net[192.0.2.1]:25";
    for (const std::string reason :
         {"connect to mail.example.net[192.0.2.1]:25: Connection timed out",
          "conversation with mail.example.net[192.0.2.1] timed out while receiving the initial "
          "server greeting",
          "lost connection with mail.example.net[192.0.2.1] while performing the EHLO handshake",
          "TLS is required, but was not offered by host mail.example.net[192.0.2.1]",
          "delivery temporarily suspended: conversation with mail.example.net[192.0.2.1] timed out "
          "while sending message body"}) {
        CAPTURE(reason);
        Log log;
        const auto wishes = log(to + "none" + numbers + reason + ")");
        REQUIRE(wishes.size() == 1);
        CHECK(wishes[0].place.next_hop == "example.net");
        CHECK(wishes[0].place.peer == server);
    }
}

TEST_CASE("a server that says no has said why, and is not probed") {
    Log log;
    CHECK(log("45952A7814D: to=<you@example.net>, relay=mail.example.net[192.0.2.1]:25, delay=1, "
              "delays=0/0/1/0, dsn=4.3.2, status=deferred (host mail.example.net[192.0.2.1] "
              "refused to talk to me: 421 4.3.2 too busy)")
              .empty());
    CHECK(log("45952A7814D: to=<you@example.net>, relay=mail.example.net[192.0.2.1]:25, delay=1, "
              "delays=0/0/1/0, dsn=5.1.1, status=bounced (host mail.example.net[192.0.2.1] said: "
              "550 5.1.1 no such user (in reply to RCPT TO command))")
              .empty());
}

TEST_CASE("a route learned from the milter decides over the recipient's domain") {
    Log log;
    log.cache.routes["example.net"] = route("example.net", "[relay.example.org]:587");
    log(stalled);
    const auto wishes = log(deferred);
    REQUIRE(wishes.size() == 1);
    CHECK(wishes[0].place.next_hop == "[relay.example.org]:587");
    CHECK_FALSE(wishes[0].place.assumed);
}

TEST_CASE("a configured route is a place that mail goes to, unless the milter learned another") {
    Log log;
    const std::vector<ConfiguredRoute> routes{
        {"example.net", "[relay.example.org]:587", "[Relay.example.org]:587"}};
    log.observer.set_routes(routes);
    log(stalled);
    const auto wishes = log(deferred);
    REQUIRE(wishes.size() == 1);
    CHECK(wishes[0].place.next_hop == "[relay.example.org]:587");
    CHECK_FALSE(wishes[0].place.assumed);
    SUBCASE("and a verdict on it may be wanted") {
        Log other;
        CacheChange change;
        const VerdictWanted notice{"[relay.example.org]:587"};
        CHECK(other.observer.notice(notice, change, now).empty());
        other.observer.set_routes(routes);
        const auto wanted = other.observer.notice(notice, change, now);
        REQUIRE(wanted.size() == 1);
        CHECK(wanted[0].place.verbatim == "[Relay.example.org]:587");
        CHECK(wanted[0].reason == ProbeReason::verdict_wanted);
    }
    SUBCASE("the learned one comes first") {
        log.cache.routes["example.net"] = route("example.net", "[learned.example.org]");
        log(stalled);
        const auto again = log(deferred);
        REQUIRE(again.size() == 1);
        CHECK(again[0].place.next_hop == "[learned.example.org]");
    }
}

TEST_CASE("a domain whose known servers include the peer is no guess") {
    Log log;
    NextHopRecord known;
    known.next_hop = "example.net";
    known.endpoints = {server};
    log.cache.next_hops["example.net"] = known;
    log(stalled);
    const auto wishes = log(deferred);
    REQUIRE(wishes.size() == 1);
    CHECK_FALSE(wishes[0].place.assumed);
}

TEST_CASE("processes are not mixed up") {
    Log log;
    log(stalled, 11);
    log("SSL_connect error to other.example.org[192.0.2.9]:25: lost connection", 12);
    const auto wishes = log(deferred, 11);
    REQUIRE(wishes.size() == 1);
    CHECK(wishes[0].place.peer == server);
}

TEST_CASE("the next delivery of a process does not inherit the trouble of the last") {
    Log log;
    log(stalled);
    CHECK(log(deferred).size() == 1);
    SUBCASE("several recipients of one delivery") { CHECK(log(deferred).size() == 1); }
    SUBCASE("another message that goes well") {
        CHECK(log("AAAA2A7814D: to=<me@example.org>, relay=mx.example.org[192.0.2.7]:25, delay=1, "
                  "delays=0/0/1/0, dsn=2.0.0, status=sent (250 ok)")
                  .empty());
    }
}

TEST_CASE("trouble on the way to a sent message counts: another server took it, or clear text") {
    Log log;
    log(stalled);
    const auto wishes = log(sent);
    REQUIRE(wishes.size() == 1);
    CHECK(wishes[0].reason == ProbeReason::failure_seen);
    CHECK(wishes[0].place.peer == server);
}

TEST_CASE("a handshake that succeeds at the same server takes the trouble back") {
    Log log;
    log(stalled);
    log("Trusted TLS connection established to mail.example.net[192.0.2.1]:25: TLSv1.3 with cipher "
        "TLS_AES_256_GCM_SHA384 (256/256 bits)");
    CHECK(log(sent).empty());
}

TEST_CASE("mail that gets through to an ill next hop asks for an early probe") {
    Log log;
    CHECK(log(sent).empty());
    log.cache.next_hops["example.net"] = black_hole("example.net");
    const auto wishes = log(sent);
    REQUIRE(wishes.size() == 1);
    CHECK(wishes[0].reason == ProbeReason::recovered);
    CHECK(wishes[0].place.next_hop == "example.net");
}

TEST_CASE("a mailbox of our own, or a message without recipient, is no place to probe") {
    Log log;
    const auto line = parse_log_line(
        "Nov 23 01:11:21 mx postfix/smtp[1]: 45952A7814D: to=<you@example.net>, relay=none, "
        "delay=1, delays=0/0/1/0, dsn=5.4.4, status=bounced (unable to look up host: not found)");
    REQUIRE(line);
    CHECK(log.observer.line(*line).empty());
}

TEST_CASE("an outsider who names a domain cannot make us probe it") {
    Log log;
    CacheChange change;
    CHECK(log.observer.notice(VerdictWanted{"victim.example.com"}, change, now).empty());
    CHECK(log.observer.counters().not_ours == 1);

    SUBCASE("a relay in our log makes it ours, on condition that the peer is its server") {
        log(sent);
        const auto wishes = log.observer.notice(VerdictWanted{"example.net"}, change, now);
        REQUIRE(wishes.size() == 1);
        CHECK(wishes[0].reason == ProbeReason::verdict_wanted);
        CHECK(wishes[0].place.assumed);
        CHECK(wishes[0].place.peer == server);
    }
    SUBCASE("a next hop in the cache is ours") {
        log.cache.next_hops["[mail.example.org]"] = black_hole("[mail.example.org]");
        CHECK(log.observer.notice(VerdictWanted{"[mail.example.org]"}, change, now).size() == 1);
    }
    SUBCASE("a stored route makes it ours") {
        log.cache.routes["example.net"] = route("example.net", "example.net");
        CHECK(log.observer.notice(VerdictWanted{"example.net"}, change, now).size() == 1);
    }
    SUBCASE("a domain routed elsewhere is not its own next hop") {
        log.cache.routes["example.net"] = route("example.net", "[relay.example.org]");
        CHECK(log.observer.notice(VerdictWanted{"example.net"}, change, now).empty());
    }
    SUBCASE("garbage is nobody's") {
        CHECK(log.observer.notice(VerdictWanted{"[[[\x01"}, change, now).empty());
    }
}

TEST_CASE("a learned route is stored, and its next hop probed when nothing is known of it") {
    Log log;
    CacheChange change;
    auto learned = route("example.net", "[relay.example.org]:587");
    learned.learned_at = now + std::chrono::hours{10'000};  // the clock is ours, not the sender's
    const auto wishes = log.observer.notice(RouteLearned{learned}, change, now);
    REQUIRE(change.routes.size() == 1);
    CHECK(change.routes[0].next_hop == "[relay.example.org]:587");
    CHECK(change.routes[0].learned_at == now);
    REQUIRE(wishes.size() == 1);
    CHECK(wishes[0].place.next_hop == "[relay.example.org]:587");
    CHECK_FALSE(wishes[0].place.assumed);

    // From now on others may ask about it.
    CHECK(log.observer.notice(VerdictWanted{"[relay.example.org]:587"}, change, now).size() == 1);

    log.cache.next_hops["[relay.example.org]:587"] = black_hole("[relay.example.org]:587");
    CHECK(log.observer.notice(RouteLearned{learned}, change, now).empty());
}

TEST_CASE("a failure that policyd was asked about is probed at its endpoint") {
    Log log;
    CacheChange change;
    SUBCASE("without a next hop") {
        const auto wishes = log.observer.notice(FailureSeen{server, "", "handshake"}, change, now);
        REQUIRE(wishes.size() == 1);
        CHECK(wishes[0].place.key() == "mail.example.net[192.0.2.1]:25");
    }
    SUBCASE("the next hop known to use it") {
        EndpointRecord known;
        known.endpoint = server;
        known.next_hops = {"example.net"};
        log.cache.endpoints = {known};
        const auto wishes = log.observer.notice(FailureSeen{server, "", "handshake"}, change, now);
        REQUIRE(wishes.size() == 1);
        CHECK(wishes[0].place.next_hop == "example.net");
    }
    SUBCASE("a next hop that nobody knows, without an endpoint, is not believed") {
        CHECK(log.observer.notice(FailureSeen{{}, "victim.example.com", ""}, change, now).empty());
    }
}

TEST_CASE("memory is bounded whatever the log says") {
    Log log;
    for (unsigned i = 1; i <= 30'000; ++i) {
        log(stalled, i);
        log("45952A7814D: to=<you@d" + std::to_string(i) +
                ".example.net>, relay=mail.example.net[192.0.2.1]:25, delay=0.1, "
                "delays=0/0/0/0, dsn=2.0.0, status=sent (250 ok)",
            i);
    }
    CHECK(log.observer.counters().processes <= Observer::max_processes);
    CHECK(log.observer.counters().places <= Observer::max_places);
}

TEST_CASE("one delivery names at most as many servers as Postfix tries") {
    Log log;
    for (int i = 1; i < 100; ++i)
        log("connect to mx" + std::to_string(i) + ".example.net[192.0.2." + std::to_string(i) +
            "]:25: Connection timed out");
    CHECK(log(deferred).size() == Observer::max_peers);
}

TEST_CASE("places seen last are kept, and a guess does not replace knowledge") {
    SeenPlaces places(2);
    const auto place = [](const std::string& name, bool assumed) {
        ProbePlace result;
        result.next_hop = name;
        result.assumed = assumed;
        return result;
    };
    places.note(place("a.example", false));
    places.note(place("b.example", true));
    places.note(place("a.example", true));
    places.note(place("c.example", true));
    CHECK(places.size() == 2);
    CHECK_FALSE(places.find("b.example"));
    REQUIRE(places.find("a.example"));
    CHECK_FALSE(places.find("a.example")->assumed);
}

TEST_CASE("a fault of our own side aims no probe at the server") {
    for (const std::string reason :
         {"relay=none, delay=1, delays=1/0/0/0, dsn=4.7.5, status=deferred (client TLS "
          "configuration problem)",
          "relay=none, delay=1, delays=1/0/0/0, dsn=4.3.0, status=deferred (delivery temporarily "
          "suspended: client TLS configuration problem)",
          "relay=mail.example.net[192.0.2.1]:25, delay=1, delays=1/0/0/0, dsn=4.3.0, "
          "status=deferred (local data error while talking to mail.example.net[192.0.2.1])",
          "relay=none, delay=1, delays=1/0/0/0, dsn=4.3.0, status=deferred (mail transport "
          "unavailable)"}) {
        CAPTURE(reason);
        Log log;
        log.cache.routes["example.net"] = route("example.net", "[mail.example.net]");
        CHECK(log("45952A7814D: to=<you@example.net>, " + reason).empty());
        // The server's own fault, of the next delivery, does.
        CHECK(log(stalled).empty());
        CHECK(log(deferred).size() == 1);
    }
    for (const std::string text :
         {"warning: TLS policy lookup for example.net/mail.example.net: client TLS configuration "
          "problem",
          "warning: smtp_tls_policy_maps, next-hop destination \"example.net\": policy table "
          "lookup error",
          "warning: table socketmap:unix:run/x.sock:tls lookup error: unexpected disconnect"}) {
        CAPTURE(text);
        CHECK_FALSE(parse_log_line("Nov 23 01:11:21 mx postfix/smtp[3910]: " + text));
    }
}
