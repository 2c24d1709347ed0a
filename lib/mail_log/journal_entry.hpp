// SPDX-License-Identifier: Apache-2.0
// One entry of `journalctl -o json` as a line of a mail log. Pure; any bytes are accepted.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace postfathom {

inline constexpr std::size_t max_journal_entry_bytes = 64 * 1024;
inline constexpr std::size_t max_cursor_bytes = 512;

struct JournalEntry {
    std::string cursor;  // where it stands in the journal; printable, without spaces
    std::string line;    // "2026-11-23T01:11:21.123456+00:00 HOST TAG[PID]: TEXT"
    bool operator==(const JournalEntry&) const = default;
};

// Nothing when it is no such object, has no text or writer, or was written by a person's account.
std::optional<JournalEntry> parse_journal_entry(std::string_view json);

// Whether a text may be handed to journalctl as a cursor.
bool is_cursor(std::string_view text);
// When its entry was received, "t=" in microseconds since 1970 as hexadecimal digits
// (sd_journal_get_cursor(3) leaves the format to systemd, which has not changed it); nothing when
// it does not say.
std::optional<std::chrono::microseconds> time_of_cursor(std::string_view cursor);

}  // namespace postfathom
