// SPDX-License-Identifier: Apache-2.0
// Holds back notices that were sent a moment ago, so that a busy relay does not flood the prober.
// Pure: the time is a parameter.
#pragma once

#include <chrono>
#include <deque>
#include <string>
#include <unordered_set>

namespace postfathom {

class NoticeGate {
  public:
    using Time = std::chrono::steady_clock::time_point;

    NoticeGate(std::size_t capacity, std::chrono::seconds interval)
        : capacity_(capacity), interval_(interval) {}

    // True at most once per key and interval, and at most `capacity` times per interval in all:
    // when that many were let through, the next one waits for the oldest to age.
    bool let_through(std::string key, Time now);

    std::size_t size() const { return recent_.size(); }

  private:
    struct Passed {
        Time at;
        const std::string* key;  // in recent_, whose nodes stay where they are
    };
    std::size_t capacity_;
    std::chrono::seconds interval_;
    std::unordered_set<std::string> recent_;
    std::deque<Passed> order_;  // oldest first
};

}  // namespace postfathom
