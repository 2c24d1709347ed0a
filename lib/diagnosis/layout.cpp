// SPDX-License-Identifier: Apache-2.0
#include "lib/diagnosis/layout.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <map>

#include "lib/base/text.hpp"

namespace postfathom {

std::string painted(std::string_view text, Paint paint, bool colour) {
    if (!colour || paint == Paint::plain) return std::string{text};
    static const std::map<Paint, std::string_view> codes{
        {Paint::bold, "1"}, {Paint::green, "1;32"}, {Paint::yellow, "1;33"}, {Paint::red, "1;31"}};
    return fmt::format("\x1b[{}m{}\x1b[0m", codes.at(paint), text);
}

Paint paint_of(Severity severity) {
    switch (severity) {
        case Severity::ok:
        case Severity::notice:
            return Paint::green;
        case Severity::warning:
        case Severity::unknown:
            return Paint::yellow;
        case Severity::critical:
            return Paint::red;
    }
    return Paint::plain;
}

std::string severity_in_words(Severity severity) {
    switch (severity) {
        case Severity::ok:
            return "OK";
        case Severity::notice:
            return "NOTICE";
        case Severity::unknown:
            return "COULD NOT TELL";
        case Severity::warning:
            return "WARNING";
        case Severity::critical:
            return "CRITICAL";
    }
    return "COULD NOT TELL";
}

std::string wrapped(std::string_view text, std::size_t first_column, std::size_t indent) {
    std::string result;
    std::size_t column = first_column;
    bool line_start = true;
    for (auto word : split(text, ' ')) {
        if (word.empty()) continue;
        word = word.substr(0, layout_width - indent);
        if (!line_start && column + 1 + word.size() > layout_width) {
            result += '\n' + std::string(indent, ' ');
            column = indent;
            line_start = true;
        }
        if (!line_start) {
            result += ' ';
            ++column;
        }
        result += word;
        column += word.size();
        line_start = false;
    }
    return result;
}

std::string folded(std::string_view lines) {
    constexpr std::size_t further = 2;
    std::string result;
    bool first = true;
    for (const auto line : split(lines, '\n')) {
        if (!first) result += '\n';
        first = false;
        const auto indent = std::min(line.find_first_not_of(' '), line.size());
        if (line.size() <= layout_width)
            result += line;
        else
            result += std::string(indent, ' ') + wrapped(line, indent, indent + further);
    }
    return result;
}

}  // namespace postfathom
