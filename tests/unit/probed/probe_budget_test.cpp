// SPDX-License-Identifier: Apache-2.0
#include "probes/probe_budget.hpp"

#include <doctest/doctest.h>

#include <deque>
#include <random>

using namespace postfathom;
using namespace std::chrono_literals;

namespace {

const ProbeBudget::Time begin{std::chrono::hours{1000}};
const auto mx = *IpAddress::parse("192.0.2.1");
const auto other = *IpAddress::parse("2001:db8::1");

}  // namespace

TEST_CASE("what a probe used is missing for ten minutes, at that server alone") {
    ProbeBudget budget({});
    CHECK(budget.left(mx, begin) == ProbeBudget::Left{8, 4});
    budget.book(mx, 5, 3, begin);
    CHECK(budget.left(mx, begin) == ProbeBudget::Left{3, 1});
    CHECK(budget.left(other, begin) == ProbeBudget::Left{8, 4});
    CHECK(budget.left(mx, begin + 10min - 1ms) == ProbeBudget::Left{3, 1});
    CHECK(budget.left(mx, begin + 10min) == ProbeBudget::Left{8, 4});
}

TEST_CASE("a probe is not begun with too little left, and the time when there is enough is known") {
    ProbeBudget budget({});
    CHECK(budget.enough(mx, begin));
    CHECK(budget.enough_at(mx, begin) == begin);
    budget.book(mx, 3, 1, begin);
    budget.book(mx, 3, 0, begin + 1min);
    CHECK(budget.left(mx, begin + 1min) == ProbeBudget::Left{2, 3});
    CHECK_FALSE(budget.enough(mx, begin + 1min));
    CHECK(budget.enough_at(mx, begin + 1min) == begin + 10min);
    CHECK(budget.unused_at(mx, begin + 1min) == begin + 11min);
    CHECK(budget.enough(mx, begin + 10min));
    // More than everything, as a person may: both have to go.
    budget.book(mx, 30, 9, begin + 2min);
    CHECK(budget.left(mx, begin + 2min) == ProbeBudget::Left{0, 0});
    CHECK(budget.enough_at(mx, begin + 2min) == begin + 12min);
}

TEST_CASE("a limit below what a search needs still lets single probes through") {
    ProbeBudget budget({.connections = 1, .aborted = 1});
    CHECK(budget.enough(mx, begin));
    budget.book(mx, 1, 0, begin);
    CHECK_FALSE(budget.enough(mx, begin));
    CHECK(budget.enough(mx, begin + 10min));
}

TEST_CASE("no window of ten minutes sees more than the budget, whatever is asked when") {
    std::mt19937 random(7);  // NOLINT: the same story every time
    for (int story = 0; story < 50; ++story) {
        ProbeBudget budget({});
        struct Made {
            ProbeBudget::Time at;
            std::uint32_t connections;
            std::uint32_t aborted;
        };
        std::deque<Made> made;
        auto now = begin;
        std::uint64_t total = 0;
        for (int i = 0; i < 400; ++i) {
            now += std::chrono::seconds{random() % 120};
            const auto left = budget.left(mx, now);
            if (!budget.enough(mx, now)) continue;
            const auto connections = static_cast<std::uint32_t>(random() % (left.connections + 1));
            const auto aborted =
                static_cast<std::uint32_t>(random() % (std::min(left.aborted, connections) + 1));
            budget.book(mx, connections, aborted, now);
            made.push_back({now, connections, aborted});
            total += connections;
            std::erase_if(made, [&](const Made& m) { return m.at <= now - 10min; });
            std::uint32_t sum = 0;
            std::uint32_t unfinished = 0;
            for (const auto& m : made) {
                sum += m.connections;
                unfinished += m.aborted;
            }
            CHECK(sum <= 8);
            CHECK(unfinished <= 4);
        }
        CHECK(total > 100);
    }
}

TEST_CASE("a server that asks us to come again later is left alone, longer each time") {
    ProbeBudget budget({});
    CHECK_FALSE(budget.backing_off(mx, begin));
    auto now = begin;
    for (const auto pause : {10min, 20min, 40min, 80min, 160min, 240min, 240min}) {
        budget.told_to_go(mx, now);
        REQUIRE(budget.backing_off(mx, now));
        CHECK(*budget.backing_off(mx, now) == now + pause);
        CHECK(budget.backing_off(mx, now + pause - 1ms));
        now += pause;
        CHECK_FALSE(budget.backing_off(mx, now));
    }
    CHECK_FALSE(budget.backing_off(other, begin));
    budget.welcomed(mx);
    budget.told_to_go(mx, now);
    CHECK(*budget.backing_off(mx, now) == now + 10min);
}

TEST_CASE("memory is bounded, and a server that does not fit in has nothing left") {
    ProbeBudget budget({.addresses = 3});
    const auto address = [](unsigned i) {
        return IpAddress::from_v4({198, 51, 100, static_cast<std::uint8_t>(i)});
    };
    for (unsigned i = 0; i < 3; ++i) budget.book(address(i), 1, 0, begin);
    CHECK(budget.left(address(9), begin) == ProbeBudget::Left{0, 0});
    CHECK_FALSE(budget.enough(address(9), begin));
    budget.book(address(9), 1, 0, begin);
    budget.told_to_go(address(9), begin);
    CHECK(budget.addresses() == 3);
    // What is over makes room, but not while how often a server asked still matters.
    budget.told_to_go(address(0), begin);
    const auto later = begin + 5h;
    budget.book(address(9), 1, 0, later);
    CHECK(budget.addresses() == 1);
    CHECK(budget.left(address(9), later) == ProbeBudget::Left{7, 4});
    for (int i = 0; i < 1000; ++i) budget.book(address(9), 1, 1, later);
    CHECK(budget.left(address(9), later) == ProbeBudget::Left{0, 0});
    CHECK(budget.left(address(9), later + 10min) == ProbeBudget::Left{8, 4});
}

TEST_CASE("a full memory lets new servers in again when what it has is over") {
    ProbeBudget budget({.addresses = 2});
    const auto address = [](unsigned i) {
        return IpAddress::from_v4({198, 51, 100, static_cast<std::uint8_t>(i)});
    };
    budget.book(address(0), 1, 0, begin);
    budget.book(address(1), 1, 0, begin);
    budget.forget_what_is_over(begin + 9min);
    CHECK_FALSE(budget.enough(address(9), begin + 9min));
    // Whoever is not let in books nothing, so it must not take a booking.
    budget.forget_what_is_over(begin + 5h);
    CHECK(budget.addresses() == 0);
    CHECK(budget.enough(address(9), begin + 5h));
}

TEST_CASE("each pause is announced once") {
    ProbeBudget budget({});
    budget.book(mx, 8, 4, begin);
    CHECK(budget.announce(mx, begin + 10min));
    CHECK_FALSE(budget.announce(mx, begin + 10min));
    CHECK(budget.announce(mx, begin + 20min));
}
