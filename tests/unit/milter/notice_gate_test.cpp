// SPDX-License-Identifier: Apache-2.0
#include "milter/notice_gate.hpp"

#include <doctest/doctest.h>

#include <string>

using namespace postfathom;
using namespace std::chrono_literals;

TEST_CASE("a notice passes once per interval") {
    const NoticeGate::Time start{1h};
    NoticeGate gate(10, 600s);
    CHECK(gate.let_through("a", start));
    CHECK_FALSE(gate.let_through("a", start));
    CHECK(gate.let_through("b", start + 1s));
    CHECK_FALSE(gate.let_through("a", start + 599s));
    CHECK(gate.let_through("a", start + 600s));
    CHECK_FALSE(gate.let_through("b", start + 600s));
    CHECK(gate.let_through("b", start + 601s));
}

TEST_CASE("no more notices than the capacity pass in an interval, and memory stays bounded") {
    const NoticeGate::Time start{1h};
    NoticeGate gate(1000, 600s);
    int passed = 0;
    for (int i = 0; i < 50'000; ++i)
        if (gate.let_through("example" + std::to_string(i) + ".org", start + i * 1ms)) ++passed;
    CHECK(passed == 1000);
    CHECK(gate.size() == 1000);
    CHECK_FALSE(gate.let_through("late.example.org", start + 599s));
    CHECK(gate.let_through("late.example.org", start + 600s));
    CHECK(gate.let_through("example0.org", start + 1800s));
    CHECK(gate.size() == 1);
}
