// SPDX-License-Identifier: Apache-2.0
#include "lib/diagnosis/history.hpp"

#include <algorithm>
#include <utility>

namespace postfathom {
namespace {

constexpr int turns_that_count = 3;

std::optional<SizeBounds> bounds(const std::optional<PathMtu>& passes, bool exact,
                                 const std::optional<PathMtu>& fails = {}) {
    if (!passes) return std::nullopt;
    return SizeBounds{*passes, exact, fails};
}

std::optional<SizeBounds> bounds(const PastSizes& sizes, Direction direction) {
    return direction == Direction::outbound ? bounds(sizes.outbound, sizes.outbound_exact)
                                            : bounds(sizes.inbound, sizes.inbound_exact);
}

// The smallest size known to fail.
std::optional<PathMtu> limit(const SizeBounds& size) {
    if (size.exact) return PathMtu{size.passes.bytes + 1};
    return size.fails;
}

std::optional<SizeBounds> join(const std::optional<SizeBounds>& known,
                               const std::optional<SizeBounds>& found) {
    if (!found || !known) return found ? found : known;
    return tighter(*known, *found);
}

bool recent(WallTime at, WallTime now) { return at > now - history_counts; }

PastSizes as_past(const PathRecord& record) {
    return {.since = record.measured_at,
            .at = record.measured_at,
            .inbound = record.inbound,
            .inbound_exact = record.inbound_exact,
            .outbound = record.outbound,
            .outbound_exact = record.outbound_exact};
}

// A direction that was not measured is no other result.
bool same_sizes(const PastSizes& a, const PastSizes& b) {
    const bool inbound =
        !a.inbound || !b.inbound || (a.inbound == b.inbound && a.inbound_exact == b.inbound_exact);
    const bool outbound = !a.outbound || !b.outbound ||
                          (a.outbound == b.outbound && a.outbound_exact == b.outbound_exact);
    return inbound && outbound;
}

template <typename Past>
void append(std::vector<Past>& history, const Past& result) {
    history.push_back(result);
    while (history.size() > max_history) history.erase(history.begin());
}

std::vector<PastSizes> remember_sizes(std::vector<PastSizes> history, const PastSizes& result) {
    if (history.empty() || !same_sizes(history.back(), result)) {
        append(history, result);
        return history;
    }
    auto& last = history.back();
    last.at = result.at;
    if (result.inbound) {
        last.inbound = result.inbound;
        last.inbound_exact = result.inbound_exact;
    }
    if (result.outbound) {
        last.outbound = result.outbound;
        last.outbound_exact = result.outbound_exact;
    }
    return history;
}

std::vector<SizeBounds> recent_sizes(const PathRecord& path, Direction direction, WallTime now) {
    std::vector<SizeBounds> sizes;
    for (const auto& past : path.history)
        if (const auto size = bounds(past, direction); size && recent(past.at, now))
            sizes.push_back(*size);
    return sizes;
}

int contradictions(const std::vector<SizeBounds>& sizes) {
    int count = 0;
    for (std::size_t i = 1; i < sizes.size(); ++i)
        if (contradict(sizes[i - 1], sizes[i])) ++count;
    return count;
}

void add_contradicting(std::vector<SizeBounds>& found, const std::vector<SizeBounds>& latest) {
    for (std::size_t i = 0; i < latest.size(); ++i)
        for (std::size_t j = 0; j < i; ++j)
            if (contradict(latest[i], latest[j])) {
                found.push_back(latest[i]);
                found.push_back(latest[j]);
            }
}

}  // namespace

bool contradict(const SizeBounds& one, const SizeBounds& other) {
    const auto fails_here = limit(one);
    const auto fails_there = limit(other);
    return (fails_here && other.passes >= *fails_here) ||
           (fails_there && one.passes >= *fails_there);
}

SizeBounds tighter(const SizeBounds& known, const SizeBounds& found) {
    if (found.exact || contradict(known, found)) return found;
    if (known.exact) return known;
    SizeBounds both{std::max(known.passes, found.passes), false, found.fails};
    if (known.fails && (!both.fails || *known.fails < *both.fails)) both.fails = known.fails;
    return both;
}

PathRecord absorb(const std::optional<PathRecord>& known, PathRecord found) {
    const auto result = as_past(found);
    if (!known) {
        found.history = {result};
        return found;
    }
    auto history = known->history;
    // A record from before there were histories.
    if (history.empty()) history.push_back(as_past(*known));
    found.history = remember_sizes(std::move(history), result);
    if (!recent(known->measured_at, found.measured_at)) return found;
    if (const auto inbound =
            join(bounds(known->inbound, known->inbound_exact, known->inbound_fails),
                 bounds(found.inbound, found.inbound_exact, found.inbound_fails))) {
        found.inbound = inbound->passes;
        found.inbound_exact = inbound->exact;
        found.inbound_fails = inbound->fails;
    }
    if (const auto outbound =
            join(bounds(known->outbound, known->outbound_exact, known->outbound_fails),
                 bounds(found.outbound, found.outbound_exact, found.outbound_fails))) {
        found.outbound = outbound->passes;
        found.outbound_exact = outbound->exact;
        found.outbound_fails = outbound->fails;
    }
    return found;
}

std::vector<PastVerdict> remember_result(std::vector<PastVerdict> history,
                                         const PastVerdict& result) {
    if (history.empty() || history.back().id != result.id || history.back().ill != result.ill ||
        history.back().source != result.source)
        append(history, result);
    else
        history.back().at = result.at;
    return history;
}

std::optional<SizeRange> varies(const std::vector<PathRecord>& paths, Direction direction,
                                WallTime now) {
    std::vector<SizeBounds> found;
    std::vector<SizeBounds> latest;  // of each source
    for (const auto& path : paths) {
        const auto sizes = recent_sizes(path, direction, now);
        if (sizes.empty()) continue;
        latest.push_back(sizes.back());
        // There and back again.
        if (contradictions(sizes) >= 2) found.insert(found.end(), sizes.begin(), sizes.end());
    }
    add_contradicting(found, latest);
    std::optional<PathMtu> low;  // of what was shown to end there
    PathMtu high;
    for (const auto& size : found) {
        if (size.exact) low = std::min(low.value_or(size.passes), size.passes);
        high = std::max(high, size.passes);
    }
    if (!low || *low >= high) return std::nullopt;
    return SizeRange{*low, high};
}

bool comes_and_goes(const std::vector<PastVerdict>& history, WallTime now) {
    int turns = 0;
    const PastVerdict* last = nullptr;
    for (const auto& result : history) {
        if (!recent(result.at, now)) continue;
        if (last != nullptr && last->ill != result.ill) ++turns;
        last = &result;
    }
    return turns >= turns_that_count;
}

}  // namespace postfathom
