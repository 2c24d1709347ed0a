// SPDX-License-Identifier: Apache-2.0
// How long Postfix waited for our answers, by the socket it asks on: counted where the answers are
// given, told to probed every few seconds, served by it as metrics. A hook's answer waits for
// nothing here.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>

namespace postfathom {

enum class HookSocket { policy, dsn, tables, milter };

inline constexpr std::array all_hook_sockets{HookSocket::policy, HookSocket::dsn,
                                             HookSocket::tables, HookSocket::milter};

std::string_view to_string(HookSocket hook);  // "policy"
std::optional<HookSocket> parse_hook_socket(std::string_view word);

// Seconds: from an answer out of the cache to the time-outs that `postfathom setup` gives Postfix.
// 0.3 is how long the table dsn waits for the log at most, unless told otherwise.
inline constexpr std::array hook_bounds{0.00001, 0.000025, 0.00005, 0.0001, 0.00025,
                                        0.0005,  0.001,    0.0025,  0.005,  0.01,
                                        0.05,    0.1,      0.3,     1.0,    3.0};

inline constexpr std::chrono::seconds hook_times_every{10};

// Since the program began; a notice that is lost costs nothing but freshness.
struct HookTimes {
    HookSocket hook = HookSocket::policy;
    std::array<std::uint64_t, hook_bounds.size() + 1> counts{};  // as in Histogram
    std::uint64_t microseconds = 0;                              // of all answers together
    bool operator==(const HookTimes&) const = default;
};

// Any thread may add and read.
class HookTimer {
  public:
    explicit HookTimer(HookSocket hook) : hook_(hook) {}
    void add(std::chrono::nanoseconds taken) noexcept;
    HookTimes read() const;

  private:
    const HookSocket hook_;
    std::array<std::atomic<std::uint64_t>, hook_bounds.size() + 1> counts_{};
    std::atomic<std::uint64_t> nanoseconds_{0};
};

}  // namespace postfathom
