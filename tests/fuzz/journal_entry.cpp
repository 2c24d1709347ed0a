// SPDX-License-Identifier: Apache-2.0
// Entries of `journalctl -o json`; any local program may write to the journal.
#include "lib/mail_log/journal_entry.hpp"

#include "tests/fuzz/target.hpp"

namespace postfathom::fuzz {

const bool takes_pieces = false;

std::string tell(const Input& input) {
    std::string told;
    input.pieces([&](std::string_view bytes) {
        if (const auto at = time_of_cursor(bytes)) require(at->count() >= 0, "time goes on");
        const auto entry = parse_journal_entry(bytes);
        if (!entry) return;
        require(entry->line.find('\n') == std::string::npos, "an entry is one line");
        require(entry->cursor.empty() || is_cursor(entry->cursor), "cursors are cursors");
        told = entry->cursor + '\n' + entry->line;
    });
    return told;
}

}  // namespace postfathom::fuzz
