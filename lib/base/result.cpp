// SPDX-License-Identifier: Apache-2.0
#include "lib/base/result.hpp"

#include <cerrno>
#include <system_error>

namespace postfathom {

Error errno_error(int number, std::string_view what) {
    ErrorCode code = ErrorCode::io;
    if (number == ENOENT) code = ErrorCode::not_found;
    if (number == ETIMEDOUT) code = ErrorCode::timed_out;
    if (number == ECONNREFUSED) code = ErrorCode::refused;
    if (number == ENOSPC) code = ErrorCode::full;
    return {code, std::string(what) + ": " + std::generic_category().message(number)};
}

}  // namespace postfathom
