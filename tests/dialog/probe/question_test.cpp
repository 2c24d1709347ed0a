// SPDX-License-Identifier: Apache-2.0
// Requests of chosen size against servers and routers that mind sizes; questions.sh says which test
// under which path.
#include <doctest/doctest.h>

#include <algorithm>
#include <string>

#include "tests/dialog/probe/probe.hpp"

using namespace postfathom;

namespace {

// EXPECT_SIZES: what the verdict has to say; a verdict without is none about sizes.
std::string expected_sizes() {
    const char* text = std::getenv("EXPECT_SIZES");
    REQUIRE(text != nullptr);
    return text;
}

ProbeRequest request_with_hello(const char* address, std::uint16_t port) {
    auto request = request_to(address, port);
    if (const char* bytes = std::getenv("HELLO_BYTES"))
        request.hello_bytes = static_cast<std::uint32_t>(std::atoi(bytes));
    return request;
}

std::uint16_t port_to_ask() {
    const char* text = std::getenv("ASK_PORT");
    return text == nullptr ? std::uint16_t{25} : static_cast<std::uint16_t>(std::atoi(text));
}

void check_sizes(const Report& report, DiagnosisId id, Severity severity) {
    const auto& diagnosis = report.diagnosis;
    CAPTURE(diagnosis.summary);
    CHECK(diagnosis.id == id);
    CHECK(diagnosis.sizes == expected_sizes());
    CHECK(diagnosis.direction == Direction::outbound);
    CHECK(diagnosis.severity == severity);
    CHECK(diagnosis.confidence >= 0.98);
    CHECK(diagnosis.sizes.size() <= 64);
    const auto& excluded = diagnosis.ruled_out;
    CHECK(std::find(excluded.begin(), excluded.end(), "peer-stall") != excluded.end());
    CHECK(evidence_of(report).connections <= 32);
}

}  // namespace

TEST_CASE("the ordinary ClientHello has a size that fails" * doctest::skip()) {
    for (const auto* address : {server_v4, server_v6})
        check_sizes(probe(request_with_hello(address, port_to_ask())),
                    DiagnosisId::size_specific_loss, Severity::critical);
}

TEST_CASE("sizes that fail are found when an operator asks" * doctest::skip()) {
    auto request = request_to(server_v4, port_to_ask());
    request.ask_sizes = true;
    check_sizes(probe(request), DiagnosisId::size_specific_loss, Severity::warning);
}

TEST_CASE("the request after EHLO has a size that fails" * doctest::skip()) {
    check_sizes(probe(port_to_ask()), DiagnosisId::size_specific_loss, Severity::critical);
}

TEST_CASE("only larger ClientHellos fail" * doctest::skip()) {
    auto request = request_to(server_v4, port_to_ask());
    request.ask_sizes = true;
    check_sizes(probe(request), DiagnosisId::large_hello_intolerance, Severity::notice);
}

TEST_CASE("the ordinary ClientHello is too large" * doctest::skip()) {
    check_sizes(probe(request_with_hello(server_v4, port_to_ask())),
                DiagnosisId::large_hello_intolerance, Severity::critical);
}

TEST_CASE("nothing about sizes is claimed of a silent server" * doctest::skip()) {
    const auto report = probe(port_to_ask());
    CHECK(report.diagnosis.id == DiagnosisId::peer_stall);
    CHECK_FALSE(evidence_of(report).questions.empty());
    CHECK(report.diagnosis.sizes.empty());
}

TEST_CASE("a healthy server is asked nothing, and passes when it is" * doctest::skip()) {
    auto request = request_to(server_v4, port_to_ask());
    CHECK(evidence_of(probe(request)).questions.empty());
    request.ask_sizes = true;
    const auto report = probe(request);
    CHECK(report.diagnosis.id == DiagnosisId::healthy);
    const auto& questions = evidence_of(report).questions;
    CHECK(questions.size() >= 16);
    for (const auto& question : questions) {
        CAPTURE(question.bytes);
        CHECK(question.acknowledged);
        CHECK(question.answered);
        CHECK(question.outcome == Outcome::ok);
    }
}

TEST_CASE("loss is no matter of size" * doctest::skip()) {
    for (int i = 0; i < 4; ++i) {
        auto request = request_to(server_v4, port_to_ask());
        request.ask_sizes = i % 2 == 1;
        const auto report = probe(request);
        CHECK(report.diagnosis.sizes.empty());
        CHECK(report.diagnosis.id != DiagnosisId::size_specific_loss);
        CHECK(report.diagnosis.id != DiagnosisId::large_hello_intolerance);
    }
}
