// SPDX-License-Identifier: Apache-2.0
// Durations and sizes as they are written in the configuration and on the command line.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace postfathom {

// A whole number and one unit: "300ms", "30s", "10m", "24h", "7d". Nothing for anything else, or
// for more than ten years.
std::optional<std::chrono::milliseconds> parse_duration(std::string_view text);

// In the largest unit that leaves a whole number; parse_duration() of it gives the same.
std::string render_duration(std::chrono::milliseconds duration);

// A whole number of bytes with an optional unit: "262144", "256KiB", "256MiB", "2GiB".
std::optional<std::uint64_t> parse_bytes(std::string_view text);
std::string render_bytes(std::uint64_t bytes);

}  // namespace postfathom
