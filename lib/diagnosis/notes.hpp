// SPDX-License-Identifier: Apache-2.0
// What the evidence shows beside the verdict: hints at the cause, and what may mislead the reader.
// Never a verdict; what routers claim is told as their claim.
#pragma once

#include <vector>

#include "lib/diagnosis/diagnose.hpp"

namespace postfathom {

// cached-path-mtu, route-mtu, stale-route-exception, icmp-arrives, icmp-silent,
// path-mtu-learned-now, tunnel-guess.
std::vector<Note> path_notes(const Evidence& evidence);

// The kernel learned a smaller path MTU before the probe: it asks for no larger packets, and
// whether those arrive is not known.
bool masked_by_cache(const Evidence& evidence);

}  // namespace postfathom
