// SPDX-License-Identifier: Apache-2.0
// Questions to postfathom-probed over its admin socket, and reading its JSON answers. The daemon
// may be of another version: what is not there reads as empty. Every text is printable.
#pragma once

#include <boost/json/array.hpp>
#include <boost/json/value.hpp>
#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "lib/base/json_value.hpp"  // member
#include "lib/base/result.hpp"
#include "lib/config/settings.hpp"

namespace postfathom {

inline constexpr int exit_not_known = 1;

// The body of a 200, or the exit status after the words of the error went to stderr.
struct Asked {
    std::optional<std::string> body;
    int exit_status = 0;
};
struct AdminQuestion {
    std::string target;
    std::string method = "GET";
    std::string body = {};
    std::chrono::milliseconds limit{10'000};
};
Asked ask_daemon(const Settings& settings, const AdminQuestion& question);
inline Asked ask_daemon(const Settings& settings, const std::string& target) {
    return ask_daemon(settings, AdminQuestion{target});
}

// For those who go on without an answer: the body of a 200, or what went wrong.
struct DaemonReply {
    std::optional<std::string> body;
    unsigned status = 0;  // 0: the daemon cannot be asked
    std::string trouble;  // in words
    ErrorCode code = ErrorCode::io;
};
DaemonReply try_daemon(const Settings& settings, const AdminQuestion& question);

// A request for a probe whose end is waited for.
AdminQuestion probe_question(const std::string& next_hop, std::chrono::milliseconds limit);

// To stderr; the exit status that fits.
int complain(const Error& error);

// null for what is no JSON.
boost::json::value parse_answer(std::string_view text);

// A string or number; "" for everything else. At most 4096 bytes.
std::string text_of(const boost::json::value& value);
std::string text(const boost::json::value& object, std::string_view name);
bool flag(const boost::json::value& object, std::string_view name);
const boost::json::array& list(const boost::json::value& object, std::string_view name);

// For a path segment of the admin socket (RFC 3986 section 2.1).
std::string percent_encoded(std::string_view text);

}  // namespace postfathom
