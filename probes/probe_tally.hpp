// SPDX-License-Identifier: Apache-2.0
// Counts of what probes found and how long their phases took, for the metrics. Values in, values
// out.
#pragma once

#include <array>
#include <cstdint>
#include <map>

#include "lib/base/histogram.hpp"
#include "lib/diagnosis/record.hpp"
#include "lib/diagnosis/report.hpp"

namespace postfathom {

// Upper bounds of the buckets, in seconds: from a server next door to Postfix's own time-outs of
// 300 s.
inline constexpr std::array phase_bounds{0.005, 0.01, 0.025, 0.05, 0.1,  0.25, 0.5,
                                         1.0,   2.5,  5.0,   10.0, 30.0, 60.0, 300.0};

struct ProbeTally {
    std::map<Phase, Histogram<phase_bounds>> phases;  // of the first conversation of each probe
    std::map<DiagnosisId, std::uint64_t> results;     // endpoints, by what was found
    std::uint64_t connections = 0;
    std::uint64_t aborted = 0;
    void add(const Report& report);
};

// Destinations of the cache, counted in one walk through it.
struct DestinationTally {
    std::map<DiagnosisId, std::uint64_t> fresh;  // or stale: what is still believed
    std::uint64_t expired = 0;
    void add(const KnownVerdict& verdict, WallTime now, const AgeLimits& limits);
};

}  // namespace postfathom
