// SPDX-License-Identifier: Apache-2.0
// The search on very many simulated paths: exact without loss, and with loss never a hole that is
// not there.
#include <doctest/doctest.h>
#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <map>

#include "lib/diagnosis/diagnose.hpp"
#include "lib/diagnosis/rules.hpp"
#include "tests/exhaustive/simulated_path.hpp"

using namespace postfathom;

namespace {

constexpr std::array<std::uint32_t, 14> common{1280, 1372, 1380, 1400, 1412, 1420, 1440,
                                               1454, 1460, 1472, 1476, 1480, 1492, 1500};
constexpr std::array<double, 3> round_trips{0.002, 0.03, 0.1};
constexpr std::array<std::uint32_t, 3> ends{1500, 8921, 9000};

class Paths {
  public:
    explicit Paths(std::uint32_t seed) : random_(seed) {}

    std::uint32_t between(std::uint32_t first, std::uint32_t last) {
        return std::uniform_int_distribution<std::uint32_t>(first, last)(random_);
    }
    bool one_in(std::uint32_t n) { return between(1, n) == 1; }
    template <typename Values>
    auto one_of(const Values& values) {
        return values[between(0, static_cast<std::uint32_t>(values.size()) - 1)];
    }

    std::uint32_t upper() { return one_in(4) ? one_of(ends) : 1500; }

    SimulatedPath below(std::uint32_t upper) {
        SimulatedPath path;
        path.family = one_in(2) ? IpFamily::v4 : IpFamily::v6;
        const std::uint32_t lowest = path.family == IpFamily::v4 ? 576 : 1280;
        path.mtu = one_in(2) ? between(lowest, upper - 1) : one_of(common);
        path.mtu = std::min(path.mtu, upper - 1);
        path.options = one_in(4) ? 0 : 12;
        const auto overhead = header_bytes(path.family) + path.options;
        // Enough for one packet of any size that is tested; in one of eight a whole number of those
        // that pass, so that there the last one is as large as the others.
        path.flight = between(upper - overhead, 3 * upper);
        if (one_in(8)) path.flight += path.mtu - overhead - path.flight % (path.mtu - overhead);
        path.random.seed(random_());
        return path;
    }

    Hint hint(const SimulatedPath& path, std::uint32_t upper) {
        switch (between(0, 5)) {
            case 0:  // right
                return {path.mtu, std::nullopt};
            case 1:  // right, from a search that did not come to its end
                return {path.mtu - between(0, 40), PathMtu{path.mtu + between(1, 40)}};
            case 2:  // of another path
                return {between(400, upper + 10), std::nullopt};
            case 3:
                return {between(400, upper), PathMtu{between(400, upper)}};
            default:
                return {};
        }
    }

    std::uint32_t seed() { return static_cast<std::uint32_t>(random_()); }

  private:
    std::mt19937 random_;
};

struct Distribution {
    std::map<std::uint32_t, std::uint32_t> counts;

    void add(std::uint32_t value) { ++counts[value]; }
    std::uint32_t max() const { return counts.empty() ? 0 : counts.rbegin()->first; }
    std::string text() const {
        double sum = 0;
        double total = 0;
        std::string each;
        for (const auto& [value, count] : counts) {
            sum += static_cast<double>(value) * count;
            total += count;
            each += fmt::format(" {}:{}", value, count);
        }
        return fmt::format("mean {:.2f}, max {};{}", sum / total, max(), each);
    }
};

}  // namespace

TEST_CASE("a hundred thousand paths without loss: the size is always exact") {
    Paths paths(20260101);
    Distribution connections;
    Distribution hinted_connections;
    Distribution waits;
    for (int i = 0; i < 100'000; ++i) {
        const auto upper = paths.upper();
        auto path = paths.below(upper);
        const auto hint = paths.hint(path, upper);
        const bool hinted = hint.passes > 0;
        const auto found = hinted ? search(path, upper, hint)
                                  : search(path, upper, {}, PathMtuSearch::enough_connections);
        CAPTURE(i);
        CAPTURE(upper);
        CAPTURE(path.mtu);
        CAPTURE(path.flight);
        CAPTURE(path.options);
        CAPTURE(hint.passes);
        const auto hole = rules::black_hole(found.evidence);
        REQUIRE(hole);
        REQUIRE(hole->path_mtu == PathMtu{path.mtu});
        REQUIRE(hole->path_mtu_exact);
        REQUIRE(found.path.path_mtu == PathMtu{path.mtu});
        REQUIRE(found.path.fails == PathMtu{path.mtu + 1});
        (hinted ? hinted_connections : connections).add(found.connections);
        waits.add(found.silent);
    }
    MESSAGE("connections without a hint: " << connections.text());
    MESSAGE("connections with a hint, right or wrong: " << hinted_connections.text());
    MESSAGE("stalls that had to be waited out: " << waits.text());
}

// Measured with 400,000 runs each: none with 1 and 20 %, 2 in 100,000 in bursts; with 30 % it was 4
// in 100,000 (of 80,000). What is claimed as the bound is 1 in 10,000
// (max_false_claim_probability).
TEST_CASE("loss on a path without a hole is called one less often than the bound says") {
    struct Loss {
        const char* name;
        double loss;
        Bursts bursts;
        int runs;
        int least_searches;
    };
    Paths paths(20260102);
    for (const auto& weather :
         {Loss{"1 %", 0.01, {}, 10'000, 0}, Loss{"5 %", 0.05, {}, 10'000, 1},
          Loss{"20 %", 0.2, {}, 10'000, 50}, Loss{"30 %", 0.3, {}, 40'000, 500},
          Loss{"bursts", 0, {0.02, 0.2, 0.9}, 10'000, 20}}) {
        int searches = 0;
        int claims = 0;
        for (int i = 0; i < weather.runs; ++i) {
            SimulatedPath path;
            path.loss = weather.loss;
            path.bursts = weather.bursts;
            path.flight = paths.between(1448, 6000);
            path.random.seed(paths.seed());
            path.round_trip = paths.one_of(round_trips);
            const auto found = search(path, 1500);
            if (found.connections > 1) ++searches;
            if (rules::black_hole(found.evidence)) ++claims;
        }
        MESSAGE(std::string(weather.name) << ": " << weather.runs << " runs, " << searches
                                          << " searches, " << claims << " claims");
        CHECK(claims <= max_false_claim_probability * weather.runs);
        // The simulation does stall by chance, or this shows nothing.
        CHECK(searches >= weather.least_searches);
    }
}

// A wrong size needs a chance loss of every copy of every packet of one size, twice: measured
// below 1 in 100,000.
TEST_CASE("a hole beside 5 % loss is found to the byte or not claimed") {
    Paths paths(20260103);
    constexpr int runs = 20'000;
    int exact = 0;
    for (int i = 0; i < runs; ++i) {
        auto path = paths.below(1500);
        path.loss = 0.05;
        path.round_trip = paths.one_of(round_trips);
        const auto hint = paths.hint(path, 1500);
        const auto found = search(path, 1500, hint);
        const auto claim = rules::black_hole(found.evidence);
        if (!claim) continue;
        CAPTURE(i);
        CAPTURE(path.mtu);
        CAPTURE(path.flight);
        REQUIRE(claim->path_mtu <= PathMtu{path.mtu});
        if (!claim->path_mtu_exact) continue;
        REQUIRE(claim->path_mtu == PathMtu{path.mtu});
        ++exact;
    }
    MESSAGE("exact in " << exact << " of " << runs);
    CHECK(exact > runs * 99 / 100);
}
