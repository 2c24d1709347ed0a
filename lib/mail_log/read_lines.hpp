// SPDX-License-Identifier: Apache-2.0
// Lines of a past log, of any length in bounded memory: what is longer than a line of a log can be
// is cut.
#pragma once

#include <cstdint>
#include <functional>
#include <istream>
#include <string>
#include <string_view>

#include "lib/base/result.hpp"

namespace postfathom {

using OnLogLine = std::function<void(std::string_view line)>;

void read_log_lines(std::istream& in, const OnLogLine& on_line);

// The last lines of a log, at most `max_bytes`, from its rotated file ("FILE.1") too where the file
// itself is shorter. ErrorCode::io when the file cannot be read.
Result<void> read_log_tail(const std::string& file, std::uint64_t max_bytes,
                           const OnLogLine& on_line);

}  // namespace postfathom
