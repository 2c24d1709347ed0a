// SPDX-License-Identifier: Apache-2.0
// Small operations on text that the whole project shares.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace postfathom {

// ASCII only, as DNS names are compared (RFC 4343).
std::string to_lower(std::string_view text);

std::string_view trim(std::string_view text);

// Pieces between `separator`; empty pieces are kept.
std::vector<std::string_view> split(std::string_view text, char separator);

bool iequals(std::string_view a, std::string_view b);
bool istarts_with(std::string_view text, std::string_view prefix);

// Foreign text made safe for logs, headers, terminals, DSNs and records: control bytes and bytes
// that are not ASCII become '?'; what exceeds `limit` bytes is cut and ends in "...". Apply it
// where text from a peer enters our own output.
std::string printable(std::string_view text, std::size_t limit = 256);

// One word to a shell whatever is in it, for commands that we print.
std::string shell_quoted(std::string_view text);

}  // namespace postfathom
