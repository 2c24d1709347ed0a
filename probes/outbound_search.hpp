// SPDX-License-Identifier: Apache-2.0
// The search for the outbound path MTU: what to send in the next flight, given what came of those
// before, and when it is enough. Pure; outbound_probe.cpp drives it with connections, tests with a
// simulated path.
#pragma once

#include <optional>
#include <vector>

#include "lib/diagnosis/outbound_picture.hpp"
#include "probes/staircase.hpp"

namespace postfathom {

class OutboundSearch {
  public:
    // `hints`: sizes near which the boundary is likely.
    explicit OutboundSearch(std::vector<PathMtu> hints) : hints_(std::move(hints)) {}

    // Whether one more flight would tell something.
    bool wants_more() const;

    std::vector<Step> next(const FlightLimits& limits) const;

    // Whether waiting on would not tell more than another flight does. `so_far`: the flight under
    // way.
    bool enough(const OutboundFlight& so_far) const;

    // The flight is over. `largest`: what its connection let us send.
    void told(OutboundFlight flight, PathMtu largest);

    const std::vector<OutboundFlight>& flights() const { return flights_; }
    OutboundPicture picture() const { return look_at(flights_); }
    OutboundPath result() const;

  private:
    bool all_sizes_pass(const OutboundPicture& picture) const;

    std::vector<PathMtu> hints_;
    std::vector<OutboundFlight> flights_;
    PathMtu largest_;  // on the last connection
};

}  // namespace postfathom
