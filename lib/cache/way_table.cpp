// SPDX-License-Identifier: Apache-2.0
#include "lib/cache/way_table.hpp"

#include <algorithm>
#include <functional>
#include <string>

namespace postfathom {

std::size_t WayTable::set_of(std::string_view domain) {
    return std::hash<std::string_view>{}(domain) % sets;
}

std::optional<KnownWay> WayTable::find(std::string_view domain, SnapshotId snapshot) const {
    if (sets_.empty() || domain.empty()) return std::nullopt;
    for (const auto& slot : sets_[set_of(domain)].slots) {
        const std::string_view text(slot.text.data(), slot.text.size());
        if (slot.snapshot != snapshot || text.substr(0, slot.domain_bytes) != domain) continue;
        return KnownWay{std::string(text.substr(slot.domain_bytes, slot.next_hop_bytes)),
                        slot.verdict};
    }
    return std::nullopt;
}

void WayTable::remember(std::string_view domain, const KnownWay& way, SnapshotId snapshot) {
    if (domain.empty() || domain.size() + way.next_hop.size() > text_bytes) return;
    if (sets_.empty()) sets_.resize(sets);
    auto& set = sets_[set_of(domain)];
    auto& slot = set.slots[set.next++ % ways_per_set];
    slot.snapshot = snapshot;
    slot.domain_bytes = static_cast<std::uint8_t>(domain.size());
    slot.next_hop_bytes = static_cast<std::uint8_t>(way.next_hop.size());
    const auto end = std::copy(domain.begin(), domain.end(), slot.text.begin());
    std::copy(way.next_hop.begin(), way.next_hop.end(), end);
    slot.verdict = way.verdict;
}

}  // namespace postfathom
