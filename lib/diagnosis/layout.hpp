// SPDX-License-Identifier: Apache-2.0
// How texts for a terminal are laid out and painted.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "lib/diagnosis/diagnosis.hpp"

namespace postfathom {

inline constexpr std::size_t layout_width = 100;

enum class Paint { plain, bold, green, yellow, red };

std::string painted(std::string_view text, Paint paint, bool colour);
Paint paint_of(Severity severity);
std::string severity_in_words(Severity severity);

// Words in lines of at most `layout_width`; each line after the first starts with `indent` blanks.
// A word longer than a line is cut: it is a peer's, never a command of ours.
std::string wrapped(std::string_view text, std::size_t first_column, std::size_t indent);

// Lines, of which each that is longer than `layout_width` goes on below, two blanks further in than
// it began. Not for commands, which have to stay whole.
std::string folded(std::string_view lines);

}  // namespace postfathom
