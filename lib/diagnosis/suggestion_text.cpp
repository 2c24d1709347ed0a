// SPDX-License-Identifier: Apache-2.0
// A suggestion for a person, in lines of at most 100 columns. Commands stay whole: a long one
// continues with a backslash, as the shell wants it.
#include <fmt/core.h>

#include "lib/diagnosis/layout.hpp"
#include "lib/diagnosis/suggestion.hpp"

namespace postfathom {
namespace {

constexpr std::size_t width = layout_width;
constexpr std::size_t step_margin = 5;

std::string paragraph(std::string_view text) {
    return std::string(step_margin, ' ') + wrapped(text, step_margin, step_margin) + '\n';
}

// Pieces of a command line between blanks that are not inside quotes.
std::vector<std::string> shell_words(std::string_view command) {
    std::vector<std::string> words(1);
    char quote = 0;
    for (const char c : command) {
        if (quote == 0 && c == ' ') {
            words.emplace_back();
            continue;
        }
        if (quote == 0 && (c == '\'' || c == '"'))
            quote = c;
        else if (c == quote)
            quote = 0;
        words.back() += c;
    }
    return words;
}

std::string command_lines(std::string_view command, std::size_t margin) {
    constexpr std::size_t continuation = 2;
    std::string line(margin, ' ');
    std::string result;
    bool line_start = true;
    for (const auto& word : shell_words(command)) {
        if (!line_start && line.size() + 1 + word.size() + continuation > width) {
            result += line + " \\\n";
            line = std::string(margin + 4, ' ');
            line_start = true;
        }
        line += (line_start ? "" : " ") + word;
        line_start = false;
    }
    return result + line + '\n';
}

// Lines that no shell reads are printed as they are.
std::string steps(std::string_view heading, const std::vector<std::string>& lines, bool shell) {
    if (lines.empty()) return "";
    constexpr std::size_t margin = step_margin + 3;
    auto text = fmt::format("{}{}\n", std::string(step_margin, ' '), heading);
    for (const auto& line : lines)
        text += shell          ? command_lines(line, margin)
                : line.empty() ? "\n"
                               : std::string(margin, ' ') + line + '\n';
    return text;
}

std::string heading_of(const Suggestion& suggestion) {
    switch (suggestion.form) {
        case SuggestionForm::postfix_line:
            return "Line:";
        case SuggestionForm::letter:
            return "Text:";
        case SuggestionForm::other_shell:
            return "Run there:";
        case SuggestionForm::shell:
            break;
    }
    return "Run:";
}

std::string labelled(std::string_view label, const std::string& text) {
    return text.empty() ? "" : paragraph(fmt::format("{}: {}", label, text));
}

}  // namespace

std::string to_text(const Suggestion& suggestion, std::size_t number, bool colour) {
    const bool shell =
        suggestion.form == SuggestionForm::shell || suggestion.form == SuggestionForm::other_shell;
    const auto title =
        fmt::format("{}. {}: {}{}", number, to_string(suggestion.kind), suggestion.scope,
                    suggestion.proven ? " (limit proven by a counter-probe)" : "");
    std::string text = painted(wrapped(title, 0, step_margin), Paint::bold, colour) + '\n';
    text += paragraph(suggestion.why);
    for (const auto& file : suggestion.files)
        if (file.needed) text += steps("In " + file.file + ":", file.lines, false);
    text += steps(heading_of(suggestion), suggestion.commands, shell);
    text += labelled("Expect", suggestion.expected);
    text += steps("Verify:", suggestion.verify, true);
    text += steps("Undo:", suggestion.undo, true);
    for (const auto& file : suggestion.files)
        if (!file.needed) text += steps("To keep it, in " + file.file + ":", file.lines, false);
    text += labelled("Risk", suggestion.risk);
    text += labelled(suggestion.proven ? "Proven" : "Not proven", suggestion.proof);
    return text;
}

}  // namespace postfathom
