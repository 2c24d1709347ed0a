// SPDX-License-Identifier: Apache-2.0
// Reads JSON that somebody else wrote without a word of complaint: what is not there is nothing.
#pragma once

#include <boost/json/value.hpp>
#include <string_view>

namespace postfathom {

// Null when `value` is no object or has none of that name.
inline const boost::json::value& member(const boost::json::value& value, std::string_view name) {
    static const boost::json::value nothing;
    const auto* object = value.if_object();
    const auto* found =
        object != nullptr ? object->if_contains({name.data(), name.size()}) : nullptr;
    return found != nullptr ? *found : nothing;
}

// What a JSON pointer (RFC 6901) leads to; null when there is nothing.
inline const boost::json::value* at(const boost::json::value& value, std::string_view pointer) {
    boost::json::error_code error;
    return value.find_pointer({pointer.data(), pointer.size()}, error);
}

}  // namespace postfathom
