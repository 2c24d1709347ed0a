// SPDX-License-Identifier: Apache-2.0
// Log lines for the person on call: destination first, one line per change.
//   log::info("{}: path MTU black hole above {} bytes", next_hop, mtu);
// Level info: something changed; warning: the operator should look; error: we cannot do our work.
#pragma once

#include <fmt/core.h>

#include <string>
#include <string_view>

namespace postfathom::log {

enum class Level { debug, info, warning, error };
enum class Target {
    standard_error,  // plain lines; under systemd each starts with the <N> priority the journal
                     // reads
    syslog,          // facility mail
};

// Call once, before the first line and before threads. Without it lines go to stderr from level
// info. `program` tags syslog lines and stderr lines, e.g. "postfathom-policyd".
void start(const std::string& program, Target target, Level level);
void set_level(Level level);
bool enabled(Level level);

// `line` may hold text of ours only; text from peers passes printable() first.
void write(Level level, std::string_view line);

template <typename... Args>
void debug(fmt::format_string<Args...> format, Args&&... args) {
    if (enabled(Level::debug))
        write(Level::debug, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void info(fmt::format_string<Args...> format, Args&&... args) {
    if (enabled(Level::info)) write(Level::info, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void warning(fmt::format_string<Args...> format, Args&&... args) {
    write(Level::warning, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void error(fmt::format_string<Args...> format, Args&&... args) {
    write(Level::error, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace postfathom::log
