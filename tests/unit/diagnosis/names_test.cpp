// SPDX-License-Identifier: Apache-2.0
// Names appear in logs, JSON, metrics and headers: each can be read back, and none changes
// unnoticed.
#include <doctest/doctest.h>

#include <set>

#include "lib/diagnosis/evidence.hpp"
#include "tests/unit/diagnosis/evidence_builder.hpp"

using namespace postfathom;

TEST_CASE("every diagnosis identifier is read back from its name") {
    std::set<std::string_view> names;
    for (const auto id : all_diagnosis_ids()) {
        names.insert(to_string(id));
        CHECK(parse_diagnosis_id(to_string(id)) == id);
    }
    CHECK(names.size() == 28);
    CHECK(all_diagnosis_ids().size() == 28);
    CHECK(names.count("pmtu-black-hole") == 1);
    CHECK(names.count("certificate-incomplete-chain") == 1);
    CHECK_FALSE(parse_diagnosis_id("pmtu_black_hole"));
    CHECK_FALSE(parse_diagnosis_id(""));
    CHECK_FALSE(parse_diagnosis_id("unknown"));
}

TEST_CASE("phases and outcomes are read back from their names") {
    for (int i = 0; i <= static_cast<int>(Phase::quit); ++i) {
        const auto phase = static_cast<Phase>(i);
        CHECK(parse_phase(to_string(phase)) == phase);
    }
    for (int i = 0; i <= static_cast<int>(Outcome::cancelled); ++i) {
        const auto outcome = static_cast<Outcome>(i);
        CHECK(parse_outcome(to_string(outcome)) == outcome);
    }
    CHECK(to_string(Phase::ehlo_after_tls) == "ehlo-after-tls");
    CHECK(to_string(Outcome::timed_out) == "timed-out");
    CHECK_FALSE(parse_outcome("Timed-Out"));
}

TEST_CASE("severities and directions are read back from their names") {
    for (const auto severity :
         {Severity::ok, Severity::notice, Severity::unknown, Severity::warning, Severity::critical})
        CHECK(parse_severity(to_string(severity)) == severity);
    for (const auto direction : {Direction::inbound, Direction::outbound, Direction::both})
        CHECK(parse_direction(to_string(direction)) == direction);
    CHECK_FALSE(parse_severity("fatal"));
    CHECK_FALSE(parse_direction("in"));
}

TEST_CASE("the short form of a verdict names sizes only where they are known") {
    Diagnosis hole;
    hole.id = DiagnosisId::pmtu_black_hole;
    CHECK(brief(hole) == "pmtu-black-hole");
    hole.direction = Direction::inbound;
    hole.path_mtu = PathMtu{1400};
    hole.path_mtu_exact = true;
    CHECK(brief(hole) == "pmtu-black-hole inbound, path MTU 1400");
    hole.usable_mss = Mss{1360};
    CHECK(brief(hole) == "pmtu-black-hole inbound, path MTU 1400, MSS 1360 works");
    hole.path_mtu_exact = false;
    CHECK(brief(hole) == "pmtu-black-hole inbound, path MTU at least 1400, MSS 1360 works");
}
