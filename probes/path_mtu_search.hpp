// SPDX-License-Identifier: Apache-2.0
// The search for the inbound path MTU: which packet size to allow the server next, given what came
// of the sizes allowed so far. Pure; path_mtu_probe.cpp drives it with connections, tests with a
// simulated path.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "lib/base/units.hpp"
#include "lib/diagnosis/evidence.hpp"

namespace postfathom {

// What came of one handshake in which the server could send packets of up to `allowed` bytes.
enum class SizeOutcome {
    passed,        // a packet of exactly that size arrived
    short_flight,  // all arrived, and no packet had to be that large
    gap,           // a later, smaller packet arrived, the full-size ones before it did not
    silent,        // nothing arrived in the time that the repeats of a full-size packet need
    failed,        // ended for another reason, which says nothing about sizes
};

struct SizeResult {
    PathMtu allowed;
    SizeOutcome outcome = SizeOutcome::failed;
    PathMtu largest;                   // largest packet that arrived; 0: unknown
    std::uint32_t small_received = 0;  // data segments that arrived on this connection
    std::uint32_t flight_bytes = 0;    // TLS bytes of the server's flight, when all of it arrived
    // That the server has sent of what did not arrive; 0: as copies_sent() says.
    std::uint32_t copies = 0;
};

// Copies of a lost segment that the server has sent by the time of the verdict: the repeat that
// selective acknowledgements trigger comes within 1.5 round trips, the timer's repeats are waited
// for when there is no gap to see.
constexpr std::uint32_t copies_sent(SizeOutcome outcome) {
    return outcome == SizeOutcome::gap ? 2 : outcome == SizeOutcome::silent ? 3 : 0;
}

class PathMtuSearch {
  public:
    // Enough for the exact size below 9000 bytes, hints aside, on a path without chance losses.
    static constexpr std::uint32_t enough_connections = 16;
    // Every IPv4 host takes 576 bytes (RFC 791 section 3.1); an MSS that low is legal for IPv6 too.
    static constexpr PathMtu lowest{576};
    static constexpr PathMtu control{1280};

    // `option_bytes`: TCP options in every data segment, 12 with timestamps.
    PathMtuSearch(IpFamily family, std::uint32_t option_bytes)
        : overhead_(header_bytes(family) + option_bytes) {}

    // What another measurement found: from an earlier probe, or of the other direction. Sizes up to
    // `passes` are expected to pass and those from `fails` on to fail, where nothing else is known
    // the next one. It decides about the order of the tests and never about what is found.
    void hint(PathMtu passes, std::optional<PathMtu> fails);

    // The first call tells of the ordinary attempt, whose size is the upper bound.
    void told(const SizeResult& result) { results_.push_back(result); }

    // The size to allow next; nothing when there is no more to learn.
    std::optional<PathMtu> next() const;

    InboundPath result() const;

    std::optional<PathMtu> passes() const;  // largest known to pass
    std::optional<PathMtu> fails() const;   // smallest above passes() that failed

    // Full-size packets that cannot have got through: see Attempt::large_lost.
    std::uint32_t large_lost(const SizeResult& result) const;

    // How many copies of a full-size packet of `size` a test of it should wait for when there is a
    // gap. More than the usual two where only one packet of the flight is that large: waiting
    // spares the server another handshake left unfinished.
    std::uint32_t copies_wanted(PathMtu size) const;

    // How many copies the server of the ordinary attempt must have sent in vain before what was
    // found is believed: loss by chance ends.
    std::uint32_t copies_of_first() const;

  private:
    bool bound_certain() const;
    std::uint32_t packets_per_flight(PathMtu size) const;
    std::uint32_t small_received() const;
    std::uint32_t large_lost_at(PathMtu size) const;
    bool bound_tested_enough() const;
    bool bound_needs_control() const;
    bool too_many_failures() const;
    bool any_gap() const;
    std::optional<PathMtu> next_without_pass(PathMtu fails) const;
    std::optional<PathMtu> next_by_hint() const;
    PathMtu next_between(PathMtu passes, PathMtu fails) const;
    PathMtu most_telling(PathMtu passes, PathMtu fails) const;

    std::uint32_t overhead_;
    std::vector<SizeResult> results_;
    std::optional<PathMtu> hinted_passes_;
    PathMtu hinted_fails_;
};

// The size whose test settles most: an optimal search tree over the sizes that tunnels and links
// commonly have. `passes` is known to pass (or below all that can be tested), `fails` to fail, and
// fails > passes + 1. Likely sizes are found with few tests, and none takes more than `tests` where
// that many are enough for so many sizes at all.
PathMtu most_telling_size(PathMtu passes, PathMtu fails, std::uint32_t tests);

}  // namespace postfathom
