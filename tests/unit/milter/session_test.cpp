// SPDX-License-Identifier: Apache-2.0
#include "milter/session.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <map>
#include <stdexcept>
#include <thread>
#include <vector>

#include "lib/diagnosis/header.hpp"

using namespace postfathom;
using namespace std::chrono_literals;

namespace {

const WallTime now{std::chrono::milliseconds{1'800'000'000'000}};

class FakeCache : public CacheReader {
  public:
    std::map<std::string, NextHopRecord, std::less<>> next_hops;
    std::map<std::string, RouteRecord, std::less<>> routes;
    mutable std::atomic<int> lookups{0};

    std::optional<NextHopRecord> next_hop(std::string_view canonical) const override {
        ++lookups;
        const auto found = next_hops.find(canonical);
        return found == next_hops.end() ? std::nullopt : std::optional(found->second);
    }
    std::vector<EndpointRecord> endpoints_at(const IpAddress&) const override { return {}; }
    std::vector<PathRecord> paths(const IpAddress&) const override { return {}; }
    std::optional<RouteRecord> route(std::string_view domain) const override {
        const auto found = routes.find(domain);
        return found == routes.end() ? std::nullopt : std::optional(found->second);
    }
    std::optional<std::string> report(std::string_view) const override { return std::nullopt; }
    void for_each_next_hop(std::string_view,
                           const std::function<bool(const NextHopRecord&)>&) const override {}
    Counters counters() const override { return {}; }

    void add_ill(const std::string& canonical) {
        NextHopRecord record;
        record.next_hop = canonical;
        record.verdict = {.id = DiagnosisId::pmtu_black_hole,
                          .severity = Severity::critical,
                          .direction = Direction::inbound,
                          .path_mtu = PathMtu{1400},
                          .path_mtu_exact = true,
                          .usable_mss = Mss{1360},
                          .since = now - 1h,
                          .measured_at = now};
        next_hops[canonical] = record;
    }
};

struct Rig {
    Settings settings;
    FakeCache cache;
    std::vector<Notice> sent;
    MilterService service{settings, "relay.example.net", cache,
                          [this](const Notice& notice) {
                              sent.push_back(notice);
                              return true;
                          },
                          [] { return now; }};
    MilterSession session{service};

    Rig() { session.agreement = {true, true, false, false}; }
    std::vector<RouteRecord> learned() const {
        std::vector<RouteRecord> routes;
        for (const auto& notice : sent)
            if (const auto* route = std::get_if<RouteLearned>(&notice))
                routes.push_back(route->route);
        return routes;
    }
};

}  // namespace

TEST_CASE("a message to an ill next hop gets its header, the next one on the connection does not") {
    Rig rig;
    rig.cache.add_ill("example.org");
    rig.session.recipient({"smtp", "Example.org", "you@example.org"});
    rig.session.header("X-Postfathom-Diagnosis");
    const auto first = rig.session.end_of_message();
    CHECK(first.remove == 1);
    REQUIRE(first.insert.size() == 1);
    CHECK(host_token_of(first.insert[0]) == "relay.example.net");

    rig.session.recipient({"smtp", "example.net", "you@example.net"});
    const auto second = rig.session.end_of_message();
    CHECK(second.remove == 0);
    CHECK(second.insert.empty());
}

TEST_CASE("an aborted message leaves nothing behind for the next") {
    Rig rig;
    rig.cache.add_ill("example.org");
    rig.session.recipient({"smtp", "example.org", "you@example.org"});
    rig.session.header("X-Postfathom-Diagnosis");
    rig.session.reset();
    rig.session.reset();
    const auto actions = rig.session.end_of_message();
    CHECK(actions.remove == 0);
    CHECK(actions.insert.empty());
}

TEST_CASE("many recipients behind one next hop cost one lookup and one header") {
    Rig rig;
    rig.cache.add_ill("[mx.example.net]");
    for (int i = 0; i < 100; ++i)
        rig.session.recipient({"relay", "[mx.example.net]", "you@example.org"});
    CHECK(rig.cache.lookups == 1);
    CHECK(rig.session.end_of_message().insert.size() == 1);
}

TEST_CASE("what Postfix did not offer is not asked of it") {
    Rig rig;
    rig.cache.add_ill("example.org");
    rig.session.agreement.add_headers = false;
    rig.session.recipient({"smtp", "example.org", "you@example.org"});
    rig.session.header("X-Postfathom-Diagnosis");
    auto actions = rig.session.end_of_message();
    CHECK(actions.insert.empty());
    CHECK(actions.remove == 1);

    rig.session.agreement = {false, true, false, false};
    rig.session.recipient({"smtp", "example.org", "you@example.org"});
    rig.session.header("X-Postfathom-Diagnosis");
    actions = rig.session.end_of_message();
    CHECK(actions.insert.size() == 1);
    CHECK(actions.remove == 0);
}

TEST_CASE("a new route is sent once, a known one not at all") {
    Rig rig;
    for (int i = 0; i < 5; ++i)
        rig.session.recipient({"relay", "[MX.example.net]:2525", "you@Example.org"});
    REQUIRE(rig.learned().size() == 1);
    CHECK(rig.learned()[0] == RouteRecord{.domain = "example.org",
                                          .next_hop = "[mx.example.net]:2525",
                                          .verbatim = "[MX.example.net]:2525",
                                          .transport = "relay",
                                          .learned_at = now});

    Rig knowing;
    knowing.cache.routes["example.org"] = rig.learned()[0];
    knowing.session.recipient({"relay", "[MX.example.net]:2525", "you@example.org"});
    CHECK(knowing.learned().empty());
    // Another spelling matters: it is the key of smtp_tls_policy_maps.
    knowing.session.recipient({"relay", "[mx.example.net]:2525", "you@example.org"});
    CHECK(knowing.learned().size() == 1);
}

TEST_CASE("a next hop without a fresh verdict is asked for once") {
    Rig rig;
    rig.cache.add_ill("well-known.example.org");
    for (int i = 0; i < 3; ++i) {
        rig.session.recipient(
            {"smtp", "unknown.example.org well-known.example.org", "you@example.org"});
        rig.session.reset();
    }
    std::vector<std::string> wanted;
    for (const auto& notice : rig.sent)
        if (const auto* verdict = std::get_if<VerdictWanted>(&notice))
            wanted.push_back(verdict->next_hop);
    CHECK(wanted == std::vector<std::string>{"unknown.example.org"});
}

TEST_CASE("local mail and rejected recipients teach nothing") {
    Rig rig;
    rig.session.recipient({"local", "example.org", "you@example.org"});
    rig.session.recipient({"error", "5.7.1", "Relay access denied"});
    rig.session.recipient({"", "", "you@example.org"});
    CHECK(rig.sent.empty());
    CHECK(rig.cache.lookups == 0);
}

TEST_CASE("sessions in many threads share one service") {
    FakeCache cache;
    cache.add_ill("example.org");
    std::atomic<int> sent{0};
    Settings settings;
    MilterService service(settings, "relay.example.net", cache, [&](const Notice&) {
        ++sent;
        return true;
    });
    std::atomic<int> tagged{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 8; ++t)
        threads.emplace_back([&] {
            MilterSession session(service);
            session.agreement = {true, true, false, false};
            for (int i = 0; i < 200; ++i) {
                const auto domain = "d" + std::to_string(i) + ".example.org";
                session.recipient({"smtp", "example.org", "you@" + domain});
                session.header("X-Postfathom-Diagnosis");
                // Ill by an old clock is expired by the real one: only the removal is counted.
                if (session.end_of_message().remove == 1) ++tagged;
            }
        });
    for (auto& thread : threads) thread.join();
    CHECK(tagged == 8 * 200);
    CHECK(sent > 0);
    CHECK(sent <= 201);  // 200 routes and one verdict that is wanted
}

TEST_CASE("observe and warn leave messages as they are and name what is ill") {
    for (const auto mode : {PolicyMode::observe, PolicyMode::warn}) {
        Rig rig;
        rig.settings.milter.mode = mode;
        rig.service.reload(rig.settings, "relay.example.net");
        MilterSession session(rig.service);
        session.agreement = {true, true, false, false};
        rig.cache.add_ill("example.org");
        const auto message = [&] {
            CHECK_FALSE(session.recipient({"smtp", "example.org", "you@example.org"}));
            return session.say_findings();
        };
        const auto lines = message();
        REQUIRE(lines.size() == 1);
        CHECK(lines[0].starts_with("example.org: pmtu-black-hole"));
        // A line for each message, or one in an hour.
        CHECK(message().size() == (mode == PolicyMode::warn ? 1 : 0));
        session.recipient({"smtp", "example.org", "you@example.org"});
        session.header("X-Postfathom-Diagnosis");
        const auto actions = session.end_of_message();
        CHECK(actions.remove == 0);
        CHECK(actions.insert.empty());
    }
}

TEST_CASE("a recipient waits only where mode, diagnosis and each next hop say so") {
    struct Row {
        const char* what;
        PolicyMode mode;
        DiagnosisId named;
        std::vector<std::string> next_hops;
        const char* mailer;
        const char* host;
        bool reply;
        bool refused;
    };
    using enum DiagnosisId;
    const std::vector<Row> rows{{"all of it",
                                 PolicyMode::defer,
                                 pmtu_black_hole,
                                 {"ill.example.org"},
                                 "smtp",
                                 "ILL.example.org",
                                 true,
                                 true},
                                {"mode tag",
                                 PolicyMode::tag,
                                 pmtu_black_hole,
                                 {"ill.example.org"},
                                 "smtp",
                                 "ill.example.org",
                                 true,
                                 false},
                                {"mode warn",
                                 PolicyMode::warn,
                                 pmtu_black_hole,
                                 {"ill.example.org"},
                                 "smtp",
                                 "ill.example.org",
                                 true,
                                 false},
                                {"another diagnosis",
                                 PolicyMode::defer,
                                 peer_stall,
                                 {"ill.example.org"},
                                 "smtp",
                                 "ill.example.org",
                                 true,
                                 false},
                                {"another next hop",
                                 PolicyMode::defer,
                                 pmtu_black_hole,
                                 {"example.com"},
                                 "smtp",
                                 "ill.example.org",
                                 true,
                                 false},
                                {"not ill",
                                 PolicyMode::defer,
                                 pmtu_black_hole,
                                 {"well.example.org"},
                                 "smtp",
                                 "well.example.org",
                                 true,
                                 false},
                                {"one of two",
                                 PolicyMode::defer,
                                 pmtu_black_hole,
                                 {"ill.example.org"},
                                 "smtp",
                                 "ill.example.org, well.example.org",
                                 true,
                                 false},
                                {"both",
                                 PolicyMode::defer,
                                 pmtu_black_hole,
                                 {"ill.example.org", "[ill.example.net]:587"},
                                 "relay",
                                 "ill.example.org [Ill.example.net]:587",
                                 true,
                                 true},
                                {"not by SMTP",
                                 PolicyMode::defer,
                                 pmtu_black_hole,
                                 {"ill.example.org"},
                                 "",
                                 "",
                                 true,
                                 false},
                                {"error mailer",
                                 PolicyMode::defer,
                                 pmtu_black_hole,
                                 {"ill.example.org"},
                                 "error",
                                 "5.7.1",
                                 true,
                                 false},
                                {"Postfix waits for no reply",
                                 PolicyMode::defer,
                                 pmtu_black_hole,
                                 {"ill.example.org"},
                                 "smtp",
                                 "ill.example.org",
                                 false,
                                 false}};
    for (const auto& row : rows) {
        CAPTURE(row.what);
        Rig rig;
        rig.settings.milter.mode = row.mode;
        rig.settings.defer.diagnoses = {row.named};
        rig.settings.defer.next_hops = row.next_hops;
        rig.service.reload(rig.settings, "relay.example.net");
        rig.cache.add_ill("ill.example.org");
        rig.cache.add_ill("[ill.example.net]:587");
        MilterSession session(rig.service);
        session.agreement = {true, true, row.reply, false};
        const auto refusal = session.recipient({row.mailer, row.host, "you@Example.org"});
        REQUIRE(refusal.has_value() == row.refused);
        if (!refusal) continue;
        CHECK(refusal->status == "4.4.2");
        CHECK(refusal->text ==
              "mail for example.org has to wait (path: pmtu-black-hole inbound, path MTU 1400, "
              "MSS 1360 works)");
        // The message goes on without that recipient, and says nothing of its next hop.
        CHECK(session.end_of_message().insert.empty());
    }
}

TEST_CASE("a next hop that one recipient waits for is told for another") {
    Rig rig;
    rig.settings.milter.mode = PolicyMode::defer;
    rig.settings.defer.diagnoses = {DiagnosisId::pmtu_black_hole};
    rig.settings.defer.next_hops = {"ill.example.org"};
    rig.service.reload(rig.settings, "relay.example.net");
    rig.cache.add_ill("ill.example.org");
    MilterSession session(rig.service);
    session.agreement = {true, true, true, false};
    CHECK(session.recipient({"smtp", "ill.example.org", "a@example.org"}));
    CHECK_FALSE(session.recipient({"smtp", "ill.example.org well.example.org", "b@example.com"}));
    CHECK(session.end_of_message().insert.size() == 1);
    CHECK(rig.cache.lookups == 2);
}

TEST_CASE("mail that was not brought by SMTP is tagged by the way that is known") {
    Rig rig;
    rig.cache.add_ill("[mx.example.net]");
    rig.cache.add_ill("backup.example.net");
    rig.cache.routes["example.org"] = RouteRecord{.domain = "example.org",
                                                  .next_hop = "[mx.example.net]",
                                                  .verbatim = "[MX.example.net]:25",
                                                  .transport = "relay",
                                                  .learned_at = now};
    rig.settings.routes = {{".example.com", "backup.example.net", "backup.example.net"}};
    rig.service.reload(rig.settings, "relay.example.net");
    const auto tags = [&](std::string_view recipient) {
        MilterSession session(rig.service);
        session.agreement = {true, true, false, false};
        session.client(
            {.address = "127.0.0.1", .tls_version = "", .cipher = "", .cipher_bits = ""});
        session.recipient({"", "", recipient});
        return session.end_of_message().insert.size();
    };
    CHECK(tags("you@Example.org") == 1);
    CHECK(tags("you@a.example.com") == 1);
    CHECK(tags("you@unknown.example.net") == 0);
    CHECK(tags("root") == 0);
    CHECK(tags("") == 0);
    CHECK(rig.learned().empty());
    rig.service.tell_clients();
    CHECK(rig.sent.empty());
}

TEST_CASE("a session keeps its settings, and the next one has the new") {
    Rig rig;
    rig.cache.add_ill("example.org");
    rig.session.recipient({"smtp", "example.org", "you@example.org"});
    rig.settings.milter.mode = PolicyMode::observe;
    rig.service.reload(rig.settings, "other.example.net");
    CHECK(rig.session.end_of_message().insert.size() == 1);
    rig.session.recipient({"smtp", "example.org", "you@example.org"});
    CHECK(host_token_of(rig.session.end_of_message().insert.at(0)) == "relay.example.net");
    const MilterSession later(rig.service);
    CHECK(later.terms().mode == PolicyMode::observe);
    CHECK(later.terms().host_token == "other.example.net");
}

TEST_CASE("a client is counted once a connection, again after STARTTLS, and told by network") {
    Rig rig;
    const auto session_of = [&](std::string_view address, std::string_view version) {
        MilterSession session(rig.service);
        for (int i = 0; i < 3; ++i)
            session.client({.address = address,
                            .tls_version = version,
                            .cipher = version.empty() ? "" : "TLS_AES_256_GCM_SHA384",
                            .cipher_bits = version.empty() ? "" : "256"});
    };
    session_of("192.0.2.1", "TLSv1.3");
    session_of("192.0.2.200", "");
    session_of("IPv6:2001:db8:1::25", "TLSv1.2");
    session_of("unknown", "TLSv1.3");
    session_of("", "");
    session_of("127.0.0.1", "");
    session_of("IPv6:::1", "");
    rig.session.client(
        {.address = "192.0.2.3", .tls_version = "", .cipher = "", .cipher_bits = ""});
    rig.session.client({.address = "192.0.2.3",
                        .tls_version = "TLSv1.2",
                        .cipher = "ECDHE-RSA-AES128-GCM-SHA256",
                        .cipher_bits = "128"});
    CHECK(rig.sent.empty());
    rig.service.tell_clients();
    REQUIRE(rig.sent.size() == 2);
    std::map<std::string, ClientSeen> told;
    for (const auto& notice : rig.sent) {
        const auto& seen = std::get<ClientsSeen>(notice).seen;
        told[client_network(seen.network)] = seen;
    }
    CHECK(told.at("192.0.2.0/24").counts == ClientCounts{2, 2, 0, 0});
    CHECK(told.at("192.0.2.0/24").tls == ClientTls{"TLSv1.2", "ECDHE-RSA-AES128-GCM-SHA256", 128});
    CHECK(told.at("2001:db8:1::/48").counts == ClientCounts{1, 0, 0, 0});
    rig.service.tell_clients();
    CHECK(rig.sent.size() == 2);
}

TEST_CASE("how long answers took is told every ten seconds") {
    Rig rig;
    rig.service.times.add(std::chrono::microseconds{30});
    const std::chrono::steady_clock::time_point start{};
    rig.service.tell_times(start);
    rig.service.tell_times(start + std::chrono::seconds{9});
    REQUIRE(rig.sent.size() == 1);
    CHECK(std::get<HookTimes>(rig.sent.front()).microseconds == 30);
    rig.service.tell_times(start + std::chrono::seconds{10});
    CHECK(rig.sent.size() == 2);
}

TEST_CASE("clients that the prober does not take are told later") {
    FakeCache cache;
    bool there = false;
    std::vector<Notice> sent;
    MilterService service(Settings{}, "relay.example.net", cache, [&](const Notice& notice) {
        if (there) sent.push_back(notice);
        return there;
    });
    for (int i = 0; i < 250; ++i)
        service.count_client(
            {network_of(*IpAddress::parse("10.0." + std::to_string(i) + ".1")), {0, 1, 0, 0}});
    service.tell_clients();
    CHECK(sent.empty());
    there = true;
    service.tell_clients();
    CHECK(sent.size() == 100);  // the prober's socket holds a few hundred
    service.tell_clients();
    service.tell_clients();
    CHECK(sent.size() == 250);
}
