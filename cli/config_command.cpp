// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

#include "cli/commands.hpp"
#include "lib/config/load.hpp"

namespace postfathom {

int run_config_check(const std::filesystem::path& file) {
    const auto settings = load_settings(file);
    if (!settings) {
        fmt::print(stderr, "{}\n", settings.error().message);
        return EX_CONFIG;
    }
    fmt::print("{}: ok\n", file.string());
    return 0;
}

int run_config_show(const Settings& settings, bool json) {
    if (json)
        fmt::print("{}\n", boost::json::serialize(boost::json::parse(settings_as_json(settings))));
    else
        fmt::print("{}", render_settings(settings));
    return 0;
}

}  // namespace postfathom
