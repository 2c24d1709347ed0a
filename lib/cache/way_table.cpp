// SPDX-License-Identifier: Apache-2.0
#include "lib/cache/way_table.hpp"

#include <algorithm>
#include <functional>
#include <string>

namespace postfathom {
namespace {

std::size_t hash_of(std::string_view domain) { return std::hash<std::string_view>{}(domain); }

std::uint16_t tag_of(std::size_t hash) { return static_cast<std::uint16_t>(hash >> 48); }

}  // namespace

std::optional<KnownWay> WayTable::find(std::string_view domain, SnapshotId snapshot) const {
    if (index_.empty() || snapshot != snapshot_) return std::nullopt;
    const auto hash = hash_of(domain);
    for (auto at = hash % places; index_[at].epoch == epoch_; at = (at + 1) % places) {
        if (index_[at].tag != tag_of(hash)) continue;
        const auto& slot = slots_[index_[at].slot];
        const std::string_view text(slot.text.data(), slot.text.size());
        if (text.substr(0, slot.domain_bytes) == domain)
            return KnownWay{std::string(text.substr(slot.domain_bytes, slot.next_hop_bytes)),
                            slot.verdict};
    }
    return std::nullopt;
}

void WayTable::remember(std::string_view domain, const KnownWay& way, SnapshotId snapshot) {
    if (domain.size() + way.next_hop.size() > text_bytes) return;
    if (index_.empty() || snapshot != snapshot_ || slots_.size() == most) forget_all();
    snapshot_ = snapshot;

    const auto hash = hash_of(domain);
    auto at = hash % places;
    while (index_[at].epoch == epoch_) at = (at + 1) % places;  // at most half are taken
    index_[at] = {static_cast<std::uint32_t>(slots_.size()), epoch_, tag_of(hash)};

    auto& slot = slots_.emplace_back();
    slot.domain_bytes = static_cast<std::uint8_t>(domain.size());
    slot.next_hop_bytes = static_cast<std::uint8_t>(way.next_hop.size());
    const auto end = std::copy(domain.begin(), domain.end(), slot.text.begin());
    std::copy(way.next_hop.begin(), way.next_hop.end(), end);
    slot.verdict = way.verdict;
}

void WayTable::forget_all() {
    slots_.clear();
    slots_.reserve(most);  // address space only: memory is taken when a slot is written
    if (++epoch_ != 0 && !index_.empty()) return;
    index_.assign(places, Place{});
    epoch_ = 1;
}

}  // namespace postfathom
