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
