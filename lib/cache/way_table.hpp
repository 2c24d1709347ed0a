// SPDX-License-Identifier: Apache-2.0
// Ways that were read and parsed already, for as long as the cache does not change: a request of
// mail then costs a look here instead of two searches and two parses. Bounded; nothing is here that
// the cache did not say in the same snapshot.
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
    // Somewhat more than a cache has destinations by default; about 200 bytes each, taken as they
    // come.
    static constexpr std::size_t most = 131'072;

    std::optional<KnownWay> find(std::string_view domain, SnapshotId snapshot) const;
    void remember(std::string_view domain, const KnownWay& way, SnapshotId snapshot);

  private:
    // Longer names are read from the cache each time.
    static constexpr std::size_t text_bytes = 112;
    static constexpr std::size_t places = 2 * most;

    struct Slot {
        std::uint8_t domain_bytes = 0;
        std::uint8_t next_hop_bytes = 0;
        std::array<char, text_bytes> text{};  // domain, next hop
        std::optional<KnownVerdict> verdict;
    };
    // Open addressing. A place of another epoch is empty, so that to forget all is to count on.
    struct Place {
        std::uint32_t slot = 0;
        std::uint16_t epoch = 0;
        std::uint16_t tag = 0;  // other bits of the hash, to look only at slots that are worth it
    };
    void forget_all();

    SnapshotId snapshot_;
    std::uint16_t epoch_ = 0;
    std::vector<Place> index_;  // empty until the first way is remembered
    std::vector<Slot> slots_;
};

}  // namespace postfathom
