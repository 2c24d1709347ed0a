// SPDX-License-Identifier: Apache-2.0
// Notes beside the verdict, from evidence alone.
#include "lib/diagnosis/notes.hpp"

#include <doctest/doctest.h>

#include <algorithm>

#include "tests/unit/diagnosis/evidence_builder.hpp"

using namespace postfathom;

namespace {

Evidence healthy_path() {
    auto evidence = test::conversation({test::pass(1500)});
    evidence.vantage.interface_mtu = PathMtu{1500};
    evidence.vantage.route_mtu = PathMtu{1500};
    return evidence;
}

Evidence learned(std::uint32_t mtu) {
    auto evidence = healthy_path();
    evidence.vantage.route_mtu = PathMtu{mtu};
    evidence.vantage.route_mtu_learned = true;
    evidence.attempts = {test::pass(mtu)};
    return evidence;
}

DatagramProbe datagram(std::uint32_t size, DatagramOutcome outcome, const char* router = nullptr) {
    DatagramProbe probe;
    probe.size = PathMtu{size};
    probe.outcome = outcome;
    if (router != nullptr) {
        probe.router = test::address(router);
        probe.reported = PathMtu{1400};
    }
    return probe;
}

std::vector<std::string> ids(const Evidence& evidence) {
    std::vector<std::string> result;
    for (const auto& note : path_notes(evidence)) result.push_back(note.id);
    return result;
}

std::string text_of(const Evidence& evidence, std::string_view id) {
    for (const auto& note : path_notes(evidence))
        if (note.id == id) return note.text;
    return {};
}

bool contains(const std::string& text, std::string_view part) {
    return text.find(part) != std::string::npos;
}

using Ids = std::vector<std::string>;

}  // namespace

TEST_CASE("a plain healthy path has nothing to note") {
    CHECK(ids(healthy_path()).empty());
    auto unknown = healthy_path();
    unknown.vantage.interface_mtu.reset();
    CHECK(ids(unknown).empty());
}

TEST_CASE("a path MTU that the kernel learned before is told, and masks what is above") {
    const auto evidence = learned(1400);
    CHECK(ids(evidence) == Ids{"cached-path-mtu"});
    CHECK(contains(text_of(evidence, "cached-path-mtu"), "1400 bytes"));
    const auto verdict = diagnose(evidence, TlsLevel::may);
    CHECK(verdict.diagnosis.id == DiagnosisId::healthy);
    CHECK(contains(verdict.diagnosis.summary, "masked"));
    CHECK(contains(verdict.diagnosis.summary, "1400"));
    const auto& ruled_out = verdict.diagnosis.ruled_out;
    CHECK(std::find(ruled_out.begin(), ruled_out.end(), "pmtu-black-hole") == ruled_out.end());
}

TEST_CASE("a route's limit is its owner's, and masks nothing") {
    auto evidence = learned(1400);
    evidence.vantage.route_mtu_learned = false;
    CHECK(ids(evidence) == Ids{"route-mtu"});
    const auto verdict = diagnose(evidence, TlsLevel::may);
    CHECK_FALSE(contains(verdict.diagnosis.summary, "masked"));
}

TEST_CASE("a learned path MTU below what gets through is stale or forged") {
    SUBCASE("by a datagram") {
        auto evidence = learned(1400);
        evidence.datagrams = {datagram(576, DatagramOutcome::passed),
                              datagram(1500, DatagramOutcome::passed)};
        CHECK(ids(evidence) == Ids{"cached-path-mtu", "stale-route-exception"});
        const auto text = text_of(evidence, "stale-route-exception");
        CHECK(contains(text, "1500 bytes get through"));
        CHECK(contains(text, "ip route get "));
        CHECK_FALSE(contains(text, "flush"));
    }
    SUBCASE("not by one that nobody answered") {
        auto evidence = learned(1400);
        evidence.datagrams = {datagram(576, DatagramOutcome::passed),
                              datagram(1500, DatagramOutcome::silent)};
        CHECK(text_of(evidence, "stale-route-exception").empty());
    }
    SUBCASE("by what TCP got acknowledged") {
        auto evidence = learned(1400);
        evidence.outbound.path_mtu = PathMtu{1492};
        CHECK_FALSE(text_of(evidence, "stale-route-exception").empty());
    }
}

TEST_CASE("a router that says too big is named, and what its word does here is said") {
    auto evidence = healthy_path();
    evidence.datagrams = {datagram(576, DatagramOutcome::passed),
                          datagram(1401, DatagramOutcome::too_big, "198.51.100.1")};
    CHECK(ids(evidence) == Ids{"icmp-arrives", "path-mtu-learned-now"});
    CHECK(contains(text_of(evidence, "icmp-arrives"), "198.51.100.1"));
    CHECK(contains(text_of(evidence, "icmp-arrives"), "1400 bytes fit"));
}

TEST_CASE("our own kernel's refusal is no router's word") {
    auto evidence = healthy_path();
    evidence.datagrams = {datagram(1501, DatagramOutcome::too_big)};
    CHECK(ids(evidence).empty());
}

TEST_CASE("silence is of the size only when a smaller one is answered afterwards") {
    auto evidence = healthy_path();
    const auto small = datagram(576, DatagramOutcome::passed);
    const auto large = datagram(1401, DatagramOutcome::silent);
    evidence.datagrams = {small, large, small};
    CHECK(ids(evidence) == Ids{"icmp-silent"});
    // Answers for closed ports are rationed.
    evidence.datagrams = {small, large};
    CHECK(ids(evidence).empty());
    evidence.datagrams = {small, large, datagram(576, DatagramOutcome::silent)};
    CHECK(ids(evidence).empty());
    // An echo may have been lost on the way back.
    evidence.datagrams = {small, large, small};
    for (auto& probe : evidence.datagrams) probe.echo = true;
    CHECK(ids(evidence).empty());
}

TEST_CASE("an exact size that an encapsulation leaves is a hint, others are none") {
    struct Row {
        std::uint32_t size;
        const char* hint;
    };
    for (const auto& row : {Row{1420, "WireGuard"}, Row{1492, "PPPoE"}, Row{1480, "IP-in-IP"},
                            Row{1476, "GRE"}, Row{1450, "VXLAN"}, Row{1353, ""}, Row{1500, ""}}) {
        auto evidence = healthy_path();
        evidence.inbound = {PathMtu{row.size}, true, PathMtu{row.size + 1}};
        CAPTURE(row.size);
        const auto text = text_of(evidence, "tunnel-guess");
        CHECK(text.empty() == std::string_view(row.hint).empty());
        CHECK(contains(text, row.hint));
        CHECK((text.empty() || contains(text, "guess")));
        evidence.inbound.exact = false;
        CHECK(text_of(evidence, "tunnel-guess").empty());
    }
}
