// SPDX-License-Identifier: Apache-2.0
#include "milter/notice_gate.hpp"

#include <utility>

namespace postfathom {

bool NoticeGate::let_through(std::string key, Time now) {
    while (!order_.empty() && now - order_.front().at >= interval_) {
        recent_.erase(recent_.find(*order_.front().key));
        order_.pop_front();
    }
    if (recent_.size() >= capacity_) return false;
    const auto [entry, is_new] = recent_.insert(std::move(key));
    if (is_new) order_.push_back({now, &*entry});
    return is_new;
}

}  // namespace postfathom
