// SPDX-License-Identifier: Apache-2.0
// The rows behind settings.hpp, for load.cpp.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "lib/config/settings.hpp"

namespace postfathom {

// A value of the file without its library's types; monostate for tables, dates, floats and arrays
// of other things than text.
using SettingValue =
    std::variant<std::monostate, bool, std::int64_t, std::string, std::vector<std::string>>;

struct SettingRow {
    std::string name;  // "probe.timeout"
    std::string unit;
    std::string sentence;
    // Takes the value over, or answers what was expected instead.
    std::function<std::optional<std::string>(Settings&, const SettingValue&)> assign;
    std::function<std::string(const Settings&)> render;  // as TOML
};

// In the order of the documentation.
const std::vector<SettingRow>& setting_rows();

// One [[route]]; a fault names the member that has it ("domain", "next_hop").
struct RouteFault {
    std::string member;
    std::string expected;
};
std::optional<RouteFault> add_route(Settings& settings, const std::string& domain,
                                    const std::string& next_hop);

// What no single setting can see: faults between two of them. `message` is said of `name`.
struct SettingConflict {
    std::string name;
    std::string other;
    std::string message;
};
std::vector<SettingConflict> find_conflicts(const Settings& settings);

}  // namespace postfathom
