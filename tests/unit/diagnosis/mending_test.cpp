// SPDX-License-Identifier: Apache-2.0
#include "lib/diagnosis/mending.hpp"

#include <doctest/doctest.h>

#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <fstream>
#include <iterator>

using namespace postfathom;

namespace {

boost::json::value saved(const std::string& name) {
    std::ifstream in(POSTFATHOM_SOURCE_DIR "/tests/data/report/" + name);
    REQUIRE(in);
    return boost::json::parse(std::string(std::istreambuf_iterator<char>(in), {}));
}

const MendingItem& item(const Mending& mending, std::string_view id) {
    for (const auto& item : mending.items)
        if (item.id == id) return item;
    FAIL("no such item");
    return mending.items.front();
}

}  // namespace

TEST_CASE("a hole that is gone is mended, item by item") {
    const auto found = mending(saved("black-hole.json"), saved("healthy-ipv6.json"));
    CHECK(found.was_ill);
    CHECK(found.severity == Severity::ok);
    CHECK(found.before.find("pmtu-black-hole inbound") == 0);
    CHECK(item(found, "handshake").mended == Mended::yes);
    CHECK(item(found, "handshake").before.find("stalled") == 0);
    CHECK(item(found, "handshake").after.find("ok") == 0);
    CHECK(item(found, "path-mtu-inbound").before == "1400, larger packets vanish");
    CHECK(item(found, "path-mtu-inbound").mended != Mended::no);
    CHECK(item(found, "retransmissions").before == "0 sent again, 4 missed from the server");
    const auto text = to_text(found, false);
    CHECK(text.find("Mended.") != std::string::npos);
    CHECK(text.find('\x1b') == std::string::npos);
    CHECK(to_json(found).at("mended") == boost::json::value(true));
}

TEST_CASE("a hole that is still there is not mended, and says where to look") {
    const auto found = mending(saved("black-hole.json"), saved("black-hole.json"));
    CHECK(item(found, "handshake").mended == Mended::no);
    CHECK(item(found, "path-mtu-inbound").mended == Mended::no);
    CHECK(item(found, "path-mtu-outbound").mended == Mended::unknown);
    CHECK(item(found, "retransmissions").mended == Mended::no);
    CHECK(to_text(found, false).find("Not mended") != std::string::npos);
    CHECK(to_json(found).at("mended") == boost::json::value(false));
}

TEST_CASE("without anything known before, and without an answer now, that is what is said") {
    const auto well = mending(nullptr, saved("healthy-ipv6.json"));
    CHECK_FALSE(well.was_ill);
    CHECK(to_text(well, false).find("nothing was known to be ill") != std::string::npos);
    const auto nothing = mending(saved("black-hole.json"), nullptr);
    CHECK(to_json(nothing).at("mended").is_null());
    for (const auto& item : nothing.items) CHECK(item.mended == Mended::unknown);
    CHECK(to_text(nothing, false).find("could not be told") != std::string::npos);
}

TEST_CASE("a report of any shape does no harm") {
    for (const auto* text :
         {"5", "[]", "{}", R"({"endpoints": 1})", R"({"endpoints": [1, null, {}]})",
          R"({"endpoints": [{"attempts": [{"tcp": {"retransmits": -1}, "large_lost": "x"}],
              "flights": [{"passes": 1e300}], "path_mtu": {"inbound": "x"}}]})"}) {
        const auto value = boost::json::parse(text);
        CHECK_FALSE(to_text(mending(value, value), true).empty());
        CHECK_FALSE(boost::json::serialize(to_json(mending(value, value))).empty());
    }
}
