// SPDX-License-Identifier: Apache-2.0
#include "lib/diagnosis/outbound_picture.hpp"

#include <algorithm>
#include <set>

#include "lib/diagnosis/diagnose.hpp"

namespace postfathom {

namespace {

// The boundary was not known before: loss could have begun at any of the sizes.
double boundaries(const OutboundFlight& flight) {
    const std::set<PathMtu> sizes(flight.sent.begin(), flight.sent.end());
    return static_cast<double>(std::max<std::size_t>(1, sizes.size()));
}

bool shows_hole(const OutboundFlight& flight) {
    return flight.shape == FlightShape::hole && flight.fails && flight.large_lost > 0;
}

double choices(std::uint32_t from, std::uint32_t count) {
    double result = 1;
    for (std::uint32_t i = 0; i < count; ++i)
        result = result * (from - i) / (static_cast<double>(i) + 1);
    return result;
}

}  // namespace

bool OutboundPicture::hole() const {
    return passes && fails && hole_flights >= 2 && chance <= max_false_claim_probability;
}

bool OutboundPicture::exact() const {
    return hole() && fails->bytes == passes->bytes + 1 &&
           chance_at_boundary <= max_false_claim_probability;
}

double chance_of(const OutboundFlight& flight) {
    if (!shows_hole(flight)) return 1;
    return std::min(
        1.0, std::max(1U, flight.readings) * boundaries(flight) *
                 size_split_probability(flight.small_acked, flight.small_lost, flight.large_lost));
}

OutboundPicture look_at(const std::vector<OutboundFlight>& flights) {
    OutboundPicture picture;
    for (const auto& flight : flights) picture.passes = std::max(picture.passes, flight.passes);
    const auto passes = picture.passes.value_or(PathMtu{});
    std::uint32_t small_acked = 0;
    std::uint32_t small_lost = 0;
    std::uint32_t readings = 1;
    for (const auto& flight : flights) {
        small_acked = saturating_add(small_acked, flight.small_acked);
        small_lost = saturating_add(small_lost, flight.small_lost);
        if (flight.shape == FlightShape::scattered || flight.small_lost > 0)
            ++picture.lossy_flights;
        if (!shows_hole(flight)) continue;
        if (*flight.fails <= passes) {
            ++picture.contradicted;
            continue;
        }
        ++picture.hole_flights;
        picture.chance *= chance_of(flight);
        if (!picture.fails || *flight.fails < *picture.fails) picture.fails = flight.fails;
    }
    // Any of the flights could have been the ones that look ill.
    const auto judged = picture.hole_flights + picture.contradicted;
    picture.chance = std::min(1.0, picture.chance * choices(judged, picture.hole_flights));
    std::uint32_t lost = 0;
    for (const auto& flight : flights) {
        if (!shows_hole(flight) || !picture.fails || *flight.fails != *picture.fails) continue;
        lost = saturating_add(lost, flight.fails_lost);
        readings = std::max(readings, flight.readings);
    }
    if (picture.fails)
        picture.chance_at_boundary =
            std::min(1.0, readings * size_split_probability(small_acked, small_lost, lost));
    return picture;
}

}  // namespace postfathom
