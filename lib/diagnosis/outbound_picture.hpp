// SPDX-License-Identifier: Apache-2.0
// What the flights towards a server show together: the size that passes, the size that does not,
// and how likely plain loss would have made the same picture. Both the search and the verdict look
// at it.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "lib/diagnosis/evidence.hpp"

namespace postfathom {

struct OutboundPicture {
    std::optional<PathMtu> passes;    // largest packet that was acknowledged
    std::optional<PathMtu> fails;     // smallest above it that was not
    std::uint32_t hole_flights = 0;   // in which nothing above `passes` arrived
    std::uint32_t contradicted = 0;   // in which what failed passed on another
    std::uint32_t lossy_flights = 0;  // that lost packets whatever their size
    // Probability of these flights when loss has nothing to do with size.
    double chance = 1;
    // The same for the packets of passes + 1 bytes alone.
    double chance_at_boundary = 1;

    // Packets above a size vanish, and it is not chance: two connections say so at least.
    bool hole() const;
    // passes + 1 bytes are too much.
    bool exact() const;
};

OutboundPicture look_at(const std::vector<OutboundFlight>& flights);

// The chance that loss which ignores size made this flight; 1 when it shows no hole.
double chance_of(const OutboundFlight& flight);

}  // namespace postfathom
