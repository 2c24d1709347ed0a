// SPDX-License-Identifier: Apache-2.0
// "At most once per interval for each key", with bounded memory.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <unordered_map>

namespace postfathom {

class Pace {
  public:
    using Time = std::chrono::steady_clock::time_point;

    Pace(std::chrono::steady_clock::duration interval, std::size_t max_keys)
        : interval_(interval), max_keys_(max_keys) {}

    // True when `key` was not allowed within the interval. With all memory in use, new keys must
    // wait until older ones are due: a flood of names costs a look-up each, nothing more. Keys that
    // are due are forgotten once per interval, so that memory is that of two intervals' names.
    bool allow(std::string_view key, Time now) {
        const auto found = allowed_at_.find(std::string(key));
        if (found != allowed_at_.end()) {
            if (now - found->second < interval_) return false;
            found->second = now;
            return true;
        }
        if (allowed_at_.size() >= max_keys_ || now - forgot_at_ >= interval_) forget_due(now);
        if (allowed_at_.size() >= max_keys_) return false;
        allowed_at_.emplace(key, now);
        return true;
    }

    // What was allowed did not happen after all: it may be tried again.
    void retract(std::string_view key) { allowed_at_.erase(std::string(key)); }

    std::size_t keys() const { return allowed_at_.size(); }

  private:
    // Looks through all keys, so at most once a second.
    void forget_due(Time now) {
        if (now - forgot_at_ < std::chrono::seconds{1}) return;
        forgot_at_ = now;
        std::erase_if(allowed_at_,
                      [&](const auto& entry) { return now - entry.second >= interval_; });
    }

    std::chrono::steady_clock::duration interval_;
    std::size_t max_keys_;
    std::unordered_map<std::string, Time> allowed_at_;
    Time forgot_at_{};
};

}  // namespace postfathom
