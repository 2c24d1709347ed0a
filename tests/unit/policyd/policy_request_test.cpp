// SPDX-License-Identifier: Apache-2.0
#include "policyd/policy_request.hpp"

#include <doctest/doctest.h>

#include <random>
#include <vector>

using namespace postfathom;

namespace {

using Status = PolicyRequestParser::Status;

struct Outcome {
    std::vector<PolicyRequest> requests;
    std::string error;
    bool operator==(const Outcome&) const = default;
};

// Feeds `bytes` in pieces that end at `cuts`.
Outcome parse(std::string_view bytes, const std::vector<std::size_t>& cuts = {}) {
    PolicyRequestParser parser;
    Outcome outcome;
    std::size_t begin = 0;
    auto ends = cuts;
    ends.push_back(bytes.size());
    for (const auto end : ends) {
        auto piece = bytes.substr(begin, end - begin);
        begin = end;
        while (!piece.empty()) {
            const auto status = parser.feed(piece);
            if (status == Status::complete) outcome.requests.push_back(parser.request());
            if (status == Status::broken) {
                outcome.error = parser.error();
                return outcome;
            }
        }
    }
    return outcome;
}

const std::string sample =
    "request=smtpd_access_policy\nprotocol_state=RCPT\nprotocol_name=ESMTP\nclient_address=192.0.2."
    "7\n"
    "sender=me@example.net\nrecipient=you@example.org\nrecipient_count=0\nqueue_id=\n"
    "instance=123.456.7\nccert_subject=a=b\nstress=\n\n"
    "request=smtpd_access_policy\nprotocol_state=DATA\n\n";

}  // namespace

TEST_CASE("requests are read, and what they leave out is empty") {
    const auto outcome = parse(sample);
    CHECK(outcome.error.empty());
    REQUIRE(outcome.requests.size() == 2);
    CHECK(outcome.requests[0] ==
          PolicyRequest{"smtpd_access_policy", "RCPT", "you@example.org", "123.456.7"});
    CHECK(outcome.requests[1] == PolicyRequest{"smtpd_access_policy", "DATA", "", ""});
}

TEST_CASE("any split of the bytes gives the same requests") {
    for (const auto& bytes : {sample, std::string("a=1\n\nno equals sign\nb=2\n\n"),
                              std::string("\n"), std::string("=x\n")}) {
        const auto whole = parse(bytes);
        for (std::size_t cut = 0; cut <= bytes.size(); ++cut) CHECK(parse(bytes, {cut}) == whole);
        std::vector<std::size_t> every;
        for (std::size_t i = 1; i < bytes.size(); ++i) every.push_back(i);
        CHECK(parse(bytes, every) == whole);
    }
    SUBCASE("of random bytes too") {
        std::mt19937 random(7);
        for (int round = 0; round < 5000; ++round) {
            std::string bytes;
            const auto length = random() % 60;
            for (std::size_t i = 0; i < length; ++i) bytes += "a=\n\nb\0x"[random() % 8];
            const auto whole = parse(bytes);
            const auto first = random() % (length + 1);
            const auto second = first + random() % (length - first + 1);
            REQUIRE(parse(bytes, {first, second}) == whole);
        }
    }
}

TEST_CASE("what is no request is refused, and nothing after it is read") {
    using namespace std::string_literals;
    for (const auto& bytes : {"\n"s, "GET / HTTP/1.1\r\n\r\n"s, "=value\n\n"s, "a=b\0c\n\n"s}) {
        const auto outcome = parse(bytes + "a=1\n\n");
        CHECK_MESSAGE(!outcome.error.empty(), bytes);
        CHECK(outcome.requests.empty());
    }
}

TEST_CASE("lines, attributes and requests have limits") {
    const auto accepted = [](const std::string& bytes) { return parse(bytes).error.empty(); };
    const std::string longest = "a=" + std::string(max_policy_line - 2, 'x');
    CHECK(accepted(longest + "\n\n"));
    CHECK_FALSE(accepted(longest + "x"));
    CHECK_FALSE(accepted(longest + "x\n\n"));
    std::string many;
    for (std::size_t i = 0; i < max_policy_attributes; ++i) many += "a=b\n";
    CHECK(accepted(many + "\n"));
    CHECK_FALSE(accepted(many + "a=b\n"));
    std::string large;
    while (large.size() < max_policy_request - 8000) large += "a=" + std::string(7000, 'x') + "\n";
    CHECK(accepted(large + "\n"));
    CHECK_FALSE(accepted(large + longest + "\n\n"));
    // The count starts again with every request.
    std::string small;
    for (std::size_t i = 0; i < 10'000; ++i) small += "a=b\n\n";
    CHECK(parse(small).requests.size() == 10'000);
}
