// SPDX-License-Identifier: Apache-2.0
// How long a lookup in a warm cache takes, and how much of that is reading the record's JSON.
//   bench_cache [DESTINATIONS]
#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstring>
#include <random>

#include "lib/cache/record_codec.hpp"
#include "tests/bench/filled_cache.hpp"

namespace postfathom {
namespace {

using Clock = std::chrono::steady_clock;

double nanoseconds(Clock::duration duration) {
    return std::chrono::duration<double, std::nano>(duration).count();
}

// Times each call of `work` with a number below `many`, in random order.
template <typename Work>
void measure(const char* what, int many, Work work) {
    constexpr int rounds = 300'000;
    std::mt19937 random(1);  // NOLINT: the same order in every run
    std::vector<double> times;
    times.reserve(rounds);
    std::vector<int> order(rounds);
    for (auto& number : order) number = static_cast<int>(random() % static_cast<unsigned>(many));
    for (const auto number : order) work(number);  // warm
    const auto start = Clock::now();
    for (const auto number : order) work(number);
    const auto all = nanoseconds(Clock::now() - start);
    for (const auto number : order) {
        const auto before = Clock::now();
        work(number);
        times.push_back(nanoseconds(Clock::now() - before));
    }
    std::sort(times.begin(), times.end());
    std::printf("%-34s %10.0f /s   mean %6.2f us   p50 %6.2f us   p99 %6.2f us\n", what,
                rounds / all * 1e9, all / rounds / 1000, times[rounds / 2] / 1000,
                times[rounds / 100 * 99] / 1000);
}

int run(int destinations) {
    const bench::TemporaryDirectory directory;
    const auto start = Clock::now();
    if (!bench::fill_cache(directory.path(), destinations)) return 1;
    std::printf("%d destinations stored in %.1f s\n", destinations,
                nanoseconds(Clock::now() - start) / 1e9);
    const auto reader = open_cache_for_reading(directory.path());
    const auto counters = reader->counters();
    std::printf("%.1f MiB used of %.1f MiB\n", static_cast<double>(counters.bytes_used) / (1 << 20),
                static_cast<double>(counters.bytes_limit) / (1 << 20));

    std::vector<std::string> domains;
    std::vector<std::string> relays;
    for (int i = 0; i < destinations; ++i) {
        domains.push_back(bench::domain(i));
        relays.push_back(bench::relay(i));
    }
    std::size_t found = 0;
    const auto at = [](int i) { return static_cast<std::size_t>(i); };
    measure("route and next hop (a request)", destinations, [&](int i) {
        const auto route = reader->route(domains[at(i)]);
        found += route && reader->next_hop(route->next_hop) ? 1 : 0;
    });
    measure("way (the same, remembered)", destinations, [&](int i) {
        const auto way = reader->way(domains[at(i)]);
        found += way && way->verdict ? 1 : 0;
    });
    measure("route", destinations, [&](int i) { found += reader->route(domains[at(i)]) ? 1 : 0; });
    measure("next hop", destinations,
            [&](int i) { found += reader->next_hop(relays[at(i)]) ? 1 : 0; });
    measure("the same next hop", 1,
            [&](int i) { found += reader->next_hop(relays[at(i)]) ? 1 : 0; });
    measure("next hop that is not there", destinations,
            [&](int i) { found += reader->next_hop(domains[at(i)]) ? 1 : 0; });

    const auto next_hop = encode(*reader->next_hop(relays[0]));
    const auto route = encode(*reader->route(domains[0]));
    measure("parse a next hop's record", 1,
            [&](int) { found += decode_next_hop(next_hop) ? 1 : 0; });
    measure("parse a route's record", 1, [&](int) { found += decode_route(route) ? 1 : 0; });
    std::printf("%zu answers, %zu bytes a next hop, %zu bytes a route\n", found, next_hop.size(),
                route.size());
    return 0;
}

}  // namespace
}  // namespace postfathom

int main(int argc, char** argv) {
    int destinations = 100'000;
    if (argc > 1) std::from_chars(argv[1], argv[1] + std::strlen(argv[1]), destinations);
    return postfathom::run(std::max(destinations, 100));
}
