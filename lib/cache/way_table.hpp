// SPDX-License-Identifier: Apache-2.0
// Ways that were read and parsed already, for as long as the cache does not change: a request of
// mail then costs a look here instead of two searches and two parses. Of fixed size; nothing is
// here that the cache did not say in the same snapshot.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "lib/cache/probe_cache.hpp"

namespace postfathom {

// Which state of which file: a way is good in no other.
struct SnapshotId {
    std::uint64_t environment = 0;
    std::uint64_t transaction = 0;
    bool operator==(const SnapshotId&) const = default;
};

class WayTable {
  public:
    std::optional<KnownWay> find(std::string_view domain, SnapshotId snapshot) const;
    void remember(std::string_view domain, const KnownWay& way, SnapshotId snapshot);

  private:
    // Longer names are read from the cache each time.
    static constexpr std::size_t text_bytes = 112;
    // Somewhat more in all than a cache has destinations by default, in sets that a hash chooses.
    static constexpr std::size_t sets = 32'768;
    static constexpr std::size_t ways_per_set = 4;

    struct Slot {
        SnapshotId snapshot;
        std::uint8_t domain_bytes = 0;
        std::uint8_t next_hop_bytes = 0;
        std::array<char, text_bytes> text{};  // domain, next hop
        std::optional<KnownVerdict> verdict;
    };
    struct Set {
        std::array<Slot, ways_per_set> slots;
        std::size_t next = 0;  // the slot to be used again
    };
    static std::size_t set_of(std::string_view domain);

    std::vector<Set> sets_;  // empty until the first way is remembered
};

}  // namespace postfathom
