// SPDX-License-Identifier: Apache-2.0
#include "lib/base/units.hpp"

#include <array>
#include <ctime>

namespace postfathom {

WallTime wall_now() {
    return std::chrono::time_point_cast<std::chrono::milliseconds>(
        std::chrono::system_clock::now());
}

std::string to_rfc3339(WallTime time) {
    // Not system_clock::to_time_t, whose nanoseconds end in the year 2262.
    const std::time_t seconds =
        std::chrono::floor<std::chrono::seconds>(time).time_since_epoch().count();
    std::tm utc{};
    gmtime_r(&seconds, &utc);
    std::array<char, 32> text{};
    const auto length = std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &utc);
    return {text.data(), length};
}

}  // namespace postfathom
