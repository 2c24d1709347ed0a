// SPDX-License-Identifier: Apache-2.0
// Reads postfathom.toml. Unknown keys and bad values are refused:
//   postfathom.toml:12:9: probe.timeout: expected a duration such as "30s", found "30"
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/result.hpp"
#include "lib/config/settings.hpp"

namespace postfathom {

inline constexpr const char* default_config_file = "/etc/postfathom/postfathom.toml";

// All faults found, one line each, in Error::message, separated by '\n'. ErrorCode::not_found when
// the file is not there, invalid_input for what is in it.
Result<Settings> load_settings(const std::filesystem::path& file);

// As above from memory; `name` stands for the file in messages.
Result<Settings> parse_settings(std::string_view toml, std::string_view name);

// The file given, or the defaults when `file` is the default path and there is none.
Result<Settings> load_settings_or_defaults(const std::filesystem::path& file);

// Every setting with its effective value as TOML, in the order of the documentation.
std::string render_settings(const Settings& settings);

// The same, with tables as objects and [[route]] as the list "route".
std::string settings_as_json(const Settings& settings);

// For documentation and its tests.
struct SettingDescription {
    std::string name;           // "probe.timeout"
    std::string default_value;  // as TOML, "\"60s\""
    std::string unit;           // "duration", "bytes", "path", "one of: observe, warn, tag"
    std::string sentence;
};
const std::vector<SettingDescription>& describe_settings();

}  // namespace postfathom
