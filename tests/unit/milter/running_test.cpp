// SPDX-License-Identifier: Apache-2.0
#include "milter/running.hpp"

#include <doctest/doctest.h>

using namespace postfathom;

TEST_CASE("callbacks that come and go are no trouble, however many there are at any time") {
    RunningCallbacks running;
    auto before = running.begin();
    for (int turn = 0; turn < 100; ++turn) {
        CHECK(running.next_turn());
        const auto now = running.begin();
        running.end(before);
        before = now;
        CHECK(running.count() == 1);
    }
    running.end(before);
    CHECK(running.count() == 0);
}

TEST_CASE("one callback that hangs beside others is seen, and no more once it is gone") {
    RunningCallbacks running;
    CHECK(running.next_turn());
    const auto hanging = running.begin();
    std::size_t turns = 0;
    while (running.next_turn()) {
        const auto other = running.begin();
        running.end(other);
        REQUIRE(++turns < RunningCallbacks::turns_until_hung);
    }
    CHECK(turns == RunningCallbacks::turns_until_hung - 1);
    CHECK_FALSE(running.next_turn());
    CHECK(running.count() == 1);
    running.end(hanging);
    CHECK(running.next_turn());
}
