// SPDX-License-Identifier: Apache-2.0
// Healthy paths, lossy paths, mute servers, and stalls that stay unexplained.
#include <doctest/doctest.h>

#include "tests/unit/diagnosis/evidence_builder.hpp"

using namespace postfathom;
using namespace postfathom::test;

TEST_CASE("a completed handshake is healthy, with the size that was shown") {
    struct Row {
        const char* name;
        Evidence evidence;
        std::uint32_t path_mtu;
        const char* words;
        std::optional<bool> discovery;
    };
    auto clamped_by_router = conversation({pass_with(1500, 1400)});
    auto small_flight = conversation({pass_with(1500, 1100)});
    small_flight.handshake->certificate->chain_bytes = 900;
    auto jumbo =
        conversation({pass_with(9000, 3892)});  // 3800 bytes of certificates fit one packet
    const Row rows[] = {
        {"full size", conversation({pass(1500)}), 1500, "packets of 1500 bytes", std::nullopt},
        {"MSS lowered on the way", clamped_by_router, 1400,
         "at most 1400 bytes though we allow 1500", std::nullopt},
        {"small flight", small_flight, 1100, "at least 1100 bytes", std::nullopt},
        {"small flight in jumbo frames", jumbo, 3892, "at least 3892 bytes", std::nullopt},
    };
    for (const auto& row : rows) {
        INFO(std::string{row.name});
        const auto verdict = diagnose(row.evidence, TlsLevel::may);
        CHECK(verdict.findings.empty());
        CHECK(verdict.diagnosis.id == DiagnosisId::healthy);
        CHECK(verdict.diagnosis.severity == Severity::ok);
        CHECK(verdict.diagnosis.path_mtu == PathMtu{row.path_mtu});
        CHECK(mentions(verdict.diagnosis.summary, row.words));
        CHECK(inbound_discovery_works(row.evidence) == row.discovery);
        CHECK(inbound_path(row.evidence).path_mtu == PathMtu{row.path_mtu});
    }
}

TEST_CASE("a smaller path on which discovery works is a notice, not a fault") {
    auto discovered = conversation({pass_with(1500, 1400)});
    discovered.attempts[0].counters.out_of_order_segments = 1;
    auto healed = recovered(gap(1500));
    healed.attempts[0].largest_received = PathMtu{1400};
    for (const auto& evidence : {discovered, healed}) {
        const auto verdict = diagnose(evidence, TlsLevel::may);
        REQUIRE(verdict.findings.size() == 1);
        const auto& found = verdict.diagnosis;
        CHECK(found.id == DiagnosisId::pmtu_reduced);
        // A clamp and a lost packet look the same.
        CHECK(found.confidence == doctest::Approx(0.9));
        CHECK(found.severity == Severity::notice);
        CHECK(found.direction == Direction::inbound);
        CHECK(found.path_mtu == PathMtu{1400});
        CHECK(mentions(found.summary, "carries 1400 bytes from the server"));
        CHECK(inbound_discovery_works(evidence) == true);
        CHECK(discovery_works(evidence) == true);
        CHECK(inbound_path(evidence).path_mtu == PathMtu{1400});
    }
}

TEST_CASE("a slow answer is healthy, and the time is told") {
    auto evidence = recovered(silent(1500));
    evidence.attempts[0].largest_received = PathMtu{1500};
    evidence.timings = {{Phase::handshake, 6.4}};
    const auto found = diagnosis_of(evidence);
    CHECK(found.id == DiagnosisId::healthy);
    CHECK(mentions(found.summary, "6.4 s"));
}

TEST_CASE("a handshake that fails only at QUIT is healthy") {
    auto evidence = conversation({pass(1500)});
    evidence.reached = Phase::quit;
    evidence.outcome = Outcome::reset;
    CHECK(diagnosis_of(evidence).id == DiagnosisId::healthy);
}

TEST_CASE("loss that does not depend on size") {
    struct Row {
        const char* name;
        Evidence evidence;
        Severity severity;
    };
    auto repaired = recovered(gap(1500));
    repaired.attempts[0].largest_received = PathMtu{1500};
    auto small_repaired = recovered(lost_reply(1500));
    small_repaired.handshake->certificate->chain_bytes = 900;
    small_repaired.attempts[0].largest_received = PathMtu{1100};
    const Row rows[] = {
        {"repaired at full size", repaired, Severity::notice},
        {"one small flight repaired", small_repaired, Severity::notice},
        {"larger passed although smaller failed", conversation({gap(1400), gap(1280), pass(1500)}),
         Severity::warning},
        {"the same size passed and failed", conversation({gap(1500), pass(1500)}),
         Severity::warning},
        {"our hello was lost once", conversation({unacked(1500), pass(1500)}), Severity::warning},
        {"a sibling of a good first attempt", conversation({pass(1500), gap(1280)}),
         Severity::notice},
        {"unfinished, and done when tried again",
         conversation({unfinished(1500, 3096), pass(1500)}), Severity::warning},
        {"unfinished twice, at different places",
         conversation({unfinished(1500, 3096), unfinished(1500, 1648)}), Severity::warning},
    };
    for (const auto& row : rows) {
        INFO(std::string{row.name});
        const auto found = diagnosis_of(row.evidence);
        CHECK(to_string(found.id) == "lossy-path");
        CHECK(found.severity == row.severity);
        CHECK(found.ruled_out.front() == "pmtu-black-hole");
    }
}

TEST_CASE("a mute server is told by silence at every size, waited out to the end") {
    struct Row {
        const char* name;
        std::vector<Attempt> attempts;
        DiagnosisId expected;
    };
    auto late_close = silent(1500);
    late_close.outcome = Outcome::closed;
    auto cut = silent(576);
    cut.outcome = Outcome::cancelled;
    const Row rows[] = {
        {"two controls", {silent(1500), silent(1280), silent(576)}, DiagnosisId::peer_stall},
        {"one small control", {silent(1500), silent(576)}, DiagnosisId::peer_stall},
        {"it closes in the end", {late_close, silent(1280)}, DiagnosisId::peer_stall},
        {"a further control was cut short",
         {silent(1500), silent(1280), cut_short(576)},
         DiagnosisId::peer_stall},
        {"only the first attempt", {silent(1500)}, DiagnosisId::inconclusive},
        {"the control was cut short", {silent(1500), cut}, DiagnosisId::inconclusive},
        {"the control was not small", {silent(1500), silent(1492)}, DiagnosisId::inconclusive},
        {"one answer was lost", {silent(1500), gap(1400), silent(576)}, DiagnosisId::inconclusive},
        {"our hello is not acknowledged",
         {unacked(1500), unacked(1280), unacked(576)},
         DiagnosisId::inconclusive},
    };
    for (const auto& row : rows) {
        INFO(std::string{row.name});
        const auto found = diagnosis_of(conversation(row.attempts));
        CHECK(to_string(found.id) == to_string(row.expected));
        if (found.id == DiagnosisId::peer_stall) {
            CHECK(found.severity == Severity::critical);
            CHECK(found.ruled_out.front() == "pmtu-black-hole");
            CHECK(found.confidence == doctest::Approx(0.99));
        } else {
            CHECK(found.severity == Severity::unknown);
            CHECK_FALSE(found.settles.empty());
        }
    }
}

TEST_CASE("a handshake that stops behind full packets is not called loss without a second view") {
    auto without_loss = unfinished(1500, 3096);
    without_loss.counters = TcpCounters{};
    const std::vector<Attempt> rows[] = {
        {unfinished(1500, 3096)},
        // At the same place twice: perhaps a packet of one certain size.
        {unfinished(1500, 3096), unfinished(1500, 3096)},
        {without_loss, pass(1500)},
    };
    for (const auto& attempts : rows) {
        const auto found = diagnosis_of(conversation(attempts));
        CHECK(to_string(found.id) == "inconclusive");
        CHECK_FALSE(found.settles.empty());
    }
}

TEST_CASE("a closed window is the server's doing, and no silence") {
    const auto found = diagnosis_of(conversation({window_closed(1500)}));
    CHECK(to_string(found.id) == "peer-stall");
    CHECK(found.severity == Severity::critical);
    CHECK(mentions(found.summary, "window"));
    // It opened in the end.
    CHECK(diagnosis_of(recovered(window_closed(1500))).id == DiagnosisId::healthy);
}

TEST_CASE("the kernel's first guess of the segment size does not make a mute server answer") {
    // tcpi_rcv_mss stands at 524 before data, as much as a clamp to MSS 536 allows.
    auto control = silent(576);
    control.largest_received = PathMtu{576};
    CHECK(diagnosis_of(conversation({silent(1500), silent(1280), control})).id ==
          DiagnosisId::peer_stall);
    CHECK(diagnosis_of(conversation({gap(1500), gap(1280), control})).id ==
          DiagnosisId::inconclusive);
}
