// SPDX-License-Identifier: Apache-2.0
// Asks the admin query socket: HTTP/1.1 with JSON over a UNIX socket. For the command line.
#pragma once

#include <chrono>
#include <functional>
#include <string>

#include "lib/base/result.hpp"

namespace postfathom {

struct AdminAnswer {
    unsigned status = 0;
    std::string body;
};

// ErrorCode::not_found or refused when the daemon is not there, timed_out when it does not answer.
Result<AdminAnswer> admin_request(const std::string& socket_path, const std::string& method,
                                  const std::string& target, const std::string& body,
                                  std::chrono::milliseconds timeout);

// GET of a stream of lines; calls `on_line` for each until it returns false or the stream ends.
Result<void> admin_stream(const std::string& socket_path, const std::string& target,
                          const std::function<bool(std::string_view)>& on_line);

}  // namespace postfathom
