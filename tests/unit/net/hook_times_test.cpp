// SPDX-License-Identifier: Apache-2.0
#include "lib/net/hook_times.hpp"

#include <doctest/doctest.h>

#include <numeric>
#include <thread>
#include <vector>

using namespace postfathom;
using namespace std::chrono_literals;

TEST_CASE("an answer is counted in the first bucket whose bound it does not exceed") {
    struct Case {
        std::chrono::nanoseconds taken;
        std::size_t bucket;
    };
    const Case cases[] = {
        {-1ns, 0},   {0ns, 0}, {10us, 0}, {10'001ns, 1},         {25us, 1},        {300ms, 12},
        {301ms, 13}, {1s, 13}, {3s, 14},  {3'000'000'001ns, 15}, {1'000'000s, 15},
    };
    for (const auto& [taken, bucket] : cases) {
        const auto nanoseconds = taken.count();  // clang 14 captures no structured binding
        CAPTURE(nanoseconds);
        HookTimer timer(HookSocket::tables);
        timer.add(taken);
        const auto times = timer.read();
        CHECK(times.hook == HookSocket::tables);
        CHECK(times.counts.at(bucket) == 1);
        CHECK(std::accumulate(times.counts.begin(), times.counts.end(), std::uint64_t{0}) == 1);
        CHECK(times.microseconds ==
              static_cast<std::uint64_t>(std::max<std::int64_t>(0, taken.count()) / 1000));
    }
}

TEST_CASE("answers of many threads are all counted") {
    HookTimer timer(HookSocket::milter);
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i)
        threads.emplace_back([&] {
            for (int n = 0; n < 10'000; ++n) timer.add(2us);
        });
    for (auto& thread : threads) thread.join();
    CHECK(timer.read().counts.front() == 40'000);
    CHECK(timer.read().microseconds == 80'000);
}

TEST_CASE("the sockets' names are read as they are written") {
    for (const auto hook : all_hook_sockets) CHECK(parse_hook_socket(to_string(hook)) == hook);
    CHECK_FALSE(parse_hook_socket(""));
    CHECK_FALSE(parse_hook_socket("Policy"));
}
