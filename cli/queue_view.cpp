// SPDX-License-Identifier: Apache-2.0
#include "cli/queue_view.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/array.hpp>

#include "cli/daemon_answer.hpp"
#include "lib/base/text.hpp"
#include "lib/diagnosis/layout.hpp"

namespace postfathom {

namespace {

namespace json = boost::json;

constexpr std::size_t max_reason = 512;
constexpr std::size_t widest_name = 50;

std::string name_of(const QueueRow& row) {
    const auto& name = row.group.place.next_hop;
    return name.empty() ? "(no next hop)" : printable(name, 300);
}

// "40 s", "12 min", "3 h", "2 d": the largest unit that fits.
std::string age_in_words(std::int64_t since, WallTime now) {
    const auto seconds =
        std::chrono::duration_cast<std::chrono::seconds>(now.time_since_epoch()).count() - since;
    if (seconds < 60) return fmt::format("{} s", std::max<std::int64_t>(seconds, 0));
    if (seconds < 3600) return fmt::format("{} min", seconds / 60);
    if (seconds < 48 * 3600) return fmt::format("{} h", seconds / 3600);
    return fmt::format("{} d", seconds / 86400);
}

const json::value& verdict_of(const QueueRow& row) { return member(row.known, "verdict"); }

Paint paint_of(const QueueRow& row) {
    const auto severity = parse_severity(text(verdict_of(row), "severity"));
    return severity ? postfathom::paint_of(*severity) : Paint::plain;
}

std::string diagnosis_of(const QueueRow& row) {
    const auto summary = text(verdict_of(row), "summary");
    if (summary.empty()) return row.remark;
    const auto freshness = text(row.known, "freshness");
    const auto old = !row.probed && freshness != "fresh" && !freshness.empty();
    return summary +
           (old ? fmt::format(" ({}, {})", freshness, text(verdict_of(row), "measured_at")) : "");
}

const json::value& suggestion_of(const QueueRow& row) {
    static const json::value nothing;
    const auto& suggestions = list(member(row.known, "report"), "suggestions");
    return suggestions.empty() ? nothing : suggestions.front();
}

// What to do first: the command of the best suggestion, or to try again where all is well.
std::string first_step(const QueueRow& row) {
    const auto& suggestion = suggestion_of(row);
    const auto& commands = list(suggestion, "commands");
    if (text(suggestion, "form") == "letter")
        return fmt::format("postfathom suggest {}   # a letter to the operator of the server",
                           shell_quoted(text(row.known, "next_hop")));
    if (!commands.empty()) {
        auto step = text_of(commands.front());
        if (commands.size() > 1) step += fmt::format("   # and {} more", commands.size() - 1);
        return step + (flag(suggestion, "proven") ? "   # proven by a counter-probe" : "");
    }
    if (text(verdict_of(row), "severity") == "ok" && is_queue_id(row.group.oldest_id))
        return fmt::format("postqueue -i {}   # it may pass now", row.group.oldest_id);
    return "";
}

struct Widths {
    std::size_t name = 8;
    std::size_t reason = 6;
};

Widths widths_of(const QueueView& view) {
    Widths widths;
    for (const auto& row : view.rows) {
        widths.name = std::max(widths.name, std::min(name_of(row).size(), widest_name));
        widths.reason = std::max(widths.reason, to_string(row.group.kind).size());
    }
    return widths;
}

std::string row_text(const QueueRow& row, const Widths& widths, WallTime now, bool colour) {
    auto out = fmt::format("{:<{}}  {:>8}  {:>6}  {:<{}}  {}\n", name_of(row), widths.name,
                           row.group.messages, age_in_words(row.group.oldest, now),
                           to_string(row.group.kind), widths.reason,
                           painted(diagnosis_of(row), paint_of(row), colour));
    // A reason that has no word of ours is told as Postfix has it.
    if (row.group.kind == FailureKind::other || row.group.kind == FailureKind::refused)
        out += fmt::format("    {}\n", row.group.example.empty()
                                           ? "no reason is written down"
                                           : printable(row.group.example, max_reason));
    if (const auto step = first_step(row); !step.empty()) out += fmt::format("    {}\n", step);
    return out;
}

std::string counts(std::uint64_t count, std::string_view what) {
    return fmt::format("{} {}{}", count, what, count == 1 ? "" : "s");
}

std::string totals(const QueueView& view) {
    auto out =
        fmt::format("{} stuck, of {} in the queue", counts(view.stuck, "message"), view.messages);
    if (view.held > 0) out += fmt::format("; {} on hold", view.held);
    if (view.under_way > 0) out += fmt::format("; {} under way", view.under_way);
    return out + "\n";
}

json::value text_or_null(const std::string& text, std::size_t limit = 256) {
    if (text.empty()) return nullptr;
    return json::string(printable(text, limit));
}

json::object row_json(const QueueRow& row) {
    const auto& group = row.group;
    json::object object;
    object["next_hop"] = text_or_null(group.place.next_hop, 300);
    object["next_hop_from"] = to_string(group.place.source);
    object["reason"] = to_string(group.kind);
    object["example"] = text_or_null(group.example, 1024);
    object["messages"] = group.messages;
    object["recipients"] = group.recipients;
    object["bytes"] = group.bytes;
    object["oldest"] = to_rfc3339(WallTime(std::chrono::seconds(group.oldest)));
    object["oldest_queue_id"] = text_or_null(group.oldest_id);
    object["probed"] = row.probed;
    object["verdict"] = verdict_of(row);
    object["freshness"] = text_or_null(text(row.known, "freshness"));
    object["suggestion"] = suggestion_of(row);
    object["remark"] = text_or_null(row.remark, 1024);
    return object;
}

}  // namespace

std::string to_text(const QueueView& view, WallTime now, bool colour) {
    std::string out;
    const auto widths = widths_of(view);
    if (!view.rows.empty())
        out = painted(fmt::format("{:<{}}  {:>8}  {:>6}  {:<{}}  {}", "NEXT HOP", widths.name,
                                  "MESSAGES", "OLDEST", "REASON", widths.reason, "DIAGNOSIS"),
                      Paint::bold, colour) +
              "\n";
    for (const auto& row : view.rows) out += row_text(row, widths, now, colour);
    if (!view.rows.empty()) out += "\n";
    out += totals(view);
    const bool ill = std::any_of(view.rows.begin(), view.rows.end(),
                                 [](const auto& row) { return !suggestion_of(row).is_null(); });
    if (ill)
        out += "All of a next hop, with how to verify and to undo: postfathom suggest NEXTHOP\n";
    return out;
}

json::object to_json(const QueueView& view) {
    json::object object;
    object["schema"] = 1;
    object["messages"] = view.messages;
    object["stuck"] = view.stuck;
    object["held"] = view.held;
    object["under_way"] = view.under_way;
    object["unreadable"] = view.unreadable;
    object["cut"] = view.cut;
    object["daemon_trouble"] = text_or_null(view.daemon_trouble, 1024);
    json::array groups;
    for (const auto& row : view.rows) groups.push_back(row_json(row));
    object["groups"] = std::move(groups);
    return object;
}

}  // namespace postfathom
