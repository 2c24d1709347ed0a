// SPDX-License-Identifier: Apache-2.0
// What the parsers of the host's tools (ip, nft, iptables-save) share.
#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

#include "lib/base/text.hpp"

namespace postfathom {

inline constexpr std::size_t max_rule_word = 128;  // bytes kept of a name or a condition

inline std::vector<std::string_view> words_of(std::string_view line) {
    std::vector<std::string_view> words;
    for (const auto word : split(line, ' '))
        if (!trim(word).empty()) words.push_back(trim(word));
    return words;
}

}  // namespace postfathom
