// SPDX-License-Identifier: Apache-2.0
// The search against a simulated path: packets above its MTU vanish, others are lost by chance.
#include "probes/path_mtu_search.hpp"

#include <doctest/doctest.h>

#include <array>
#include <utility>

#include "tests/exhaustive/simulated_path.hpp"

using namespace postfathom;

namespace {

constexpr std::uint32_t options = 12;

std::uint32_t size_of(const Found& found) {
    return found.path.path_mtu ? found.path.path_mtu->bytes : 0;
}

SizeResult told(std::uint32_t size, SizeOutcome outcome, std::uint32_t small = 4) {
    return {PathMtu{size}, outcome, PathMtu{outcome == SizeOutcome::passed ? size : 0}, small, 0};
}

// These are asked next, nothing comes of any of them, and it ends without a size.
void expect_silence(PathMtuSearch& search, std::initializer_list<std::uint32_t> sizes) {
    for (const auto size : sizes) {
        CAPTURE(size);
        CHECK(search.next() == PathMtu{size});
        search.told(told(size, SizeOutcome::silent));
    }
    CHECK_FALSE(search.next());
    CHECK(search.result() == InboundPath{});
}

}  // namespace

TEST_CASE("without loss the size is exact for every path MTU") {
    struct Range {
        IpFamily family;
        std::uint32_t first, last, upper, step, most;
    };
    for (const auto& range :
         {Range{IpFamily::v4, 576, 1279, 1500, 1, 17}, Range{IpFamily::v4, 1280, 1499, 1500, 1, 14},
          Range{IpFamily::v6, 1280, 1499, 1500, 1, 14},
          Range{IpFamily::v4, 577, 8999, 9000, 37, 20},
          Range{IpFamily::v6, 1280, 8920, 8921, 41, 20}}) {
        std::uint32_t worst = 0;
        for (auto mtu = range.first; mtu <= range.last; mtu += range.step) {
            SimulatedPath path;
            path.mtu = mtu;
            path.family = range.family;
            // Large enough to fill a jumbo packet.
            if (range.upper > 1500) path.flight = 30'000;
            const auto found = search(path, range.upper);
            CAPTURE(mtu);
            REQUIRE(size_of(found) == mtu);
            REQUIRE(found.path.exact);
            worst = std::max(worst, found.connections);
        }
        MESSAGE(range.first << " to " << range.last << ": at most " << worst << " connections");
        CHECK(worst <= range.most);
    }
}

TEST_CASE("usual sizes cost at most eight connections") {
    constexpr std::array<std::pair<std::uint32_t, double>, 13> usual{{{1492, .35},
                                                                      {1420, .14},
                                                                      {1400, .10},
                                                                      {1480, .06},
                                                                      {1454, .05},
                                                                      {1440, .05},
                                                                      {1280, .05},
                                                                      {1460, .04},
                                                                      {1380, .04},
                                                                      {1472, .03},
                                                                      {1412, .03},
                                                                      {1372, .03},
                                                                      {1476, .01}}};
    double mean = 0;
    double failing = 0;
    double weights = 0;
    for (const auto& [size, weight] : usual) {
        const auto mtu = size;  // clang 14 captures no structured binding
        SimulatedPath path;
        path.mtu = mtu;
        const auto found = search(path, 1500);
        CAPTURE(mtu);
        CHECK(size_of(found) == mtu);
        CHECK(found.path.exact);
        CHECK(found.connections <= 8);
        mean += weight * found.connections;
        failing += weight * found.failing;
        weights += weight;
    }
    MESSAGE("mean " << mean / weights << " connections, " << failing / weights << " failing");
    CHECK(mean / weights <= 6.0);
}

TEST_CASE("the size is exact with 5 % loss beside the hole") {
    for (const std::uint32_t mtu : {1492U, 1420U, 1400U, 1353U, 1280U}) {
        for (std::uint32_t seed = 1; seed <= 400; ++seed) {
            SimulatedPath path;
            path.mtu = mtu;
            path.loss = 0.05;
            path.random.seed(seed);
            const auto found = search(path, 1500);
            CAPTURE(mtu);
            CAPTURE(seed);
            REQUIRE(size_of(found) == mtu);
            REQUIRE(found.path.exact);
        }
    }
}

TEST_CASE("loss on a path without a hole never becomes a hole") {
    for (const double loss : {0.1, 0.3}) {
        int searches = 0;
        for (std::uint32_t seed = 1; seed <= 3000; ++seed) {
            SimulatedPath path;
            path.loss = loss;
            path.random.seed(seed);
            const auto found = search(path, 1500);
            CAPTURE(loss);
            CAPTURE(seed);
            REQUIRE_FALSE(found.path.exact);
            if (found.connections > 1) ++searches;
        }
        // The simulation does stall by chance, or this shows nothing.
        if (loss > 0.2) CHECK(searches > 20);
    }
}

TEST_CASE("a chain that fills one packet only is repeated until loss is out") {
    SimulatedPath path;
    path.mtu = 1492;
    path.flight = 1600;
    const auto found = search(path, 1500);
    CHECK(size_of(found) == 1492);
    CHECK(found.path.exact);
    CHECK(found.connections <= 10);
}

TEST_CASE("a flight without a smaller last packet is found by its silence") {
    SimulatedPath path;
    path.mtu = 1400;
    path.flight = 1448;  // one packet of 1500 and nothing behind it
    PathMtuSearch search(IpFamily::v4, options);
    search.told(path.attempt(PathMtu{1500}).result);
    // Whether size matters at all comes first.
    CHECK(search.next() == PathMtu{1280});
}

TEST_CASE("a mute server is asked twice more and never gets a size") {
    PathMtuSearch search(IpFamily::v4, options);
    search.told(told(1500, SizeOutcome::silent));
    expect_silence(search, {1280, 576});
}

TEST_CASE("a server that falls silent half-way gets no exact size") {
    PathMtuSearch search(IpFamily::v4, options);
    search.told(told(1500, SizeOutcome::gap));
    search.told(told(1400, SizeOutcome::passed));
    for (int i = 0; i < 30; ++i) {
        const auto size = search.next();
        if (!size) break;
        search.told(told(size->bytes, SizeOutcome::silent));
    }
    CHECK_FALSE(search.next());
    CHECK_FALSE(search.result().exact);
    CHECK(search.result().path_mtu == PathMtu{1400});
}

TEST_CASE("what passes proves an earlier failure at that size to be loss") {
    PathMtuSearch search(IpFamily::v4, options);
    search.told(told(1500, SizeOutcome::gap));
    search.told(told(1420, SizeOutcome::gap));
    search.told(told(1440, SizeOutcome::passed));
    CHECK(search.passes() == PathMtu{1440});
    CHECK(search.fails() == PathMtu{1500});
    search.told(told(1500, SizeOutcome::passed));
    CHECK_FALSE(search.fails());
    CHECK_FALSE(search.next());
    CHECK_FALSE(search.result().exact);
}

TEST_CASE("jumbo ends are asked at 1500 first, and at one byte more") {
    PathMtuSearch search(IpFamily::v4, options);
    search.told(told(8921, SizeOutcome::gap));
    CHECK(search.next() == PathMtu{1500});
    search.told(told(1500, SizeOutcome::passed));
    CHECK(search.next() == PathMtu{1501});
}

TEST_CASE("a flight that needs no larger packet ends the search without an exact size") {
    PathMtuSearch search(IpFamily::v4, options);
    search.told(told(1500, SizeOutcome::silent));
    SizeResult short_flight{PathMtu{1280}, SizeOutcome::short_flight, PathMtu{900}, 4, 848};
    search.told(short_flight);
    CHECK_FALSE(search.next());
    CHECK(search.result().path_mtu == PathMtu{900});
    CHECK_FALSE(search.result().exact);
}

TEST_CASE("other failures end the search soon") {
    PathMtuSearch search(IpFamily::v4, options);
    search.told(told(1500, SizeOutcome::gap));
    for (int i = 0; i < 3; ++i) {
        const auto size = search.next();
        REQUIRE(size);
        search.told(told(size->bytes, SizeOutcome::failed));
    }
    CHECK_FALSE(search.next());
    CHECK(search.result() == InboundPath{});
}

TEST_CASE("a right hint takes few connections: its size and the next one are tested first") {
    for (const std::uint32_t mtu : {576U, 1280U, 1353U, 1400U, 1499U}) {
        SimulatedPath path;
        path.mtu = mtu;
        const auto found = search(path, 1500, {mtu});
        CAPTURE(mtu);
        CHECK(size_of(found) == mtu);
        CHECK(found.path.exact);
        CHECK(found.connections <= 4);
    }
}

TEST_CASE("a hint from an unfinished probe narrows the search to what is left") {
    SimulatedPath path;
    path.mtu = 1353;
    const auto found = search(path, 1500, {1350, PathMtu{1358}});
    CHECK(size_of(found) == 1353);
    CHECK(found.path.exact);
    CHECK(found.connections <= 5);
}

TEST_CASE("a wrong hint never gives a wrong size") {
    for (const Hint& hint :
         {Hint{1400}, Hint{1500}, Hint{576}, Hint{9000}, Hint{1280, PathMtu{1300}},
          Hint{1400, PathMtu{1500}}, Hint{1400, PathMtu{1280}}, Hint{100}}) {
        for (std::uint32_t mtu = 1200; mtu < 1500; mtu += 7) {
            SimulatedPath path;
            path.mtu = mtu;
            const auto found = search(path, 1500, hint);
            CAPTURE(mtu);
            CAPTURE(hint.passes);
            REQUIRE(size_of(found) == mtu);
            REQUIRE(found.path.exact);
            REQUIRE(found.connections <= 18);
        }
    }
}

TEST_CASE("a hint does not make a mute server a black hole") {
    PathMtuSearch search(IpFamily::v4, options);
    search.hint(PathMtu{1400}, std::nullopt);
    search.told(told(1500, SizeOutcome::silent));
    expect_silence(search, {1400, 1280, 576});
}
