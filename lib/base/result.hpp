// SPDX-License-Identifier: Apache-2.0
// Expected trouble is a value: Result<T> holds a T or an Error. Exceptions are for broken promises
// in our own code.
#pragma once

#include <string>
#include <string_view>
#include <tl/expected.hpp>

namespace postfathom {

// What a caller may want to act on. The words for a person are in Error::message.
enum class ErrorCode {
    invalid_input,  // what was given cannot be understood
    not_found,      // looked, and it is not there
    timed_out,      // a deadline passed
    refused,        // the other side said no
    io,             // the system said no (errno text in the message)
    corrupt,        // stored data that cannot be trusted
    full,           // a bound of ours is reached
    unsupported,    // this system cannot do it
};

struct Error {
    ErrorCode code = ErrorCode::io;
    std::string message;
};

template <typename T>
using Result = tl::expected<T, Error>;

inline tl::unexpected<Error> fail(ErrorCode code, std::string message) {
    return tl::make_unexpected(Error{code, std::move(message)});
}

// The errno `number` in words, with `what` was tried: "open /x: Permission denied".
Error errno_error(int number, std::string_view what);

}  // namespace postfathom
