// SPDX-License-Identifier: Apache-2.0
// postfathom suggest: what would mend the way to a next hop, in the form that a program takes.
#include <fmt/format.h>

#include "cli/commands.hpp"
#include "cli/daemon_answer.hpp"
#include "cli/terminal.hpp"
#include "lib/base/text.hpp"
#include "lib/suggestion/render.hpp"

namespace postfathom {

namespace {

int refuse(std::string_view option, const std::string& found, const std::string& expected) {
    fmt::print(stderr, "postfathom suggest: {}: found \"{}\", expected {}\n", option,
               printable(found), expected);
    return EX_USAGE;
}

std::string kind_names() {
    std::string names;
    for (const auto kind : all_suggestion_kinds())
        names += fmt::format("{}{}", names.empty() ? "" : ", ", to_string(kind));
    return names;
}

}  // namespace

int run_suggest(const SuggestOptions& options, const Settings& settings) {
    RenderRequest request;
    const auto format = parse_suggestion_format(options.json ? "json" : options.format);
    if (!format) return refuse("--format", options.format, "text, json, sh, nft or postfix");
    request.format = *format;
    if (!options.kind.empty()) {
        request.kind = parse_suggestion_kind(options.kind);
        if (!request.kind) return refuse("--kind", options.kind, "one of " + kind_names());
    }
    request.undo = options.undo;
    const bool undone = *format == SuggestionFormat::sh || *format == SuggestionFormat::nft;
    if (options.undo && !undone) return refuse("--format", options.format, "sh or nft with --undo");
    const auto asked =
        ask_daemon(settings, "/v1/destinations/" + percent_encoded(options.next_hop));
    if (!asked.body) return asked.exit_status;
    const auto known = parse_answer(*asked.body);
    request.destination = text(known, "next_hop");
    request.colour = coloured();
    std::vector<Suggestion> suggestions;
    for (const auto& value : list(member(known, "report"), "suggestions"))
        if (auto suggestion = parse_suggestion(value))
            suggestions.push_back(std::move(*suggestion));
    const auto printed = render(suggestions, request);
    if (printed) {
        fmt::print("{}", *printed);
        return suggestions.empty() ? exit_not_known : 0;
    }
    fmt::print(
        stderr, "postfathom: {}: {}: {}\n", request.destination,
        text(member(known, "verdict"), "summary"),
        suggestions.empty() ? "nothing is suggested"
        : options.kind.empty()
            ? fmt::format("no suggestion is of the form {}", options.format)
            : fmt::format("no {} in the form {} is suggested", options.kind, options.format));
    return exit_not_known;
}

}  // namespace postfathom
