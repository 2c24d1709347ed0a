// SPDX-License-Identifier: Apache-2.0
#include "lib/suggestion/render.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

#include "lib/base/text.hpp"
#include "lib/diagnosis/names.hpp"

namespace postfathom {
namespace {

constexpr NameTable<SuggestionFormat, 5> format_names{{
    {SuggestionFormat::text, "text"},
    {SuggestionFormat::json, "json"},
    {SuggestionFormat::sh, "sh"},
    {SuggestionFormat::nft, "nft"},
    {SuggestionFormat::postfix, "postfix"},
}};

constexpr std::string_view nft_command = "nft ";

// One line that a comment can hold.
std::string remark(std::string_view text) { return fmt::format("# {}\n", printable(text)); }

std::string heading(const Suggestion& one, const RenderRequest& request) {
    auto text = remark(fmt::format("{}{} for {}: {}", request.undo ? "undo of " : "",
                                   to_string(one.kind), request.destination, one.scope));
    if (request.undo) return text;
    text += remark(fmt::format("{}: {}", one.proven ? "proven" : "not proven", one.proof));
    if (!one.risk.empty()) text += remark("risk: " + one.risk);
    return text;
}

bool is_shell(const Suggestion& one, bool elsewhere_too) {
    return one.form == SuggestionForm::shell ||
           (elsewhere_too && one.form == SuggestionForm::other_shell);
}

// A rule that is undone by the number which it is given is no file.
bool is_nft(const Suggestion& one) {
    const auto pure = [](const std::vector<std::string>& lines) {
        return !lines.empty() && std::all_of(lines.begin(), lines.end(), [](const auto& line) {
            return line.starts_with(nft_command) && line.find('$') == std::string::npos;
        });
    };
    return is_shell(one, true) && pure(one.commands) && pure(one.undo);
}

std::string script(const Suggestion& one, const RenderRequest& request) {
    std::string text = "#!/bin/sh\n" + heading(one, request);
    for (const auto& file : one.files) {
        if (!file.needed) continue;
        text += remark(fmt::format("{} in {}:", request.undo ? "take out again" : "first, by hand",
                                   file.file));
        for (const auto& line : file.lines) text += remark("    " + line);
    }
    text += "set -e\n";
    for (const auto& line : request.undo ? one.undo : one.commands) text += line + '\n';
    if (request.undo) return text;
    text += "# to see whether it worked:\n";
    for (const auto& line : one.verify) text += remark("    " + line);
    text += "# to take it back:\n";
    for (const auto& line : one.undo) text += remark("    " + line);
    return text;
}

// `nft -f` has no shell to take quotes off.
std::string rules(const Suggestion& one, const RenderRequest& request) {
    std::string text = heading(one, request);
    for (auto line : request.undo ? one.undo : one.commands) {
        line.erase(0, nft_command.size());
        line.erase(std::remove(line.begin(), line.end(), '\''), line.end());
        text += line + '\n';
    }
    return text;
}

std::string table_lines(const std::vector<const Suggestion*>& lines, const RenderRequest& request) {
    std::string text;
    for (const auto* one : lines) {
        text += heading(*one, request);
        text += remark("a line for the table of " + one->table);
        for (const auto& line : one->commands) text += line + '\n';
    }
    return text;
}

std::string as_text(const std::vector<const Suggestion*>& chosen, bool colour) {
    std::string text;
    for (std::size_t i = 0; i < chosen.size(); ++i)
        text += (i == 0 ? "" : "\n") + to_text(*chosen[i], i + 1, colour);
    return text;
}

std::string as_json(const std::vector<const Suggestion*>& chosen, const RenderRequest& request) {
    boost::json::array list;
    for (const auto* one : chosen) list.push_back(to_json(*one));
    boost::json::object object;
    object["schema"] = 1;
    object["destination"] = request.destination;
    object["suggestions"] = std::move(list);
    return boost::json::serialize(object) + '\n';
}

}  // namespace

std::optional<SuggestionFormat> parse_suggestion_format(std::string_view text) {
    return value_in(format_names, text);
}

std::optional<std::string> render(const std::vector<Suggestion>& suggestions,
                                  const RenderRequest& request) {
    std::vector<const Suggestion*> chosen;
    for (const auto& one : suggestions)
        if (!request.kind || one.kind == *request.kind) chosen.push_back(&one);
    const auto keep = [&](auto fits) {
        chosen.erase(std::remove_if(chosen.begin(), chosen.end(),
                                    [&](const auto* one) { return !fits(*one); }),
                     chosen.end());
    };
    switch (request.format) {
        case SuggestionFormat::json:
            return as_json(chosen, request);
        case SuggestionFormat::text:
            if (chosen.empty()) return std::nullopt;
            return as_text(chosen, request.colour);
        case SuggestionFormat::sh:
            keep([&](const Suggestion& one) { return is_shell(one, request.kind.has_value()); });
            if (chosen.empty()) return std::nullopt;
            return script(*chosen.front(), request);
        case SuggestionFormat::nft:
            keep(is_nft);
            if (chosen.empty()) return std::nullopt;
            return rules(*chosen.front(), request);
        case SuggestionFormat::postfix:
            keep([](const Suggestion& one) { return one.form == SuggestionForm::postfix_line; });
            if (chosen.empty()) return std::nullopt;
            return table_lines(chosen, request);
    }
    return std::nullopt;
}

}  // namespace postfathom
