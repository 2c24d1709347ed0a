// SPDX-License-Identifier: Apache-2.0
#include "probes/probe_tally.hpp"

namespace postfathom {

void ProbeTally::add(const Report& report) {
    for (const auto& endpoint : report.endpoints) {
        ++results[endpoint.verdict.diagnosis.id];
        connections += endpoint.evidence.connections;
        aborted += endpoint.evidence.aborted;
        for (const auto& timing : endpoint.evidence.timings)
            phases[timing.phase].observe(timing.seconds);
    }
}

void DestinationTally::add(const KnownVerdict& verdict, WallTime now, const AgeLimits& limits) {
    if (freshness(verdict, now, limits) == Freshness::expired)
        ++expired;
    else
        ++fresh[verdict.id];
}

}  // namespace postfathom
