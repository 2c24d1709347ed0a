// SPDX-License-Identifier: Apache-2.0
// What several probes of one place say together: bounds that become tighter, and results that
// contradict each other over time or between the addresses we look from. Pure.
#pragma once

#include <optional>
#include <vector>

#include "lib/diagnosis/record.hpp"

namespace postfathom {

// What is known of the size of a path in one direction.
struct SizeBounds {
    PathMtu passes;
    bool exact = false;  // passes + 1 fails
    std::optional<PathMtu> fails{};
    bool operator==(const SizeBounds&) const = default;
};

// Both cannot be true of one path: a size passed that the other shows to fail.
bool contradict(const SizeBounds& one, const SizeBounds& other);
// `found` with what `known` adds; where the two contradict each other the path has changed, and
// `found` is what holds.
SizeBounds tighter(const SizeBounds& known, const SizeBounds& found);

// Results older than this say nothing about whether a path varies.
inline constexpr std::chrono::hours history_counts{24};

// The record to store when `found`, without history, was just measured.
PathRecord absorb(const std::optional<PathRecord>& known, PathRecord found);
// The history with one result more.
std::vector<PastVerdict> remember_result(std::vector<PastVerdict> history,
                                         const PastVerdict& result);

// The sizes found for the paths to one destination contradict each other: now from different
// sources, or from one source to and fro. A single change is no variation: something was mended, or
// broke.
std::optional<SizeRange> varies(const std::vector<PathRecord>& paths, Direction direction,
                                WallTime now);
// Good and ill have taken turns at least three times.
bool comes_and_goes(const std::vector<PastVerdict>& history, WallTime now);

}  // namespace postfathom
