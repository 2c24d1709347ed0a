// SPDX-License-Identifier: Apache-2.0
#include "probes/remember.hpp"

#include <doctest/doctest.h>

#include "tests/unit/probed/memory_cache.hpp"
#include "tests/unit/probed/reports.hpp"

using namespace postfathom;
using namespace std::chrono_literals;

namespace {

const WallTime now{std::chrono::hours{500'000}};

// Probes of one place, one after the other, on the same cache.
struct Story {
    Remembered probe(const Diagnosis& diagnosis) {
        auto remembered = remember(test_report("example.net", diagnosis), test_place("example.net"),
                                   cache, time, limits);
        REQUIRE(cache.store(remembered.change));
        time += 10min;
        return remembered;
    }
    MemoryCache cache;
    AgeLimits limits;
    WallTime time = now;
};

}  // namespace

TEST_CASE("a place that falls ill is one line in the log, destination first, once") {
    Story story;
    CHECK(story.probe(test_healthy()).line.empty());
    const auto ill = story.probe(test_black_hole());
    CHECK(ill.line ==
          "example.net: pmtu-black-hole inbound, path MTU 1400, MSS 1360 works (was healthy); mail "
          "to it is deferred until the path is mended");
    CHECK(ill.level == log::Level::warning);
    CHECK(ill.changed);
    const auto again = story.probe(test_black_hole());
    CHECK_FALSE(again.changed);
    CHECK(again.line.empty());
    // Since when, not when last confirmed.
    CHECK(again.verdict.since == now + 10min);
    CHECK(again.verdict.measured_at == now + 20min);
    const auto mended = story.probe(test_healthy());
    CHECK(mended.line ==
          "example.net: healthy (was pmtu-black-hole inbound, path MTU 1400, MSS 1360 works); mail "
          "to it flows");
    CHECK(mended.level == log::Level::info);
}

TEST_CASE("which changes are worth a line") {
    auto smaller = test_black_hole();
    smaller.path_mtu = PathMtu{1300};
    auto other_direction = test_black_hole();
    other_direction.direction = Direction::both;
    const auto notice = test_diagnosis(DiagnosisId::certificate_self_signed, Severity::notice);
    const auto unknown = test_diagnosis(DiagnosisId::inconclusive, Severity::unknown);
    struct Row {
        std::optional<Diagnosis> before;
        Diagnosis found;
        bool changed;
        bool line;
    };
    const std::vector<Row> rows{
        {{}, test_healthy(), true, false},
        {{}, test_black_hole(), true, true},
        {{}, unknown, true, true},
        {test_healthy(), test_healthy(), false, false},
        {test_healthy(), notice, true, false},
        {test_healthy(), unknown, false, false},     // does not erase what is known
        {test_black_hole(), unknown, false, false},  // likewise
        {unknown, unknown, false, false},
        {unknown, test_healthy(), true, false},
        {test_black_hole(), smaller, true, true},
        {test_black_hole(), other_direction, true, true},
        {test_black_hole(), test_healthy(), true, true},
    };
    for (std::size_t i = 0; i < rows.size(); ++i) {
        CAPTURE(i);
        Story story;
        if (rows[i].before) story.probe(*rows[i].before);
        const auto remembered = story.probe(rows[i].found);
        CHECK(remembered.changed == rows[i].changed);
        CHECK(remembered.line.empty() != rows[i].line);
    }
}

TEST_CASE("everything a report tells goes into one change") {
    MemoryCache cache;
    const auto remembered = remember(test_report("example.net", test_black_hole()),
                                     test_place("example.net"), cache, now, {});
    REQUIRE(remembered.change.next_hops.size() == 1);
    CHECK(remembered.change.next_hops[0].next_hop == "example.net");
    CHECK(remembered.change.next_hops[0].endpoints == std::vector{test_endpoint()});
    REQUIRE(remembered.change.endpoints.size() == 1);
    CHECK(remembered.change.endpoints[0].verdict.id == DiagnosisId::pmtu_black_hole);
    CHECK(remembered.change.endpoints[0].next_hops == std::vector<std::string>{"example.net"});
    REQUIRE(remembered.change.paths.size() == 1);
    CHECK(remembered.change.paths[0].inbound == PathMtu{1400});
    CHECK(remembered.change.paths[0].inbound_exact);
    CHECK_FALSE(remembered.change.paths[0].outbound);  // not measured: unknown
    REQUIRE(remembered.change.reports.size() == 1);
    CHECK(remembered.change.reports[0].json.find("pmtu-black-hole") != std::string::npos);
}

TEST_CASE("a path that was not measured leaves what is known of it alone") {
    MemoryCache cache;
    const auto remembered = remember(
        test_report("example.net", test_diagnosis(DiagnosisId::refused, Severity::critical)),
        test_place("example.net"), cache, now, {});
    CHECK(remembered.change.paths.empty());
}

TEST_CASE("an endpoint remembers whose mail goes there, the latest sixteen") {
    MemoryCache cache;
    for (int i = 0; i < 20; ++i) {
        const auto name = "d" + std::to_string(i) + ".example";
        REQUIRE(cache.store(
            remember(test_report(name, test_healthy()), test_place(name), cache, now, {}).change));
    }
    REQUIRE(cache.endpoints.size() == 1);
    const auto& names = cache.endpoints[0].next_hops;
    CHECK(names.size() == max_next_hops_of_endpoint);
    CHECK(names.front() == "d4.example");
    CHECK(names.back() == "d19.example");
}

TEST_CASE("another name at the same address has its own verdict") {
    MemoryCache cache;
    REQUIRE(cache.store(remember(test_report("example.net", test_black_hole()),
                                 test_place("example.net"), cache, now, {})
                            .change));
    const auto other = test_endpoint("192.0.2.1", "mail.example.com");
    const auto unknown = test_diagnosis(DiagnosisId::inconclusive, Severity::unknown);
    const auto remembered = remember(test_report("example.com", unknown, other),
                                     test_place("example.com"), cache, now, {});
    REQUIRE(remembered.change.endpoints.size() == 1);
    CHECK(remembered.change.endpoints[0].verdict.id == DiagnosisId::inconclusive);
}

TEST_CASE("a probe of one endpoint changes no next hop but that of its address") {
    MemoryCache cache;
    ProbePlace only;
    only.peer = test_endpoint();
    const auto remembered =
        remember(test_report("[192.0.2.1]", test_black_hole()), only, cache, now, {});
    REQUIRE(remembered.change.next_hops.size() == 1);
    CHECK(remembered.change.next_hops[0].next_hop == "[192.0.2.1]");
    CHECK(remembered.change.next_hops[0].verdict == remembered.verdict);
    REQUIRE(remembered.change.reports.size() == 1);
    CHECK(remembered.change.reports[0].next_hop == "[192.0.2.1]");
    const auto named =
        remember(test_report("example.net", test_black_hole()), only, cache, now, {});
    CHECK(named.change.next_hops.empty());
    REQUIRE(remembered.change.endpoints.size() == 1);
    CHECK(remembered.change.endpoints[0].next_hops.empty());
    CHECK(remembered.line.starts_with("mail.example.net[192.0.2.1]:25: pmtu-black-hole inbound"));
}

TEST_CASE("a name that cannot be resolved for once does not make us forget its servers") {
    Story story;
    story.probe(test_healthy());
    Report report;
    report.destination = "example.net";
    report.diagnosis = test_diagnosis(DiagnosisId::name_error, Severity::critical);
    const auto remembered =
        remember(report, test_place("example.net"), story.cache, story.time, story.limits);
    REQUIRE(remembered.change.next_hops.size() == 1);
    CHECK(remembered.change.next_hops[0].endpoints == std::vector{test_endpoint()});
}

TEST_CASE("where TLS is optional, the danger of clear text is spelled out") {
    KnownVerdict verdict;
    verdict.id = DiagnosisId::pmtu_black_hole;
    verdict.severity = Severity::critical;
    CHECK(consequence(verdict, TlsLevel::may).find("clear text") != std::string::npos);
    CHECK(consequence(verdict, TlsLevel::encrypt).find("clear text") == std::string::npos);
}

TEST_CASE("every verdict has a consequence, and none advises weaker TLS") {
    for (const auto id : all_diagnosis_ids())
        for (const auto severity : {Severity::ok, Severity::notice, Severity::unknown,
                                    Severity::warning, Severity::critical})
            for (const auto floor : {TlsLevel::may, TlsLevel::encrypt, TlsLevel::dane}) {
                KnownVerdict verdict;
                verdict.id = id;
                verdict.severity = severity;
                const auto text = consequence(verdict, floor);
                CAPTURE(to_string(id));
                CHECK_FALSE(text.empty());
                CHECK(text.find("none") == std::string::npos);
                CHECK(text.find("disable") == std::string::npos);
            }
}

TEST_CASE("a failure after fresh good news is one line as a suspicion, and one as a verdict") {
    Story story;
    story.probe(test_healthy());
    const auto silent = test_diagnosis(DiagnosisId::greeting_timeout, Severity::critical);
    const auto first = story.probe(silent);
    CHECK(first.newly_suspected);
    CHECK(
        first.line ==
        "example.net: greeting-timeout once, still taken for healthy until a second probe agrees");
    CHECK(first.level == log::Level::info);
    CHECK(story.cache.endpoints[0].verdict.id == DiagnosisId::healthy);
    CHECK(story.cache.endpoints[0].history.back().id == DiagnosisId::greeting_timeout);
    const auto second = story.probe(silent);
    CHECK_FALSE(second.newly_suspected);
    CHECK(second.line.starts_with("example.net: greeting-timeout (was healthy)"));
    CHECK(story.cache.endpoints[0].verdict.id == DiagnosisId::greeting_timeout);
}

TEST_CASE("a path that varies is called so in the verdict, the log line and the records") {
    Story story;
    auto wide = test_healthy();
    wide.path_mtu = PathMtu{1500};
    story.probe(test_black_hole());
    CHECK_FALSE(story.probe(wide).verdict.varies);  // mended
    const auto back = story.probe(test_black_hole());
    REQUIRE(back.verdict.varies);
    CHECK(*back.verdict.varies == SizeRange{PathMtu{1400}, PathMtu{1500}});
    CHECK(
        back.line.starts_with("example.net: pmtu-black-hole inbound, path MTU 1400, MSS 1360 "
                              "works, varies between 1400 and 1500 (was healthy"));
    REQUIRE(story.cache.path_records.size() == 1);
    CHECK(story.cache.path_records[0].history.size() == 3);
    const auto again = story.probe(wide);
    CHECK(again.verdict.varies);
    CHECK(again.verdict.comes_and_goes);
}

TEST_CASE("two sources with different sizes are two paths, and the endpoint varies") {
    MemoryCache cache;
    auto other = test_report("example.net", test_healthy());
    other.endpoints[0].evidence.vantage.source = *IpAddress::parse("192.0.2.201");
    other.endpoints[0].evidence.inbound.path_mtu = PathMtu{1500};
    REQUIRE(cache.store(remember(test_report("example.net", test_black_hole()),
                                 test_place("example.net"), cache, now, {})
                            .change));
    const auto second = remember(other, test_place("example.net"), cache, now + 1min, {});
    REQUIRE(cache.store(second.change));
    CHECK(cache.path_records.size() == 2);
    CHECK(second.verdict.varies == SizeRange{PathMtu{1400}, PathMtu{1500}});
    CHECK(brief(second.verdict) == "healthy, varies between 1400 and 1500");
}

TEST_CASE("the bounds of a search are remembered per direction, and joined over rounds") {
    MemoryCache cache;
    auto report = test_report("example.net", test_black_hole());
    auto& evidence = report.endpoints[0].evidence;
    evidence.inbound = {PathMtu{1280}, false, PathMtu{1420}};
    evidence.outbound = {PathMtu{1400}, false, PathMtu{1500}};
    REQUIRE(cache.store(remember(report, test_place("example.net"), cache, now, {}).change));
    evidence.inbound = {PathMtu{1372}, false, PathMtu{1500}};
    evidence.outbound = {};
    REQUIRE(
        cache.store(remember(report, test_place("example.net"), cache, now + 10min, {}).change));
    REQUIRE(cache.path_records.size() == 1);
    const auto& path = cache.path_records[0];
    CHECK(path.inbound == PathMtu{1372});
    CHECK(path.inbound_fails == PathMtu{1420});
    CHECK(path.outbound == PathMtu{1400});
    CHECK(path.outbound_fails == PathMtu{1500});
}

TEST_CASE("how long the resolver vouches for the addresses is remembered") {
    MemoryCache cache;
    auto report = test_report("example.net", test_healthy());
    report.addresses_expire = now + 5min;
    const auto remembered = remember(report, test_place("example.net"), cache, now, {});
    CHECK(remembered.change.next_hops[0].addresses_expire == now + 5min);
}

TEST_CASE("an endpoint remembers when it last offered STARTTLS, under the same name") {
    Story story;
    auto report = test_report("example.net", test_healthy());
    const auto seen = [&] {
        const auto remembered =
            remember(report, test_place("example.net"), story.cache, story.time, story.limits);
        REQUIRE(story.cache.store(remembered.change));
        story.time += 10min;
        return remembered.change.endpoints.front().starttls_seen;
    };
    CHECK_FALSE(seen());
    report.endpoints.front().evidence.starttls_offered = true;
    CHECK(seen() == now + 10min);
    report.endpoints.front().evidence.starttls_offered = false;
    CHECK(seen() == now + 10min);
    report.endpoints.front().evidence.endpoint.name = "other.example.net";
    CHECK_FALSE(seen());
}

TEST_CASE("mailboxes are not spoken of as mail that waits") {
    Story story;
    auto report = test_report("[mail.example.net]:993", test_black_hole());
    report.endpoints.front().evidence.endpoint.port = 993;
    report.endpoints.front().evidence.endpoint.service = Service::imaps;
    const auto ill =
        remember(report, test_place("[mail.example.net]:993"), story.cache, now, story.limits);
    CHECK(ill.line.find("mail clients meet it too") != std::string::npos);
    CHECK(ill.line.find("deferred") == std::string::npos);
}

TEST_CASE("a size that this host's own route ends is no limit of the path") {
    MemoryCache cache;
    auto report = test_report("example.net", test_black_hole());
    auto& evidence = report.endpoints[0].evidence;
    const auto stored = [&](std::uint32_t own, bool learned) {
        evidence.vantage.route_mtu = PathMtu{own};
        evidence.vantage.route_mtu_learned = learned;
        evidence.outbound = {PathMtu{own}, true, {}};
        const auto remembered = remember(report, test_place("example.net"), cache, now, {});
        REQUIRE(remembered.change.paths.size() == 1);
        cache.path_records = remembered.change.paths;
        CHECK_FALSE(remembered.verdict.varies);
        return remembered.change.paths[0];
    };
    // A route with a smaller MTU that is put in, changed and taken out again.
    for (const std::uint32_t own : {1500U, 1400U, 1450U, 1500U}) {
        CAPTURE(own);
        CHECK_FALSE(stored(own, false).outbound_exact);
    }
    // What a router told is the path's.
    cache.path_records.clear();
    CHECK(stored(1400, true).outbound_exact);
}
