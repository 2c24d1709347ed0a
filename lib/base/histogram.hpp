// SPDX-License-Identifier: Apache-2.0
// Counts of durations in buckets, as Prometheus' histograms have them: each bucket with an upper
// bound in seconds, and one more for what took longer than the last bound. Counts are not
// cumulative here.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>

namespace postfathom {

// `bounds`: ascending.
template <std::size_t Bounds>
std::size_t bucket_of(const std::array<double, Bounds>& bounds, double seconds) {
    return static_cast<std::size_t>(std::lower_bound(bounds.begin(), bounds.end(), seconds) -
                                    bounds.begin());
}

template <const auto& bounds>
struct Histogram {
    std::array<std::uint64_t, std::size(bounds) + 1> counts{};
    double sum = 0;  // seconds
    void observe(double seconds) {
        if (!std::isfinite(seconds) || seconds < 0) return;
        ++counts.at(bucket_of(bounds, seconds));
        sum += seconds;
    }
};

}  // namespace postfathom
