// SPDX-License-Identifier: Apache-2.0
#include "probes/outbound_search.hpp"

#include <algorithm>
#include <utility>

namespace postfathom {

namespace {

constexpr std::size_t most_flights = 16;
constexpr std::ptrdiff_t most_wasted = 3;
// A flight is taken for a hole on the way at this chance, or this one after a while; the verdict
// needs far less.
constexpr double suspicious = 0.002;
constexpr double suspicious_in_the_end = 0.02;
constexpr double a_while = 1.0;  // seconds

bool settled(const OutboundFlight& flight) {
    return flight.shape == FlightShape::complete ||
           (flight.shape == FlightShape::shrunk && flight.passes);
}

}  // namespace

bool OutboundSearch::all_sizes_pass(const OutboundPicture& picture) const {
    return picture.passes && largest_.bytes > 0 && *picture.passes >= largest_;
}

bool OutboundSearch::wants_more() const {
    if (flights_.empty()) return true;
    const auto wasted = std::count_if(flights_.begin(), flights_.end(), [](const auto& flight) {
        return flight.shape == FlightShape::unjudged || flight.shape == FlightShape::scattered;
    });
    if (wasted >= most_wasted || flights_.size() >= most_flights) return false;
    // What cannot be sent cannot be learned: no connection, or no room for a staircase.
    if (flights_.back().sent.empty()) return false;
    const auto found = picture();
    return !all_sizes_pass(found) && !found.exact();
}

std::vector<Step> OutboundSearch::next(const FlightLimits& limits) const {
    const auto found = picture();
    const auto tried = [&found](const OutboundFlight& flight) {
        return found.passes && std::find(flight.sent.begin(), flight.sent.end(),
                                         PathMtu{found.passes->bytes + 1}) != flight.sent.end();
    };
    return staircase(limits, {.passes = found.passes,
                              .fails = found.fails,
                              .hints = hints_,
                              .tried_next = std::any_of(flights_.begin(), flights_.end(), tried)});
}

bool OutboundSearch::enough(const OutboundFlight& so_far) const {
    if (settled(so_far)) return true;
    if (so_far.shape != FlightShape::hole) return false;
    auto with = flights_;
    with.push_back(so_far);
    const auto found = look_at(with);
    if (found.exact()) return true;
    const auto chance = chance_of(so_far);
    if (so_far.seconds >= a_while) return chance <= suspicious_in_the_end;
    // When one byte is left to decide, and this is the second witness, patience spares a
    // connection.
    const bool adjacent =
        found.passes && found.fails && found.fails->bytes == found.passes->bytes + 1;
    return chance <= suspicious && !(adjacent && found.hole_flights >= 2);
}

void OutboundSearch::told(OutboundFlight flight, PathMtu largest) {
    if (largest.bytes > 0) largest_ = largest;
    // Nothing larger will be sent from now on.
    if (flight.shape == FlightShape::shrunk && flight.path_mtu_after.bytes > 0)
        largest_ = std::min(largest_, flight.path_mtu_after);
    flights_.push_back(std::move(flight));
}

OutboundPath OutboundSearch::result() const {
    const auto found = picture();
    OutboundPath path;
    path.path_mtu = found.passes;
    path.exact = all_sizes_pass(found) || found.exact();
    path.fails = found.fails;
    return path;
}

}  // namespace postfathom
