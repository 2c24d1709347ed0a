// SPDX-License-Identifier: Apache-2.0
#include "probes/hosts_file.hpp"

#include <algorithm>
#include <optional>

#include "lib/base/text.hpp"

namespace postfathom {

namespace {

std::optional<std::string_view> next_word(std::string_view& line) {
    const auto start = line.find_first_not_of(" \t\r");
    if (start == std::string_view::npos) return std::nullopt;
    const auto end = std::min(line.find_first_of(" \t\r", start), line.size());
    const auto word = line.substr(start, end - start);
    line.remove_prefix(end);
    return word;
}

}  // namespace

std::vector<IpAddress> addresses_in_hosts_file(std::string_view text, std::string_view name) {
    std::vector<IpAddress> found;
    for (auto line : split(text, '\n')) {
        line = line.substr(0, line.find('#'));
        const auto first = next_word(line);
        if (!first) continue;
        const auto address = IpAddress::parse(*first);
        if (!address) continue;
        while (const auto alias = next_word(line)) {
            if (!iequals(*alias, name)) continue;
            if (std::find(found.begin(), found.end(), *address) == found.end())
                found.push_back(*address);
            break;
        }
    }
    return found;
}

}  // namespace postfathom
