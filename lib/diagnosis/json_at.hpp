// SPDX-License-Identifier: Apache-2.0
// Reads reports in their JSON form (report.hpp).
#pragma once

#include <boost/json/value.hpp>
#include <string_view>

namespace postfathom {

// What a JSON pointer (RFC 6901) leads to; null when there is nothing.
inline const boost::json::value* at(const boost::json::value& value, std::string_view pointer) {
    boost::json::error_code error;
    return value.find_pointer({pointer.data(), pointer.size()}, error);
}

}  // namespace postfathom
