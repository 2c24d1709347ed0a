// SPDX-License-Identifier: Apache-2.0
#include "probes/mx_record.hpp"

#include <doctest/doctest.h>

#include <string>

using namespace postfathom;
using namespace std::string_literals;

TEST_CASE("an MX record is read from its wire form") {
    const auto record = parse_mx(
        "\x01\x02\x04Mail\x07"
        "example\x03org\x00"s);
    REQUIRE(record.has_value());
    CHECK(record->preference == 258);
    CHECK(record->exchange == "mail.example.org");
}

TEST_CASE("the root as exchange is a null MX only when it stands alone") {
    const auto root = parse_mx("\x00\x00\x00"s);
    REQUIRE(root.has_value());
    CHECK(null_mx({*root}));
    CHECK_FALSE(null_mx({*root, MxRecord{10, "mail.example.org"}}));
    CHECK_FALSE(null_mx({MxRecord{0, "mail.example.org"}}));
}

TEST_CASE("bytes that are no MX record are refused") {
    const std::string good =
        "\x00\x0a\x04mail\x07"
        "example\x03org\x00"s;
    REQUIRE(parse_mx(good).has_value());
    for (std::size_t length = 0; length < good.size(); ++length)
        CHECK_FALSE(parse_mx(good.substr(0, length)).has_value());
    CHECK_FALSE(parse_mx(good + "x").has_value());                        // bytes behind the name
    CHECK_FALSE(parse_mx("\x00\x0a\xc0\x0c"s).has_value());               // compression pointer
    CHECK_FALSE(parse_mx("\x00\x0a\x04ma l\x00"s).has_value());           // a blank in a label
    CHECK_FALSE(parse_mx("\x00\x0a\x05ma\nil\x00"s).has_value());         // a newline in a label
    CHECK_FALSE(parse_mx("\x00\x0a\x04"s + "ma\x00l\x00"s).has_value());  // a NUL in a label
    std::string endless = "\x00\x0a"s;
    for (int i = 0; i < 200; ++i) endless += "\x01x"s;
    CHECK_FALSE(parse_mx(endless + "\x00"s).has_value());  // longer than a name may be
}

TEST_CASE("hosts are tried by preference, then by name, each once") {
    std::vector<MxRecord> records{
        {20, "b.example.org"}, {10, "c.example.org"}, {10, "a.example.org"}, {30, "c.example.org"}};
    sort_mx(records);
    CHECK(records == std::vector<MxRecord>{
                         {10, "a.example.org"}, {10, "c.example.org"}, {20, "b.example.org"}});
}
