// SPDX-License-Identifier: Apache-2.0
// The pieces that lines of a mail log are made of, taken from the front of a text. Pure; any bytes
// are accepted.
#pragma once

#include <charconv>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "lib/destination/endpoint.hpp"

namespace postfathom {

inline constexpr std::size_t max_log_line_bytes = 8192;

// HOST[ADDR]:PORT as Postfix prints a server; without port in some texts.
struct LoggedPeer {
    std::string host;
    IpAddress address;
    std::optional<std::uint16_t> port;
    bool operator==(const LoggedPeer&) const = default;
};

// Finds the first HOST[ADDR] or HOST[ADDR]:PORT in a text, e.g. in a deferral's reason.
std::optional<LoggedPeer> find_peer(std::string_view text);

// What stands before the text of every line: "STAMP HOST TAG[PID]: ". The tag's last part is the
// program, with syslog_name before it. Stamps: postlogd and BSD syslog ("Nov 23 01:11:21"), and RFC
// 3339 as rsyslog and `journalctl -o short-iso` write them ("2026-11-23T01:11:21.123456+00:00").
struct LineHead {
    std::string stamp;      // as written
    std::string host;       // that wrote it; a log may gather those of several
    std::string program;    // last part of the tag: "smtp", "smtpd", "qmgr"
    std::uint32_t pid = 0;  // 0: none is given
    bool operator==(const LineHead&) const = default;
};
std::optional<LineHead> take_head(std::string_view& line);

// Removes `prefix` from the front of `text`.
bool take(std::string_view& text, std::string_view prefix);
// Removes and returns what comes before `separator`, and the separator.
std::optional<std::string_view> take_until(std::string_view& text, std::string_view separator);

template <typename Number>
std::optional<Number> take_number(std::string_view& text) {
    Number number{};
    const auto result = std::from_chars(text.data(), text.data() + text.size(), number);
    if (result.ec != std::errc{}) return std::nullopt;
    text.remove_prefix(static_cast<std::size_t>(result.ptr - text.data()));
    return number;
}

// HOST[ADDR] or HOST[ADDR]:PORT at the front of `text`.
std::optional<LoggedPeer> take_peer(std::string_view& text);
// "[ADDR]" or "[ADDR]:PORT" at the front of `text`, as postscreen(8) and tlsproxy(8) print it;
// `host` is put before it.
std::optional<LoggedPeer> take_address(std::string_view host, std::string_view& text);

// Postfix's two forms (enable_long_queue_ids): upper case hexadecimal, or letters without vowels
// and digits. So words such as "warning" are none.
bool is_queue_id(std::string_view text);
// "QID: " at the front of `text`; empty when there is none.
std::string take_queue_id(std::string_view& text);

}  // namespace postfathom
