// SPDX-License-Identifier: Apache-2.0
// postfathom show, list and watch: what postfathom-probed knows, asked over its admin socket.
#include <fmt/format.h>

#include <algorithm>
#include <boost/json/serialize.hpp>
#include <cstdio>

#include "cli/commands.hpp"
#include "cli/daemon_answer.hpp"
#include "cli/terminal.hpp"
#include "lib/base/text.hpp"
#include "lib/diagnosis/layout.hpp"
#include "lib/diagnosis/suggestion.hpp"
#include "lib/net/admin_client.hpp"

namespace postfathom {

namespace {

namespace json = boost::json;

Paint paint_of_verdict(const json::value& verdict) {
    const auto severity = parse_severity(text(verdict, "severity"));
    return severity ? paint_of(*severity) : Paint::plain;
}

void print_path_mtu(const json::value& endpoint) {
    const auto& sizes = member(endpoint, "path_mtu");
    for (const auto* direction : {"inbound", "outbound"}) {
        const auto size = text(sizes, direction);
        if (size.empty()) continue;
        fmt::print("    path MTU {}: {}{}\n", direction, size,
                   flag(sizes, std::string(direction) + "_exact") ? "" : " or more");
    }
}

void print_attempt(const json::value& attempt) {
    const auto allowed = text(attempt, "allowed");
    const auto seconds = text(attempt, "seconds");
    fmt::print("    tried{}{}: {}{}\n", allowed.empty() ? "" : " with packets up to ", allowed,
               text(attempt, "outcome"), seconds.empty() ? "" : " after " + seconds + " s");
}

void print_cost(const json::value& endpoint) {
    const auto& cost = member(endpoint, "cost");
    const auto connections = text(cost, "connections");
    if (connections.empty()) return;
    const auto aborted = text(cost, "aborted");
    fmt::print("    cost: {} connections{}, {} s\n", connections,
               aborted.empty() || aborted == "0"
                   ? ""
                   : ", " + aborted + " of them left in the middle of the handshake",
               text(cost, "seconds"));
    if (const auto said = text(cost, "asked_to_wait"); !said.empty())
        fmt::print("    it asked us to come again later: {}\n", said);
}

void print_folded(const std::string& line) { fmt::print("{}\n", folded(line)); }

void print_endpoint(const json::value& endpoint) {
    const auto name = text(endpoint, "name");
    fmt::print("\n  {}[{}]:{} ({})\n", name, text(endpoint, "address"), text(endpoint, "port"),
               text(endpoint, "service"));
    const auto& vantage = member(endpoint, "vantage");
    if (const auto source = text(vantage, "source"); !source.empty())
        fmt::print("    from {} on {}, interface MTU {}\n", source, text(vantage, "interface"),
                   text(vantage, "interface_mtu"));
    print_path_mtu(endpoint);
    const auto& handshake = member(endpoint, "handshake");
    if (const auto outcome = text(handshake, "outcome"); !outcome.empty())
        fmt::print("    handshake: {}, reached {}{}{}\n", outcome, text(handshake, "reached"),
                   text(handshake, "protocol").empty() ? "" : ", ", text(handshake, "protocol"));
    for (const auto& attempt : list(endpoint, "attempts")) print_attempt(attempt);
    const auto& diagnosis = member(endpoint, "diagnosis");
    print_folded(fmt::format("    {}: {}", text(diagnosis, "id"), text(diagnosis, "summary")));
    std::string ruled_out;
    for (const auto& id : list(diagnosis, "ruled_out"))
        ruled_out += (ruled_out.empty() ? "" : ", ") + text_of(id);
    if (!ruled_out.empty()) print_folded("    ruled out: " + ruled_out);
    for (const auto& finding : list(endpoint, "findings"))
        if (text(finding, "id") != text(diagnosis, "id"))
            print_folded(fmt::format("    also {} ({}): {}", text(finding, "id"),
                                     text(finding, "severity"), text(finding, "summary")));
    for (const auto& note : list(endpoint, "notes"))
        print_folded("    note: " + text(note, "text"));
    print_cost(endpoint);
}

// "1400 exact", "1280 or more, below 1500".
std::string size_in_words(const json::value& path, const std::string& direction) {
    const auto size = text(path, direction);
    if (size.empty()) return "";
    if (flag(path, direction + "_exact")) return size + " exactly";
    const auto fails = text(path, direction + "_fails");
    return size + " or more" + (fails.empty() ? "" : ", below " + fails);
}

std::string sizes_in_words(const json::value& path) {
    const auto inbound = size_in_words(path, "inbound");
    const auto outbound = size_in_words(path, "outbound");
    return (inbound.empty() ? "" : "inbound " + inbound) +
           (inbound.empty() || outbound.empty() ? "" : "; ") +
           (outbound.empty() ? "" : "outbound " + outbound);
}

void print_path(const json::value& path) {
    fmt::print("  path from {} to {}: {} ({})\n", text(path, "source"), text(path, "destination"),
               sizes_in_words(path), text(path, "measured_at"));
    const auto& history = list(path, "history");
    if (history.size() < 2) return;
    for (const auto& past : history)
        fmt::print("    {} to {}: {}\n", text(past, "since"), text(past, "at"),
                   sizes_in_words(past));
}

void print_history(const json::value& endpoint) {
    const auto& results = list(endpoint, "results");
    if (results.size() < 2) return;
    fmt::print("  {} over time\n", text(endpoint, "endpoint"));
    for (const auto& past : results)
        fmt::print("    {} to {}: {} from {}\n", text(past, "since"), text(past, "at"),
                   text(past, "id"), text(past, "source"));
}

void print_memory(const json::value& known) {
    const auto& suspected = member(member(known, "verdict"), "suspected");
    if (suspected.is_object())
        fmt::print("  one probe at {} found {}; a second one has to confirm it\n",
                   text(suspected, "at"), text(suspected, "id"));
    for (const auto& path : list(known, "paths")) print_path(path);
    for (const auto& endpoint : list(known, "history")) print_history(endpoint);
}

void print_destination(const json::value& known) {
    const auto& verdict = member(known, "verdict");
    fmt::print("{}: {}\n", text(known, "next_hop"),
               painted(text(verdict, "summary"), paint_of_verdict(verdict), coloured()));
    fmt::print("  severity {}, since {}, last confirmed {} ({})\n", text(verdict, "severity"),
               text(verdict, "since"), text(verdict, "measured_at"), text(known, "freshness"));
    const auto& route = member(known, "route");
    if (const auto next_hop = text(route, "verbatim"); !next_hop.empty())
        fmt::print("  Postfix sends mail for {} to {}{}{}\n", text(route, "domain"), next_hop,
                   text(route, "transport").empty() ? "" : " by transport ",
                   text(route, "transport"));
    print_memory(known);
    const auto& report = member(known, "report");
    for (const auto& endpoint : list(report, "endpoints")) print_endpoint(endpoint);
    if (report.is_object() && list(report, "endpoints").empty())
        fmt::print("  {}\n", text(member(report, "diagnosis"), "summary"));
    for (const auto& held_back : list(report, "held_back"))
        fmt::print("\n  {} {}; it is not probed before {}\n", text(held_back, "endpoint"),
                   text(held_back, "why"), text(held_back, "until"));
    std::size_t number = 0;
    for (const auto& value : list(report, "suggestions"))
        if (const auto suggestion = parse_suggestion(value))
            fmt::print("\n{}", to_text(*suggestion, ++number, coloured()));
}

// Of the column; a longer name pushes its own line aside.
std::size_t widest_name(const json::array& destinations) {
    constexpr std::size_t least = std::string_view("DESTINATION").size();
    constexpr std::size_t most = 40;
    std::size_t width = least;
    for (const auto& known : destinations) width = std::max(width, text(known, "next_hop").size());
    return std::min(width, most);
}

std::string event_line(const json::value& event) {
    const auto name = text(event, "event");
    auto line = fmt::format("{} {}: ", text(event, "at"), text(event, "next_hop"));
    if (name == "probe-started") return line + "probe started, " + text(event, "reason");
    if (name == "probe-finished")
        return line + fmt::format("probe finished after {} s: {}", text(event, "seconds"),
                                  text(event, "summary"));
    if (name == "probe-held-back") return line + "probe held back until " + text(event, "until");
    if (name == "verdict-changed") {
        line += "now " + text(member(event, "verdict"), "summary");
        const auto was = text(member(event, "was"), "summary");
        return was.empty() ? line : line + ", was " + was;
    }
    if (name == "clear-text-delivery")
        return line + fmt::format("message {} was sent IN CLEAR TEXT to {} after TLS had failed",
                                  text(event, "queue_id"), text(event, "endpoint"));
    if (name == "socket-suspicion")
        return fmt::format("{} [{}]:{}: {}", text(event, "at"), text(event, "peer"),
                           text(event, "port"), text(event, "summary"));
    if (name == "forgotten") return line + "forgotten, as an operator asked";
    return line + name;
}

}  // namespace

int run_show(const ShowOptions& options, const Settings& settings) {
    const auto asked =
        ask_daemon(settings, "/v1/destinations/" + percent_encoded(options.next_hop));
    if (!asked.body) return asked.exit_status;
    if (options.json)
        fmt::print("{}\n", trim(*asked.body));
    else
        print_destination(parse_answer(*asked.body));
    return 0;
}

int run_list(const ShowOptions& options, const Settings& settings) {
    const bool colour = coloured();
    std::string after;
    bool titled = false;
    std::size_t width = 0;
    do {
        const auto asked =
            ask_daemon(settings, "/v1/destinations?limit=1000&after=" + percent_encoded(after));
        if (!asked.body) return asked.exit_status;
        const auto page = parse_answer(*asked.body);
        if (!titled) width = widest_name(list(page, "destinations"));
        for (const auto& known : list(page, "destinations")) {
            if (options.names || options.json) {
                fmt::print("{}\n",
                           options.names ? text(known, "next_hop") : json::serialize(known));
                continue;
            }
            if (!titled)
                fmt::print("{}\n",
                           painted(fmt::format("{:<{}}  {:<9} {:<8} {:<21} {}", "DESTINATION",
                                               width, "SEVERITY", "AGE", "SINCE", "VERDICT"),
                                   Paint::bold, colour));
            titled = true;
            const auto& verdict = member(known, "verdict");
            fmt::print("{:<{}}  {} {:<8} {:<21} {}\n", text(known, "next_hop"), width,
                       painted(fmt::format("{:<9}", text(verdict, "severity")),
                               paint_of_verdict(verdict), colour),
                       text(known, "freshness"), text(verdict, "since"), text(verdict, "summary"));
        }
        const auto next = text(page, "next");
        if (next <= after && !next.empty()) break;  // pages go forward
        after = next;
    } while (!after.empty());
    if (!options.names && !options.json && !titled) fmt::print("no destination is known yet\n");
    return 0;
}

int run_watch(const ShowOptions& options, const Settings& settings) {
    const auto ended =
        admin_stream(settings.admin.socket, "/v1/events", [&](std::string_view line) {
            const auto event = parse_answer(line);
            if (text(event, "event") == "heartbeat") return true;
            if (options.json)
                fmt::print("{}\n", json::serialize(event));
            else
                fmt::print("{}\n", event_line(event));
            return std::fflush(stdout) == 0;
        });
    if (!ended) return complain(ended.error());
    return 0;
}

}  // namespace postfathom
