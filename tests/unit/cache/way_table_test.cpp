// SPDX-License-Identifier: Apache-2.0
#include "lib/cache/way_table.hpp"

#include <doctest/doctest.h>

#include "tests/unit/cache/sample.hpp"

namespace postfathom {
namespace {

std::string name(std::size_t number) { return "d" + std::to_string(number) + ".example"; }

KnownWay way_of(std::size_t number) {
    return {"h" + std::to_string(number) + ".example",
            sample::healthy(static_cast<std::int64_t>(number))};
}

}  // namespace

TEST_CASE("a way is remembered for its snapshot only") {
    WayTable table;
    CHECK_FALSE(table.find("example.org", {1, 1}));
    table.remember("example.org", way_of(1), {1, 1});
    CHECK(table.find("example.org", {1, 1}) == way_of(1));
    CHECK_FALSE(table.find("example.or", {1, 1}));
    CHECK_FALSE(table.find("", {1, 1}));
    CHECK_FALSE(table.find("example.org", {1, 2}));
    CHECK_FALSE(table.find("example.org", {2, 1}));
    // A new snapshot takes the place of all that came before, also when an old one comes back.
    table.remember("example.net", way_of(2), {1, 2});
    CHECK(table.find("example.net", {1, 2}) == way_of(2));
    CHECK_FALSE(table.find("example.org", {1, 2}));
    CHECK_FALSE(table.find("example.org", {1, 1}));
}

TEST_CASE("names too long to be remembered are not") {
    WayTable table;
    const std::string fits(112 - way_of(1).next_hop.size(), 'd');
    table.remember(fits, way_of(1), {1, 1});
    CHECK(table.find(fits, {1, 1}) == way_of(1));
    for (const std::size_t size : {fits.size() + 1, std::size_t{112}, std::size_t{5000}}) {
        table.remember(std::string(size, 'd'), way_of(2), {1, 1});
        CHECK_FALSE(table.find(std::string(size, 'd'), {1, 1}));
    }
}

TEST_CASE("a table that is full starts anew, and answers stay right") {
    WayTable table;
    for (std::size_t i = 0; i < WayTable::most; ++i) table.remember(name(i), way_of(i), {1, 1});
    std::size_t right = 0;
    for (std::size_t i = 0; i < WayTable::most; ++i)
        right += table.find(name(i), {1, 1}) == way_of(i) ? 1 : 0;
    CHECK(right == WayTable::most);
    CHECK_FALSE(table.find(name(WayTable::most), {1, 1}));
    table.remember(name(WayTable::most), way_of(WayTable::most), {1, 1});
    CHECK(table.find(name(WayTable::most), {1, 1}) == way_of(WayTable::most));
    CHECK_FALSE(table.find(name(0), {1, 1}));
}

TEST_CASE("nothing comes back after as many snapshots as can be told apart") {
    WayTable table;
    for (std::uint64_t i = 1; i <= 70'000; ++i) {
        table.remember(name(i), way_of(i), {1, i});
        if (table.find(name(i), {1, i}) != way_of(i)) FAIL("lost " << i);
        if (i > 1 && table.find(name(i - 1), {1, i})) FAIL("came back " << i - 1);
    }
}

}  // namespace postfathom
