// SPDX-License-Identifier: Apache-2.0
#include "lib/mail_log/journal_entry.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <charconv>
#include <cstdint>

#include "lib/base/text.hpp"
#include "lib/mail_log/scan.hpp"

namespace postfathom {

namespace {

namespace json = boost::json;

// journalctl(1): text that is no UTF-8 is an array of its bytes; a field that the entry has several
// times is an array of its values; one that is too large is null.
std::optional<std::string> text_of(const json::value& value) {
    if (const auto* text = value.if_string()) return std::string(*text);
    const auto* items = value.if_array();
    if (items == nullptr || items->empty()) return std::nullopt;
    if (!items->front().is_number()) return text_of(items->front());
    std::string bytes;
    for (const auto& item : *items) {
        const auto* number = item.if_int64();
        if (number == nullptr || *number < 0 || *number > 255) return std::nullopt;
        bytes += static_cast<char>(*number);
    }
    return bytes;
}

std::optional<std::string> field(const json::object& entry, std::string_view name) {
    const auto* value = entry.if_contains(name);
    return value != nullptr ? text_of(*value) : std::nullopt;
}

std::optional<std::string> stamp_of(const std::string& microseconds) {
    std::string_view text = microseconds;
    const auto since_1970 = take_number<std::int64_t>(text);
    constexpr std::int64_t latest = 253'402'300'799'000'000;  // the year 9999
    if (!since_1970 || !text.empty() || *since_1970 < 0 || *since_1970 > latest)
        return std::nullopt;
    return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:06}+00:00",
                       fmt::gmtime(static_cast<std::time_t>(*since_1970 / 1'000'000)),
                       *since_1970 % 1'000'000);
}

// Any local program may give itself any text there: one with a line end or a bracket would be
// another line.
std::optional<std::string> pid_of(const json::object& entry) {
    // The one that the program gave itself: _PID may be that of a helper that passed it on.
    for (const auto* name : {"SYSLOG_PID", "_PID"}) {
        auto pid = field(entry, name);
        if (pid && !pid->empty() && pid->find_first_not_of("0123456789") == std::string::npos)
            return pid;
    }
    return std::nullopt;
}

// Who may log in to this host may write to its journal in any program's name, but not in another
// user's. Mail servers run as system users, below UID_MIN of login.defs(5) as Debian has it; above
// are people, of this host, of a directory, in containers.
bool of_a_person(const json::object& entry) {
    constexpr std::uint32_t first = 1000;
    const auto text = field(entry, "_UID").value_or("");
    std::string_view rest = text;
    const auto uid = take_number<std::uint32_t>(rest);
    return uid && rest.empty() && *uid >= first;
}

// journald takes blanks off the end of what syslog(3) hands it, and keeps the message as it came in
// this field (systemd.journal-fields(7)). That it ended in some may be the only trace of a line
// that Postfix cut.
bool lost_blanks(const json::object& entry) {
    if (!entry.contains("SYSLOG_RAW")) return false;
    auto raw = field(entry, "SYSLOG_RAW").value_or(" ");
    while (!raw.empty() && (raw.back() == '\n' || raw.back() == '\0')) raw.pop_back();
    return raw.empty() || raw.back() == ' ' || raw.back() == '\t' || raw.back() == '\r';
}

bool one_word(std::string_view text) {
    return !text.empty() && std::none_of(text.begin(), text.end(), [](char c) {
        return static_cast<unsigned char>(c) <= ' ' || c == ':' || c == '[';
    });
}

}  // namespace

bool is_cursor(std::string_view text) {
    return !text.empty() && text.size() <= max_cursor_bytes && text.front() != '-' &&
           std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c <= '~'; });
}

std::optional<std::chrono::microseconds> time_of_cursor(std::string_view cursor) {
    for (const auto part : split(cursor, ';')) {
        if (!part.starts_with("t=")) continue;
        std::int64_t value = 0;
        const auto* end = part.data() + part.size();
        const auto result = std::from_chars(part.data() + 2, end, value, 16);
        if (result.ec != std::errc{} || result.ptr != end || value < 0) return std::nullopt;
        return std::chrono::microseconds(value);
    }
    return std::nullopt;
}

std::optional<JournalEntry> parse_journal_entry(std::string_view text) {
    if (text.size() > max_journal_entry_bytes) return std::nullopt;
    boost::system::error_code error;
    const auto value = json::parse({text.data(), text.size()}, error);
    const auto* entry = error ? nullptr : value.if_object();
    if (entry == nullptr) return std::nullopt;

    const auto microseconds = field(*entry, "__REALTIME_TIMESTAMP");
    const auto stamp = microseconds ? stamp_of(*microseconds) : std::nullopt;
    const auto tag = field(*entry, "SYSLOG_IDENTIFIER");
    auto message = field(*entry, "MESSAGE");
    if (!stamp || !tag || !message || !one_word(*tag) || of_a_person(*entry)) return std::nullopt;
    const auto pid = pid_of(*entry);
    const auto host = field(*entry, "_HOSTNAME").value_or("localhost");
    message->resize(std::min(message->find('\n'), message->size()));
    if (lost_blanks(*entry)) *message += ' ';

    JournalEntry result;
    const auto cursor = field(*entry, "__CURSOR").value_or("");
    if (is_cursor(cursor)) result.cursor = cursor;
    result.line = fmt::format("{} {} {}{}: {}", *stamp, one_word(host) ? host : "localhost", *tag,
                              pid ? "[" + *pid + "]" : "", *message);
    return result;
}

}  // namespace postfathom
