// SPDX-License-Identifier: Apache-2.0
#include "probes/path_mtu_search.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "lib/diagnosis/diagnose.hpp"

namespace postfathom {

namespace {

constexpr PathMtu above_ethernet{1501};
constexpr int max_failures = 3;
constexpr int max_tests_of_bound = 4;
// The wait for a fourth copy takes about a second, and for each one more twice as long.
constexpr std::uint32_t most_copies = 4;

// How likely a path that fails at 1500 ends at this size: encapsulations, tunnels and habits. A
// guess that orders the search; it never decides what is found.
struct Plateau {
    std::uint32_t size;
    double weight;
};
constexpr std::array<Plateau, 31> plateaus{{
    {576, .003},  {1006, .002}, {1280, .05}, {1300, .005}, {1350, .005}, {1358, .005},
    {1360, .005}, {1372, .03},  {1380, .04}, {1390, .005}, {1400, .10},  {1412, .03},
    {1420, .14},  {1432, .005}, {1440, .05}, {1448, .005}, {1450, .01},  {1454, .05},
    {1460, .04},  {1464, .005}, {1472, .03}, {1476, .02},  {1480, .06},  {1488, .005},
    {1492, .35},  {1496, .005}, {1500, .30}, {2002, .005}, {4352, .005}, {8921, .05},
    {9000, .05},
}};

double background(std::uint32_t size) {
    if (size <= 1280) return .03 / 704;
    return size < 1500 ? .05 / 219 : .02 / 7500;
}

// Sizes that nothing tells apart: one plateau, or a range between two.
struct Stretch {
    std::uint32_t first;
    std::uint32_t last;
    double weight;
};

std::vector<Stretch> stretches(std::uint32_t lowest, std::uint32_t highest) {
    std::vector<Stretch> result;
    const auto add_range = [&result](std::uint32_t first, std::uint32_t last) {
        if (first > last) return;
        const auto length = static_cast<double>(last - first + 1);
        result.push_back({first, last, length * (background(first) + background(last)) / 2});
    };
    auto from = lowest;
    for (const auto& plateau : plateaus) {
        if (plateau.size < from || plateau.size > highest) continue;
        add_range(from, plateau.size - 1);
        result.push_back({plateau.size, plateau.size, plateau.weight});
        from = plateau.size + 1;
    }
    add_range(from, highest);
    return result;
}

// A failing test ends in an aborted handshake, which costs the peer a log line: worth avoiding a
// little.
constexpr double cost_of_pass = 1.0;
constexpr double cost_of_failure = 1.25;

}  // namespace

PathMtu most_telling_size(PathMtu passes, PathMtu fails, std::uint32_t tests) {
    const auto parts = stretches(passes.bytes, fails.bytes - 1);
    const auto n = parts.size();
    const PathMtu middle{passes.bytes + (fails.bytes - passes.bytes) / 2};
    if (n == 1) return middle;

    // Knuth's optimal search tree: cost of (i, j) is the expected cost of finding the answer among
    // parts i..j; the test at a split asks whether the first size of part `split` passes.
    std::vector<double> cost(n * n, 0);
    std::vector<double> sum(n + 1, 0);
    const auto cost_at = [&](std::size_t i, std::size_t j, std::size_t split) {
        return (sum[split] - sum[i]) * cost_of_failure + cost[i * n + split - 1] +
               (sum[j + 1] - sum[split]) * cost_of_pass + cost[split * n + j];
    };
    for (std::size_t i = 0; i < n; ++i) sum[i + 1] = sum[i] + parts[i].weight;
    for (std::size_t i = 0; i < n; ++i)
        cost[i * n + i] = parts[i].weight * std::log2(parts[i].last - parts[i].first + 1.0) *
                          (cost_of_pass + cost_of_failure) / 2;
    // The best split of a longer run lies between those of the two runs one shorter.
    std::vector<std::size_t> best_split(n * n, 0);
    for (std::size_t i = 0; i < n; ++i) best_split[i * n + i] = i;
    for (std::size_t length = 2; length < n; ++length) {
        for (std::size_t i = 0; i + length <= n; ++i) {
            const auto j = i + length - 1;
            const auto last = std::min(best_split[(i + 1) * n + j], j);
            auto best = std::numeric_limits<double>::infinity();
            for (auto split = std::max(best_split[i * n + j - 1], i + 1); split <= last; ++split) {
                const auto total = cost_at(i, j, split);
                if (total >= best) continue;
                best = total;
                best_split[i * n + j] = split;
            }
            cost[i * n + j] = best;
        }
    }
    // Halving tells 2^t sizes apart with t tests: a first test that leaves more than the others
    // can tell apart is too one-sided.
    const auto most_left = tests == 0 ? 0U : 1U << std::min(tests - 1, 31U);
    auto best = std::numeric_limits<double>::infinity();
    auto result = middle;
    for (std::size_t split = 1; split < n; ++split) {
        const auto size = parts[split].first;
        if (size - passes.bytes > most_left || fails.bytes - size > most_left) continue;
        const auto total = cost_at(0, n - 1, split);
        if (total >= best) continue;
        best = total;
        result = PathMtu{size};
    }
    return result;
}

void PathMtuSearch::hint(PathMtu passes, std::optional<PathMtu> fails) {
    hinted_passes_ = std::max(passes, lowest);
    hinted_fails_ = fails.value_or(PathMtu{hinted_passes_->bytes + 1});
}

std::optional<PathMtu> PathMtuSearch::passes() const {
    PathMtu best;
    for (const auto& result : results_) {
        if (result.outcome == SizeOutcome::passed) best = std::max(best, result.allowed);
        if (result.outcome == SizeOutcome::short_flight) best = std::max(best, result.largest);
    }
    if (best.bytes == 0) return std::nullopt;
    return best;
}

// A packet that arrived is proof; a failure at or below its size was loss.
std::optional<PathMtu> PathMtuSearch::fails() const {
    const auto passing = passes().value_or(PathMtu{});
    std::optional<PathMtu> smallest;
    for (const auto& result : results_)
        if (copies_sent(result.outcome) > 0 && result.allowed > passing &&
            (!smallest || result.allowed < *smallest))
            smallest = result.allowed;
    return smallest;
}

std::uint32_t PathMtuSearch::packets_per_flight(PathMtu size) const {
    std::uint32_t flight = 0;
    for (const auto& result : results_) flight = std::max(flight, result.flight_bytes);
    const auto payload = size.bytes > overhead_ ? size.bytes - overhead_ : 1;
    return std::max(flight / payload, 1U);
}

std::uint32_t PathMtuSearch::large_lost(const SizeResult& result) const {
    const auto usual = copies_sent(result.outcome);
    return packets_per_flight(result.allowed) * (usual == 0 ? 0 : std::max(usual, result.copies));
}

std::uint32_t PathMtuSearch::small_received() const {
    std::uint32_t small = 0;
    for (const auto& result : results_) small += result.small_received;
    return small;
}

// Without the ordinary attempt: it stalled, or there would be no search, so it cannot be its own
// witness.
std::uint32_t PathMtuSearch::large_lost_at(PathMtu size) const {
    std::uint32_t large = 0;
    for (std::size_t i = 1; i < results_.size(); ++i)
        if (results_[i].allowed == size) large += large_lost(results_[i]);
    return large;
}

// Whether loss that ignores size is out as the reason why the bound failed. Only packets lost at
// the bound itself count: those above it may have met the true limit.
bool PathMtuSearch::bound_certain() const {
    const auto bound = fails();
    return bound && size_split_probability(small_received(), large_lost_at(*bound)) <=
                        max_false_claim_probability;
}

std::uint32_t PathMtuSearch::copies_of_first() const {
    const auto bound = fails();
    return bound && packets_per_flight(*bound) > 1 ? 4 : 5;
}

std::uint32_t PathMtuSearch::copies_wanted(PathMtu size) const {
    auto copies = copies_sent(SizeOutcome::gap);
    const auto passing = passes();
    if (!passing || size.bytes != passing->bytes + 1) return copies;
    const auto small = small_received();
    const auto before = large_lost_at(size);
    // Chance that struck twice has to strike three times more, and four times where all that speaks
    // for a limit is that the ordinary attempt stalled.
    if (before > 0) ++copies;
    if (size == results_.front().allowed) copies = most_copies;
    while (copies < most_copies &&
           size_split_probability(small, before + copies * packets_per_flight(size)) >
               max_false_claim_probability)
        ++copies;
    return copies;
}

bool PathMtuSearch::bound_tested_enough() const {
    const auto bound = fails();
    return std::count_if(results_.begin(), results_.end(), [&bound](const SizeResult& result) {
               return bound && result.allowed == *bound && copies_sent(result.outcome) > 0;
           }) >= max_tests_of_bound;
}

// Silence at the bound could also be a server that stopped talking to us in the meantime, so a
// smaller size has to pass after it.
bool PathMtuSearch::bound_needs_control() const {
    const auto bound = fails();
    bool silent = false;
    bool passed_since = false;
    for (const auto& result : results_) {
        if (result.outcome == SizeOutcome::passed || result.outcome == SizeOutcome::short_flight)
            passed_since = true;
        if (bound && result.allowed == *bound) {
            if (result.outcome == SizeOutcome::gap) return false;
            if (result.outcome == SizeOutcome::silent && !silent) {
                silent = true;
                passed_since = false;
            }
        }
    }
    return silent && !passed_since;
}

bool PathMtuSearch::any_gap() const {
    return std::any_of(results_.begin(), results_.end(),
                       [](const SizeResult& r) { return r.outcome == SizeOutcome::gap; });
}

bool PathMtuSearch::too_many_failures() const {
    const auto passing = passes().value_or(PathMtu{});
    // A size that passed and is now silent, more than once: the server is done with us.
    const auto wasted =
        std::count_if(results_.begin(), results_.end(), [&passing](const SizeResult& result) {
            return result.outcome == SizeOutcome::failed ||
                   (copies_sent(result.outcome) > 0 && result.allowed <= passing);
        });
    return wasted >= max_failures;
}

std::optional<PathMtu> PathMtuSearch::next_without_pass(PathMtu fails) const {
    // Nothing smaller than `lowest` is tested: if that fails too, size is not what matters.
    if (fails <= lowest) return std::nullopt;
    if (fails > ethernet_mtu) return ethernet_mtu;
    // With out-of-order data the search itself meets a passing size soon enough. Without, the first
    // question is whether any size helps.
    if (!any_gap()) return fails <= control ? lowest : control;
    return most_telling(PathMtu{lowest.bytes - 1}, fails);
}

PathMtu PathMtuSearch::most_telling(PathMtu passes, PathMtu fails) const {
    constexpr std::uint32_t repeat_of_bound = 1;
    const auto used = static_cast<std::uint32_t>(results_.size()) + repeat_of_bound;
    return most_telling_size(passes, fails,
                             enough_connections - std::min(used, enough_connections));
}

// Within what is hinted as long as nothing contradicts it, then its two ends.
std::optional<PathMtu> PathMtuSearch::next_by_hint() const {
    const auto failing = fails();
    if (!hinted_passes_ || !failing) return std::nullopt;
    const auto passing = passes().value_or(PathMtu{lowest.bytes - 1});
    const auto from = std::max(passing, *hinted_passes_);
    const auto to = std::min(*failing, hinted_fails_);
    if (from >= to) return std::nullopt;
    const bool within = to.bytes - from.bytes > 1;
    // Without out-of-order data the first question is whether any size helps.
    if (passing < from && (!within || (!passes() && !any_gap()))) return from;
    if (within) return most_telling(from, to);
    if (to < *failing) return to;
    return std::nullopt;
}

// Between jumbo ends the limit is that of Ethernet, more often than not.
PathMtu PathMtuSearch::next_between(PathMtu passes, PathMtu fails) const {
    if (fails > ethernet_mtu && passes < ethernet_mtu) return ethernet_mtu;
    if (fails > above_ethernet && passes == ethernet_mtu) return above_ethernet;
    return most_telling(passes, fails);
}

std::optional<PathMtu> PathMtuSearch::next() const {
    const auto failing = fails();
    if (!failing || too_many_failures()) return std::nullopt;
    const auto passing = passes();
    const auto hinted = next_by_hint();
    if (!passing) return hinted ? hinted : next_without_pass(*failing);

    if (failing->bytes == passing->bytes + 1) {
        if (!bound_certain() && !bound_tested_enough()) return *failing;
        if (bound_needs_control()) return *passing;
        return std::nullopt;
    }
    const auto size = hinted ? *hinted : next_between(*passing, *failing);
    // The server has nothing that needs a packet between the largest seen and this size.
    for (const auto& result : results_)
        if (result.outcome == SizeOutcome::short_flight && result.allowed <= size)
            return std::nullopt;
    return size;
}

InboundPath PathMtuSearch::result() const {
    InboundPath path;
    path.path_mtu = passes();
    const auto failing = fails();
    if (path.path_mtu) path.fails = failing;
    path.exact = path.path_mtu && failing && failing->bytes == path.path_mtu->bytes + 1 &&
                 bound_certain() && !bound_needs_control();
    return path;
}

}  // namespace postfathom
