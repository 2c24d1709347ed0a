// SPDX-License-Identifier: Apache-2.0
#include "probes/tls_history.hpp"

namespace postfathom {

void TlsHistory::note(const std::string& host, WallTime at) {
    if (const auto known = by_host_.find(host); known != by_host_.end()) {
        order_.splice(order_.begin(), order_, known->second);
        order_.front().at = at;
        return;
    }
    if (order_.size() >= limit_) {
        by_host_.erase(order_.back().host);
        order_.pop_back();
    }
    order_.push_front({host, at});
    by_host_.emplace(host, order_.begin());
}

std::optional<WallTime> TlsHistory::last(const std::string& next_hop) const {
    const auto known = by_host_.find(next_hop);
    if (known == by_host_.end()) return std::nullopt;
    return known->second->at;
}

}  // namespace postfathom
