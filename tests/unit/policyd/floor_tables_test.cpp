// SPDX-License-Identifier: Apache-2.0
#include "policyd/floor_tables.hpp"

#include <doctest/doctest.h>

#include <array>

#include "lib/diagnosis/clear_text_guard.hpp"
#include "tests/unit/probed/memory_cache.hpp"

using namespace postfathom;
using namespace std::chrono_literals;

namespace {

const WallTime now{std::chrono::sys_days{std::chrono::year{2026} / 11 / 23} + 5h};
const Endpoint server{*IpAddress::parse("192.0.2.1"), 25, Service::smtp, "mail.example.org"};
const Endpoint second{*IpAddress::parse("192.0.2.2"), 25, Service::smtp, "mail2.example.org"};

constexpr std::array levels{TlsLevel::none,        TlsLevel::may,       TlsLevel::encrypt,
                            TlsLevel::fingerprint, TlsLevel::half_dane, TlsLevel::dane,
                            TlsLevel::dane_only,   TlsLevel::verify,    TlsLevel::secure};

KnownVerdict verdict_of(DiagnosisId id, Severity severity, std::chrono::seconds age = 60s) {
    KnownVerdict verdict;
    verdict.id = id;
    verdict.severity = severity;
    verdict.since = verdict.measured_at = now - age;
    return verdict;
}

const auto hole = verdict_of(DiagnosisId::pmtu_black_hole, Severity::critical);

PastVerdict past(DiagnosisId id) { return {now - 48h, now - 24h, {}, id, false}; }

MemoryCache cache_with(const std::string& next_hop, const KnownVerdict& verdict,
                       const std::vector<PastVerdict>& history) {
    MemoryCache cache;
    cache.next_hops[next_hop] = {next_hop, verdict, {server}, {}};
    cache.next_hops[next_hop].tls_floor = TlsLevel::may;
    cache.endpoints.push_back({server, verdict, {next_hop}, history, {}});
    return cache;
}

Settings::Tables tables(std::vector<std::string> tls, std::vector<std::string> ehlo = {}) {
    Settings::Tables tables;
    tables.tls_next_hops = std::move(tls);
    tables.ehlo_addresses = std::move(ehlo);
    return tables;
}

std::string tls(std::string_view key, const CacheReader& cache,
                const Settings::Tables& settings = tables({"*"}), TlsLevel floor = TlsLevel::may) {
    const auto level = answer_tls(key, cache, settings, floor, now, {});
    return level ? std::string(to_string(level->level())) : "-";
}

// IDs whose fault is in the transport; written again here, so that a change needs two hands.
bool of_transport(DiagnosisId id) {
    using enum DiagnosisId;
    return id == pmtu_black_hole || id == size_specific_loss || id == large_hello_intolerance ||
           id == lossy_path || id == peer_stall || id == reset_in_handshake ||
           id == starttls_stripped;
}

}  // namespace

TEST_CASE("an ill path to a server whose TLS worked is answered with encrypt") {
    const auto cache = cache_with("example.org", hole, {past(DiagnosisId::healthy)});
    CHECK(tls("example.org", cache) == "encrypt");
    CHECK(tls("Example.ORG", cache) == "encrypt");  // Postfix keeps the case
    CHECK(tls("example.org:25", cache) == "encrypt");
    SUBCASE("nothing below what Postfix had for it, nor where that is not known") {
        auto held = cache;
        auto& next_hop = held.next_hops["example.org"];
        for (const auto in_force : levels) {
            next_hop.tls_floor = in_force;
            for (const auto configured : levels) {
                const bool room = in_force < TlsLevel::encrypt && configured < TlsLevel::encrypt;
                CHECK(tls("example.org", held, tables({"*"}), configured) ==
                      (room ? "encrypt" : "-"));
            }
        }
        next_hop.tls_floor.reset();
        CHECK(tls("example.org", held) == "-");
    }
    SUBCASE("named or all, and nothing by default") {
        CHECK(tls("example.org", cache, tables({"example.net", "example.org"})) == "encrypt");
        CHECK(tls("example.org", cache, tables({"example.net"})) == "-");
        CHECK(tls("example.org", cache, Settings{}.tables) == "-");
    }
    SUBCASE("other keys are others' matter") {
        for (const std::string key :
             {".example.org", ".org", "a.example.org", "[example.org]", "example.org:587", "", ".",
              "[192.0.2.1]", "example.org x", "mail.example.org"})
            CHECK_MESSAGE(tls(key, cache) == "-", key);
    }
    SUBCASE("a counter-probe completed its handshake, which is history enough") {
        auto verdict = hole;
        verdict.usable_mss = Mss{1360};
        CHECK(tls("example.org", cache_with("example.org", verdict, {})) == "encrypt");
        CHECK(tls("example.org", cache_with("example.org", hole, {})) == "-");
    }
    SUBCASE("not where mail may rightly go in clear text to another server of the next hop") {
        auto mixed = cache;
        mixed.next_hops["example.org"].endpoints.push_back(second);
        CHECK(tls("example.org", mixed) == "encrypt");
        const auto missing = verdict_of(DiagnosisId::starttls_missing, Severity::notice);
        mixed.endpoints.push_back({second, missing, {"example.org"}, {}, {}});
        CHECK(tls("example.org", mixed) == "-");
    }
    SUBCASE("the history has to be that of the server that fails") {
        auto other = cache_with("example.org", hole, {});
        other.next_hops["example.org"].endpoints.push_back(second);
        const auto healthy = verdict_of(DiagnosisId::healthy, Severity::ok);
        other.endpoints.push_back({second, healthy, {"example.org"}, {}, {}});
        CHECK(tls("example.org", other) == "-");
    }
}

TEST_CASE("table tls, over every diagnosis, severity, age, floor and history, only ever raises") {
    const std::vector<std::vector<PastVerdict>> histories = [] {
        std::vector<std::vector<PastVerdict>> all{{}};
        for (const auto id : all_diagnosis_ids()) all.push_back({past(id)});
        all.push_back({past(DiagnosisId::healthy), past(DiagnosisId::starttls_missing)});
        return all;
    }();
    std::size_t answers = 0;
    for (const auto id : all_diagnosis_ids())
        for (const auto severity : {Severity::ok, Severity::notice, Severity::unknown,
                                    Severity::warning, Severity::critical})
            for (const auto age : {60s, 3600s, 8 * 3600s, 8 * 86400s})
                for (const auto& history : histories) {
                    const auto verdict = verdict_of(id, severity, age);
                    const auto cache = cache_with("example.org", verdict, history);
                    const bool may_answer = of_transport(id) && severity >= Severity::warning &&
                                            age < 6h && handshake_was_completed(cache.endpoints[0]);
                    for (const auto floor : levels) {
                        const auto level =
                            answer_tls("example.org", cache, tables({"*"}), floor, now, {});
                        const bool expected = may_answer && floor < TlsLevel::encrypt;
                        REQUIRE(level.has_value() == expected);
                        if (!level) continue;
                        ++answers;
                        REQUIRE(level->level() == TlsLevel::encrypt);
                        REQUIRE(level->level() > floor);
                    }
                    for (const std::string key : {".example.org", ".org"})
                        REQUIRE(tls(key, cache) == "-");
                }
    CHECK(answers > 100);
}

TEST_CASE(
    "a handshake that Postfix told of counts, with a server that offered STARTTLS, for a while") {
    auto cache =
        cache_with("example.org", verdict_of(DiagnosisId::peer_stall, Severity::critical), {});
    auto& next_hop = cache.next_hops.at("example.org");
    const auto& age = AgeLimits{};
    REQUIRE(tls("example.org", cache) == "-");
    next_hop.tls_seen = now - 60s;
    CHECK(tls("example.org", cache) == "-");
    cache.endpoints[0].starttls_seen = now - 86400s;
    CHECK(tls("example.org", cache) == "encrypt");
    next_hop.tls_seen = now - age.good_expire;
    CHECK(tls("example.org", cache) == "-");
    next_hop.tls_seen.reset();
    CHECK(tls("example.org", cache) == "-");
}

TEST_CASE("only a probe that completed a handshake tells that TLS works") {
    const auto completed = [](DiagnosisId id) {
        return handshake_was_completed({server, hole, {}, {past(id)}, {}});
    };
    using enum DiagnosisId;
    for (const auto id : {healthy, pmtu_reduced, certificate_untrusted, certificate_expired})
        CHECK(completed(id));
    for (const auto id : {starttls_missing, starttls_stripped, peer_stall, reset_in_handshake,
                          tls_alert, refused, inconclusive, greeting_timeout, certificate_weak})
        CHECK_FALSE(completed(id));
}

TEST_CASE("table ehlo answers where groups of commands are lost, and nowhere else") {
    auto verdict = verdict_of(DiagnosisId::size_specific_loss, Severity::critical);
    verdict.sizes = "segments of 513 bytes";
    const auto ehlo = [&](const std::string& key, const Settings::Tables& settings) {
        MemoryCache cache;
        cache.endpoints.push_back({server, verdict, {"example.org"}, {}, {}});
        return discards_pipelining(key, cache, settings, now, {});
    };
    const auto all = tables({}, {"*"});
    CHECK(ehlo("192.0.2.1", all));
    CHECK(ehlo("192.0.2.1", tables({}, {"192.0.2.1"})));
    CHECK_FALSE(ehlo("192.0.2.1", tables({}, {"192.0.2.2"})));
    CHECK_FALSE(ehlo("192.0.2.1", Settings{}.tables));
    for (const std::string key : {"192.0.2.2", "example.org", "", "192.0.2", "[192.0.2.1]"})
        CHECK_FALSE(ehlo(key, all));
    SUBCASE("a ClientHello that is lost is no group of commands") {
        verdict.sizes = "ClientHellos of 513 bytes";
        CHECK_FALSE(ehlo("192.0.2.1", all));
    }
    SUBCASE("every other diagnosis") {
        for (const auto id : all_diagnosis_ids()) {
            verdict.id = id;
            CHECK(ehlo("192.0.2.1", all) == (id == DiagnosisId::size_specific_loss));
        }
    }
    SUBCASE("expired, or well") {
        verdict.measured_at = now - 7h;
        CHECK_FALSE(ehlo("192.0.2.1", all));
        verdict.measured_at = now;
        verdict.severity = Severity::notice;
        CHECK_FALSE(ehlo("192.0.2.1", all));
    }
}
