// SPDX-License-Identifier: Apache-2.0
// What the parsers of the host's tools (ip, nft, iptables-save) share.
#pragma once

#include <boost/json/value.hpp>
#include <cstddef>
#include <string_view>
#include <vector>

#include "lib/base/text.hpp"

namespace postfathom {

inline constexpr std::size_t max_rule_word = 128;  // bytes kept of a name or a condition

// Null when `value` is no object or has none of that name.
inline const boost::json::value& member(const boost::json::value& value, std::string_view name) {
    static const boost::json::value nothing;
    const auto* object = value.if_object();
    const auto* found =
        object != nullptr ? object->if_contains({name.data(), name.size()}) : nullptr;
    return found != nullptr ? *found : nothing;
}

inline std::vector<std::string_view> words_of(std::string_view line) {
    std::vector<std::string_view> words;
    for (const auto word : split(line, ' '))
        if (!trim(word).empty()) words.push_back(trim(word));
    return words;
}

}  // namespace postfathom
