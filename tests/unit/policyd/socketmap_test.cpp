// SPDX-License-Identifier: Apache-2.0
#include "policyd/socketmap.hpp"

#include <doctest/doctest.h>

#include <random>
#include <vector>

using namespace postfathom;

namespace {

using Status = SocketmapParser::Status;

struct Outcome {
    std::vector<std::string> requests;  // "name|key", or "overlong"
    std::string error;
    bool operator==(const Outcome&) const = default;
};

Outcome parse(std::string_view bytes, const std::vector<std::size_t>& cuts = {}) {
    SocketmapParser parser;
    Outcome outcome;
    std::size_t begin = 0;
    auto ends = cuts;
    ends.push_back(bytes.size());
    for (const auto end : ends) {
        auto piece = bytes.substr(begin, end - begin);
        begin = end;
        while (!piece.empty()) {
            const auto status = parser.feed(piece);
            if (status == Status::complete)
                outcome.requests.push_back(parser.overlong() ? "overlong"
                                                             : std::string(parser.name()) + "|" +
                                                                   std::string(parser.key()));
            if (status == Status::broken) {
                outcome.error = parser.error();
                return outcome;
            }
        }
    }
    return outcome;
}

std::string netstring(const std::string& text) {
    return std::to_string(text.size()) + ":" + text + ",";
}

}  // namespace

TEST_CASE("requests are NAME, a blank and KEY") {
    const auto outcome =
        parse(netstring("dsn 4.7.5 Cannot start TLS: handshake failure") + netstring("dsn ") +
              netstring("dsn") + netstring("") + netstring("a,b 1:2,"));
    CHECK(outcome.error.empty());
    CHECK(outcome.requests ==
          std::vector<std::string>{"dsn|4.7.5 Cannot start TLS: handshake failure", "dsn|", "dsn|",
                                   "|", "a,b|1:2,"});
}

TEST_CASE("any split of the bytes gives the same requests") {
    for (const auto& bytes : {netstring("dsn 4.4.1 x") + netstring("dsn 2.0.0 y") + netstring(""),
                              std::string("3:ab,,"), std::string("03:abc,"), std::string("x"),
                              netstring("a b") + "3:abcd"}) {
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
            const auto length = random() % 40;
            for (std::size_t i = 0; i < length; ++i) bytes += "0123::,, a"[random() % 10];
            const auto whole = parse(bytes);
            const auto first = random() % (length + 1);
            const auto second = first + random() % (length - first + 1);
            REQUIRE(parse(bytes, {first, second}) == whole);
        }
    }
}

TEST_CASE("what is no netstring is refused") {
    for (const std::string bytes : {":", ",", "abc", "-1:a,", "01:a,", "1:ab,", "1:a;", "1 :a,",
                                    "9999999:", "18446744073709551617:a,", "request=x\n\n"})
        CHECK_MESSAGE(!parse(bytes).error.empty(), bytes);
}

TEST_CASE("a long request is skipped, and the next one is read") {
    const auto outcome =
        parse(netstring("dsn " + std::string(max_socketmap_request - 4, 'x')) +
              netstring("dsn " + std::string(max_socketmap_request - 3, 'x')) +
              netstring(std::string(max_socketmap_skipped, 'x')) + netstring("dsn y"));
    CHECK(outcome.error.empty());
    REQUIRE(outcome.requests.size() == 4);
    CHECK(outcome.requests[0].size() == max_socketmap_request);
    CHECK(outcome.requests[1] == "overlong");
    CHECK(outcome.requests[2] == "overlong");
    CHECK(outcome.requests[3] == "dsn|y");
}

TEST_CASE("answers are netstrings") {
    std::string out;
    append_found(out, "4.4.1 x");
    append_not_found(out);
    CHECK(out == "10:OK 4.4.1 x,9:NOTFOUND ,");
}
