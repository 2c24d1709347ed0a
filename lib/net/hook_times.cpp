// SPDX-License-Identifier: Apache-2.0
#include "lib/net/hook_times.hpp"

#include <algorithm>

#include "lib/base/histogram.hpp"

namespace postfathom {

std::string_view to_string(HookSocket hook) {
    switch (hook) {
        case HookSocket::policy:
            return "policy";
        case HookSocket::dsn:
            return "dsn";
        case HookSocket::tables:
            return "tables";
        case HookSocket::milter:
            return "milter";
    }
    return "policy";
}

std::optional<HookSocket> parse_hook_socket(std::string_view word) {
    const auto found = std::find_if(all_hook_sockets.begin(), all_hook_sockets.end(),
                                    [word](HookSocket hook) { return to_string(hook) == word; });
    if (found == all_hook_sockets.end()) return std::nullopt;
    return *found;
}

// Relaxed: nothing else depends on these numbers, and a reader may see one answer's time without
// its count.
void HookTimer::add(std::chrono::nanoseconds taken) noexcept {
    const auto nanoseconds = std::max<std::chrono::nanoseconds::rep>(0, taken.count());
    const auto bucket = bucket_of(hook_bounds, static_cast<double>(nanoseconds) / 1e9);
    counts_[bucket].fetch_add(1, std::memory_order_relaxed);
    nanoseconds_.fetch_add(static_cast<std::uint64_t>(nanoseconds), std::memory_order_relaxed);
}

HookTimes HookTimer::read() const {
    HookTimes times{.hook = hook_, .counts = {}, .microseconds = 0};
    for (std::size_t i = 0; i < counts_.size(); ++i)
        times.counts.at(i) = counts_.at(i).load(std::memory_order_relaxed);
    times.microseconds = nanoseconds_.load(std::memory_order_relaxed) / 1000;
    return times;
}

}  // namespace postfathom
