// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <iterator>

#include "cli/daemon_answer.hpp"
#include "cli/story_text.hpp"
#include "lib/base/text.hpp"
#include "lib/diagnosis/layout.hpp"

namespace postfathom {

namespace json = boost::json;

namespace {

using Text = std::back_insert_iterator<std::string>;

std::string joined(const json::array& values) {
    std::string words;
    for (const auto& value : values) words += (words.empty() ? "" : ", ") + text_of(value);
    return words;
}

std::string or_unknown(const std::string& words) { return words.empty() ? "not known" : words; }

std::string size_in_words(const json::value& sizes, const std::string& direction) {
    const auto size = text(sizes, direction);
    if (size.empty()) return direction + " not known";
    return direction + " " + size + (flag(sizes, direction + "_exact") ? " exactly" : " or more");
}

// What the server's half of the handshake looked like: StallShape.
std::string shape_in_words(const json::value& attempt) {
    const auto shape = text(attempt, "stall");
    const auto lost = text(attempt, "large_lost");
    const auto missing =
        lost.empty() || lost == "0" ? std::string() : ", " + lost + " of full size did not arrive";
    if (shape == "gap") return "; a later, smaller segment arrived" + missing;
    if (shape == "lost-reply") return "; our request arrived, its answer did not" + missing;
    if (shape == "silent-acked") return "; our request was acknowledged, and nothing more came";
    if (shape == "hello-unacked") return "; our request was not acknowledged";
    if (shape == "window-closed") return "; the server took no data";
    if (shape == "unfinished") return "; packets of full size arrived, the answer did not end";
    return shape.empty() ? "" : "; " + shape;
}

std::string after_seconds(const json::value& object) {
    const auto seconds = text(object, "seconds");
    return seconds.empty() ? "" : " after " + seconds + " s";
}

void tell_attempt(Text out, const json::value& attempt) {
    const auto allowed = text(attempt, "allowed");
    const auto hello = text(attempt, "hello_bytes");
    fmt::format_to(
        out, "      sent: {}{}; came back: {} in phase {}{}",
        hello.empty() ? "a connection" : "a ClientHello of " + hello + " bytes",
        allowed.empty() ? "" : ", packets of " + allowed + " bytes allowed to the server",
        text(attempt, "outcome"), text(attempt, "reached"), after_seconds(attempt));
    if (const auto largest = text(attempt, "largest_received"); !largest.empty() && largest != "0")
        fmt::format_to(out, ", largest packet {} bytes", largest);
    fmt::format_to(out, "{}\n", shape_in_words(attempt));
}

void tell_flight(Text out, const json::value& flight) {
    fmt::format_to(out, "      sent: packets of {} bytes; came back: {}",
                   joined(list(flight, "sent")), text(flight, "shape"));
    if (const auto passes = text(flight, "passes"); !passes.empty())
        fmt::format_to(out, ", {} bytes acknowledged", passes);
    if (const auto fails = text(flight, "fails"); !fails.empty())
        fmt::format_to(out, ", {} bytes lost {} times", fails, text(flight, "fails_lost"));
    fmt::format_to(out, "{}\n", after_seconds(flight));
}

void tell_evidence(Text out, const json::value& endpoint) {
    for (const auto& attempt : list(endpoint, "attempts")) tell_attempt(out, attempt);
    for (const auto& flight : list(endpoint, "flights")) tell_flight(out, flight);
    for (const auto& datagram : list(endpoint, "datagrams")) {
        fmt::format_to(out, "      sent: {} of {} bytes; came back: {}", text(datagram, "kind"),
                       text(datagram, "size"), text(datagram, "outcome"));
        if (const auto router = text(datagram, "router"); !router.empty())
            fmt::format_to(out, ", {} says {} bytes", router, text(datagram, "reported"));
        fmt::format_to(out, "\n");
    }
    for (const auto& question : list(endpoint, "questions"))
        fmt::format_to(out, "      sent: {} of {} bytes; came back: {}{}\n", text(question, "kind"),
                       text(question, "bytes"),
                       flag(question, "answered") ? "an answer"
                       : flag(question, "acknowledged")
                           ? "no answer, though the bytes were acknowledged"
                           : "nothing",
                       after_seconds(question));
    for (const auto& trial : list(endpoint, "protocol_trials"))
        fmt::format_to(out, "      sent: a handshake with {}; came back: {} {}\n",
                       text(trial, "protocol"), text(trial, "outcome"), text(trial, "tls_error"));
}

void tell_endpoint(Text out, const json::value& endpoint) {
    const auto name = text(endpoint, "name");
    fmt::format_to(out, "\n  {}[{}]:{} ({}), looked at {}\n", name.empty() ? "unknown" : name,
                   text(endpoint, "address"), text(endpoint, "port"), text(endpoint, "service"),
                   or_unknown(text(endpoint, "measured_at")));
    const auto& vantage = member(endpoint, "vantage");
    if (const auto source = text(vantage, "source"); !source.empty())
        fmt::format_to(out, "    from {} on {}, interface MTU {}, route MTU {}\n", source,
                       or_unknown(text(vantage, "interface")),
                       or_unknown(text(vantage, "interface_mtu")),
                       or_unknown(text(vantage, "route_mtu")));
    const auto& sizes = member(endpoint, "path_mtu");
    fmt::format_to(out, "    path MTU: {}, {}\n", size_in_words(sizes, "inbound"),
                   size_in_words(sizes, "outbound"));
    const auto& handshake = member(endpoint, "handshake");
    if (const auto outcome = text(handshake, "outcome"); !outcome.empty()) {
        fmt::format_to(out, "    handshake: {}, reached {}", outcome, text(handshake, "reached"));
        for (const auto* detail : {"protocol", "cipher", "tls_error", "reply"})
            if (const auto words = text(handshake, detail); !words.empty())
                fmt::format_to(out, ", {}", words);
        fmt::format_to(out, "\n");
    }
    tell_evidence(out, endpoint);
    const auto& diagnosis = member(endpoint, "diagnosis");
    fmt::format_to(out, "    {}: {}\n", text(diagnosis, "id"), text(diagnosis, "summary"));
    if (const auto ruled_out = joined(list(diagnosis, "ruled_out")); !ruled_out.empty())
        fmt::format_to(out, "    ruled out: {}\n", ruled_out);
    if (const auto settles = text(diagnosis, "settles"); !settles.empty())
        fmt::format_to(out, "    what would settle it: {}\n", settles);
    for (const auto& finding : list(endpoint, "findings"))
        if (text(finding, "id") != text(diagnosis, "id"))
            fmt::format_to(out, "    also {} ({}): {}\n", text(finding, "id"),
                           text(finding, "severity"), text(finding, "summary"));
    for (const auto& note : list(endpoint, "notes"))
        fmt::format_to(out, "    note: {}\n", text(note, "text"));
}

void tell_past(Text out, const json::value& known) {
    for (const auto& endpoint : list(known, "history")) {
        const auto& results = list(endpoint, "results");
        if (results.size() < 2) continue;
        fmt::format_to(out, "\n  {} over time\n", text(endpoint, "endpoint"));
        for (const auto& past : results)
            fmt::format_to(out, "    {} to {}: {} from {}\n", text(past, "since"), text(past, "at"),
                           text(past, "id"), text(past, "source"));
    }
}

void tell_remedy(Text out, const json::value& known, const json::value& report) {
    const auto& suggestions = list(report, "suggestions");
    if (suggestions.empty()) return;
    const auto& first = suggestions.front();
    fmt::format_to(out, "\n  what would help: {} ({}){}\n", text(first, "kind"),
                   text(first, "scope"),
                   flag(first, "proven") ? ", proven by a counter-probe" : ", not proven");
    const bool letter = text(first, "form") == "letter";
    for (const auto& command : list(first, "commands"))
        if (!letter) fmt::format_to(out, "    {}\n", text_of(command));
    fmt::format_to(out,
                   "  all suggestions, and how to verify and undo them: postfathom suggest {}\n",
                   shell_quoted(text(known, "next_hop")));
}

}  // namespace

std::string destination_story(const json::value& known) {
    std::string story;
    const auto out = std::back_inserter(story);
    const auto& verdict = member(known, "verdict");
    fmt::format_to(out, "{}: {}\n", text(known, "next_hop"), text(verdict, "summary"));
    fmt::format_to(out, "  severity {}, since {}, last confirmed {} ({})\n",
                   text(verdict, "severity"), text(verdict, "since"), text(verdict, "measured_at"),
                   text(known, "freshness"));
    const auto& route = member(known, "route");
    if (const auto verbatim = text(route, "verbatim"); !verbatim.empty())
        fmt::format_to(out, "  Postfix sends mail for {} there, as {}\n", text(route, "domain"),
                       verbatim);
    if (const auto& suspected = member(verdict, "suspected"); suspected.is_object())
        fmt::format_to(out, "  one probe at {} found {}; a second one has to confirm it\n",
                       text(suspected, "at"), text(suspected, "id"));
    const auto& report = member(known, "report");
    for (const auto& endpoint : list(report, "endpoints")) tell_endpoint(out, endpoint);
    if (report.is_object() && list(report, "endpoints").empty())
        fmt::format_to(out, "  {}\n", text(member(report, "diagnosis"), "summary"));
    for (const auto& held_back : list(report, "held_back"))
        fmt::format_to(out, "\n  {} {}; it is not probed before {}\n", text(held_back, "endpoint"),
                       text(held_back, "why"), text(held_back, "until"));
    if (!report.is_object())
        fmt::format_to(out,
                       "  the evidence is not kept any more; to have it: postfathom probe {}\n",
                       shell_quoted(text(known, "next_hop")));
    tell_past(out, known);
    story = folded(story);
    tell_remedy(std::back_inserter(story), known, report);
    return story;
}

}  // namespace postfathom
