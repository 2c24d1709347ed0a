// SPDX-License-Identifier: Apache-2.0
#include "lib/config/duration.hpp"

#include <array>
#include <charconv>
#include <limits>
#include <utility>

namespace postfathom {

namespace {

using Units = std::array<std::pair<std::string_view, std::uint64_t>, 5>;

// Largest last, so that rendering can look from the end.
constexpr Units duration_units{
    {{"ms", 1}, {"s", 1000}, {"m", 60'000}, {"h", 3'600'000}, {"d", 86'400'000}}};
constexpr Units byte_units{{{"", 1},
                            {"KiB", std::uint64_t{1} << 10},
                            {"MiB", std::uint64_t{1} << 20},
                            {"GiB", std::uint64_t{1} << 30},
                            {"TiB", std::uint64_t{1} << 40}}};

constexpr std::uint64_t ten_years_in_ms = std::uint64_t{3650} * 86'400'000;

std::optional<std::uint64_t> parse(std::string_view text, const Units& units) {
    std::uint64_t number = 0;
    const auto* end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, number);
    if (error != std::errc{}) return std::nullopt;
    const std::string_view unit(stop, static_cast<std::size_t>(end - stop));
    for (const auto& [name, factor] : units) {
        if (name != unit) continue;
        if (number > std::numeric_limits<std::uint64_t>::max() / factor) return std::nullopt;
        return number * factor;
    }
    return std::nullopt;
}

std::string render(std::uint64_t number, const Units& units) {
    for (auto unit = units.rbegin(); unit != units.rend(); ++unit)
        if (number != 0 && number % unit->second == 0)
            return std::to_string(number / unit->second) + std::string(unit->first);
    return std::to_string(number) + std::string(units.front().first);
}

}  // namespace

std::optional<std::chrono::milliseconds> parse_duration(std::string_view text) {
    const auto number = parse(text, duration_units);
    if (!number || *number > ten_years_in_ms) return std::nullopt;
    return std::chrono::milliseconds{*number};
}

std::string render_duration(std::chrono::milliseconds duration) {
    return render(static_cast<std::uint64_t>(duration.count()), duration_units);
}

std::optional<std::uint64_t> parse_bytes(std::string_view text) { return parse(text, byte_units); }

std::string render_bytes(std::uint64_t bytes) { return render(bytes, byte_units); }

}  // namespace postfathom
