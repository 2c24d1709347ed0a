// SPDX-License-Identifier: Apache-2.0
// Dates of certificates in words. They reach from year 0 to 9999, which says "no end" (RFC 5280
// section 4.1.2.5); the system clock's nanoseconds, through which times are printed, end in 2262.
#pragma once

#include <string>

#include "lib/base/units.hpp"

namespace postfathom {

inline constexpr WallTime first_printable_time =
    std::chrono::sys_days{std::chrono::year{1900} / 1 / 1};
inline constexpr WallTime last_printable_time =
    std::chrono::sys_days{std::chrono::year{2200} / 1 / 1};

// RFC 3339, or "before 1900" and "after 2200" for dates that no clock of ours will see.
inline std::string certificate_time(WallTime time) {
    if (time < first_printable_time) return "before 1900";
    if (time >= last_printable_time) return "after 2200";
    return to_rfc3339(time);
}

}  // namespace postfathom
