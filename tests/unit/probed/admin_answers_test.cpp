// SPDX-License-Identifier: Apache-2.0
#include "probes/admin_answers.hpp"

#include <doctest/doctest.h>

using namespace postfathom;

TEST_CASE("percent-encoding is undone, and refused where it is broken") {
    CHECK(percent_decode("example.net").value() == "example.net");
    CHECK(percent_decode("%5Bmail.example.net%5d:587").value() == "[mail.example.net]:587");
    CHECK(percent_decode("").value().empty());
    CHECK(percent_decode("%00").value() == std::string(1, '\0'));
    CHECK(percent_decode("a%41").value() == "aA");
    for (const auto* bad : {"%", "%5", "%5g", "%g5", "a%", "a%2", "%%41"}) {
        CAPTURE(bad);
        CHECK_FALSE(percent_decode(bad));
    }
}

TEST_CASE("a request for a probe is read, or refused with what is wrong") {
    const auto good =
        parse_probe_asked(R"({"destination": "[Mail.Example.NET]:587", "wait": true})");
    REQUIRE(good);
    CHECK(to_string(good->next_hop) == "[mail.example.net]:587");
    CHECK(good->verbatim == "[Mail.Example.NET]:587");
    CHECK(good->wait);
    const auto short_one = parse_probe_asked(R"({"destination": "example.net"})");
    REQUIRE(short_one);
    CHECK_FALSE(short_one->wait);

    const std::string deep(100, '[');
    for (const std::string& bad :
         {std::string(), std::string("null"), std::string("[]"), std::string("{}"), deep,
          std::string(R"({"destination": 5})"), std::string(R"({"destination": ""})"),
          std::string(R"({"destination": "exa mple.net"})"),
          std::string(R"({"destination": "example.net", "wait": "yes"})"),
          std::string(R"({"destination": "example.net", "surprise": 1})"),
          std::string(R"({"destination": "example.net")"), std::string("\xff\xfe\x00\x01", 4)}) {
        CAPTURE(bad);
        const auto refused = parse_probe_asked(bad);
        REQUIRE_FALSE(refused);
        CHECK(refused.error().status == 400);
        CHECK(refused.error().body.contains("error"));
    }
}

TEST_CASE("a request for a probe that is cut anywhere is refused") {
    const std::string whole = R"({"destination": "example.net", "wait": true})";
    for (std::size_t length = 0; length < whole.size(); ++length)
        CHECK_FALSE(parse_probe_asked(whole.substr(0, length)));
}
