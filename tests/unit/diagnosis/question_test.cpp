// SPDX-License-Identifier: Apache-2.0
// Verdicts on requests that fail because of their size or division, from questions and answers.
#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "tests/unit/diagnosis/evidence_builder.hpp"

using namespace postfathom;
using namespace postfathom::test;

namespace {

Question asked(std::uint32_t bytes, std::uint32_t segments = 1) {
    Question question;
    question.bytes = bytes;
    question.segments = segments;
    return question;
}
Question answered(std::uint32_t bytes, std::uint32_t segments = 1) {
    auto question = asked(bytes, segments);
    question.acknowledged = question.answered = true;
    return question;
}
Question swallowed(std::uint32_t bytes, std::uint32_t segments = 1) {
    auto question = asked(bytes, segments);
    question.acknowledged = true;
    question.outcome = Outcome::timed_out;
    return question;
}
Question dropped(std::uint32_t bytes, std::uint32_t segments = 1, std::uint32_t repeats = 4) {
    auto question = asked(bytes, segments);
    question.outcome = Outcome::timed_out;
    question.retransmits = repeats;
    return question;
}
Question reset(std::uint32_t bytes, std::uint32_t segments = 1) {
    auto question = asked(bytes, segments);
    question.acknowledged = true;
    question.outcome = Outcome::reset;
    return question;
}
std::vector<Question> of_kind(QuestionKind kind, std::vector<Question> questions) {
    for (auto& question : questions) question.kind = kind;
    return questions;
}

Attempt with_hello(Attempt attempt, std::uint32_t bytes) {
    attempt.hello_bytes = bytes;
    attempt.counters.send_mss = 1448;
    attempt.counters.timestamps = true;
    return attempt;
}

Evidence silent_but(std::vector<Question> questions, const std::string& ip = "192.0.2.1") {
    auto evidence = conversation({with_hello(silent(1500), 517), with_hello(silent(1280), 517),
                                  with_hello(silent(576), 517)},
                                 ip);
    evidence.questions = std::move(questions);
    return evidence;
}
Evidence healthy_but(std::vector<Question> questions) {
    auto evidence = conversation({with_hello(pass(1500), 517)});
    evidence.questions = std::move(questions);
    return evidence;
}
Evidence stalled_unacked_but(std::vector<Question> questions, const std::string& ip) {
    auto first = with_hello(unacked(1500), 517);
    first.counters.retransmits_total = 4;
    auto evidence = conversation({first}, ip);
    evidence.questions = std::move(questions);
    return evidence;
}

bool excludes(const Diagnosis& diagnosis, const std::string& id) {
    const auto& ids = diagnosis.ruled_out;
    return std::find(ids.begin(), ids.end(), id) != ids.end();
}

}  // namespace

TEST_CASE("requests that fail for their size are named with it") {
    struct Case {
        const char* name;
        Evidence evidence;
        DiagnosisId id;
        Severity severity;
        std::string sizes;
        std::string in_summary;
    };
    const std::vector<Case> cases{
        {"one size is swallowed",
         silent_but({answered(708), swallowed(517), answered(708), swallowed(517), answered(708),
                     swallowed(517, 2), swallowed(517, 2), answered(518), answered(516)}),
         DiagnosisId::size_specific_loss, Severity::critical, "ClientHellos of 517 bytes",
         "packets of 569 bytes"},
        {"one size of segment is dropped, IPv4",
         stalled_unacked_but({answered(708), dropped(517), answered(708), dropped(517),
                              answered(708), answered(517, 2), answered(518), answered(516)},
                             "192.0.2.1"),
         DiagnosisId::size_specific_loss, Severity::critical, "segments of 517 bytes",
         "packets of 569 bytes"},
        {"one size of segment is dropped, IPv6",
         stalled_unacked_but({answered(708), dropped(517), answered(708), dropped(517),
                              answered(708), answered(517, 2), answered(518), answered(516)},
                             "2001:db8::1"),
         DiagnosisId::size_specific_loss, Severity::critical, "segments of 517 bytes",
         "packets of 589 bytes"},
        {"two sizes, neither of them the ordinary one",
         healthy_but({dropped(513), dropped(1025), answered(704), dropped(513), answered(704),
                      dropped(513), answered(704), dropped(1025), answered(513, 2), answered(514),
                      answered(1026)}),
         DiagnosisId::size_specific_loss, Severity::warning, "segments of 513 and 1025 bytes",
         "packets of 565 and 1077 bytes"},
        {"a range, before TLS",
         healthy_but(of_kind(QuestionKind::noop,
                             {answered(255), dropped(256), dropped(400), dropped(511),
                              answered(512), dropped(400), answered(255), dropped(400),
                              answered(512), dropped(256), dropped(511), answered(400, 2)})),
         DiagnosisId::size_specific_loss, Severity::warning, "segments of 256-511 bytes",
         "packets of 308-563 bytes"},
        {"a remainder",
         silent_but({answered(708), swallowed(517), answered(708), swallowed(517), answered(708),
                     answered(518), answered(516), swallowed(773), swallowed(773), swallowed(1029),
                     swallowed(1029), answered(645)}),
         DiagnosisId::size_specific_loss, Severity::critical, "ClientHellos of 517 + n * 256 bytes",
         "packets of 569 + n * 256 bytes"},
        {"a server that needs one segment",
         healthy_but({swallowed(1750, 2), swallowed(517, 2), answered(517), swallowed(517, 2),
                      answered(517), swallowed(517, 2), answered(517), swallowed(517, 2),
                      answered(517)}),
         DiagnosisId::large_hello_intolerance, Severity::notice,
         "ClientHello in more than one segment", "post-quantum"},
        {"a server that resets large ones",
         healthy_but({reset(1750, 2), answered(517, 2), reset(1750, 2), answered(517, 2),
                      reset(1750, 2), answered(517, 2), reset(1750, 2), answered(517, 2),
                      answered(875), answered(1448, 2), reset(1449, 2), reset(1449, 2)}),
         DiagnosisId::large_hello_intolerance, Severity::notice, "ClientHello above 1448 bytes",
         "post-quantum"},
    };
    for (const auto& example : cases) {
        CAPTURE(example.name);
        const auto found = diagnosis_of(example.evidence);
        CAPTURE(found.summary);
        CHECK(found.id == example.id);
        CHECK(found.severity == example.severity);
        CHECK(found.direction == Direction::outbound);
        CHECK(found.sizes == example.sizes);
        CHECK(found.sizes.size() <= 64);
        CHECK(found.summary.find(example.in_summary) != std::string::npos);
        CHECK(found.confidence >= 0.98);
        CHECK(found.confidence <= 0.99);
        CHECK(excludes(found, "peer-stall"));
        CHECK(excludes(found, "lossy-path"));
        CHECK_FALSE(found.path_mtu.has_value());
    }
}

TEST_CASE("the ordinary ClientHello that is itself too large is critical") {
    auto first = with_hello(attempt(1500, Outcome::reset, StallShape::none), 1750);
    auto evidence = conversation({first});
    evidence.questions = {answered(517, 2), reset(1750, 2),   answered(517, 2),
                          reset(1750, 2),   answered(517, 2), reset(1750, 2),
                          answered(875),    answered(517),    answered(1200, 2)};
    const auto found = diagnosis_of(evidence);
    CHECK(found.id == DiagnosisId::large_hello_intolerance);
    CHECK(found.severity == Severity::critical);
    // In between nobody looked.
    CHECK(found.sizes == "ClientHello of 1750 bytes or more");
}

TEST_CASE("silence at every size and shape stays a stalled peer") {
    const auto found = diagnosis_of(
        silent_but({swallowed(708), swallowed(517, 2), swallowed(1317), swallowed(708)}));
    CHECK(found.id == DiagnosisId::peer_stall);
    CHECK(found.summary.find("517-1317 bytes and with one in two segments") != std::string::npos);
    CHECK(excludes(found, "size-specific-loss"));
    CHECK(found.sizes.empty());
}

TEST_CASE("without repeats and controls nothing is claimed of sizes") {
    for (const auto& questions : {
             std::vector<Question>{answered(708)},
             {answered(708), swallowed(517)},
             // It passes too.
             {answered(708), answered(517), answered(708), swallowed(517), answered(708)},
             // One machine of several may hang: another shape was once answered and once not.
             {answered(708), swallowed(517), answered(708), swallowed(517), swallowed(708),
              swallowed(517), answered(708)},
         }) {
        const auto found = diagnosis_of(silent_but(questions));
        CHECK(found.id != DiagnosisId::size_specific_loss);
        CHECK(found.id != DiagnosisId::large_hello_intolerance);
        // One answer disproves it.
        CHECK(found.id != DiagnosisId::peer_stall);
    }
}

TEST_CASE("what loss explains is not a matter of size") {
    // The others lost packets as well.
    auto questions = std::vector{answered(708), dropped(517, 1, 3), answered(708),
                                 dropped(517, 1, 3), answered(708)};
    for (auto& question : questions)
        if (question.answered) question.retransmits = 3;
    const auto found = diagnosis_of(healthy_but(questions));
    CHECK(found.id != DiagnosisId::size_specific_loss);
}

TEST_CASE("large segments that are not acknowledged are a matter of path MTU") {
    const auto found =
        diagnosis_of(healthy_but({dropped(1400), answered(517), dropped(1400), answered(517),
                                  dropped(1400), answered(517), answered(1400, 2)}));
    CHECK(found.id != DiagnosisId::size_specific_loss);
    CHECK(found.id != DiagnosisId::large_hello_intolerance);
}

TEST_CASE("what is answered at one time and not at another is noted") {
    const auto notes = [](std::vector<Question> questions) {
        return diagnose(healthy_but(std::move(questions)), TlsLevel::may).notes;
    };
    const auto found = notes({answered(708), swallowed(708), answered(1200), swallowed(600)});
    REQUIRE(found.size() == 1);
    CHECK(found.front().id == "answers-at-times");
    CHECK(found.front().text.find("1 of 2 failed") != std::string::npos);
    CHECK(notes({answered(708), swallowed(600), answered(1200)}).empty());
}

TEST_CASE("a server that stops in the middle of its answer stalls, and is not said to be mute") {
    auto attempts = std::vector{silent(1500), silent(1280), silent(576)};
    for (auto& attempt : attempts) {
        attempt.hello_bytes = 517;
        attempt.answer_bytes = 400;
    }
    const auto found = diagnosis_of(conversation(attempts));
    CHECK(found.id == DiagnosisId::peer_stall);
    CHECK(found.summary.find("stops in the middle of its answer, after 400 bytes") !=
          std::string::npos);
    CHECK(found.summary.find("answers nothing") == std::string::npos);
}
