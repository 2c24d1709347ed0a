// SPDX-License-Identifier: Apache-2.0
// postfathom explain: the story of a message in the queue, or of a next hop, with the evidence.
#include <fmt/format.h>

#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <cstdio>
#include <iostream>
#include <optional>
#include <set>

#include "cli/commands.hpp"
#include "cli/daemon_answer.hpp"
#include "cli/story_text.hpp"
#include "lib/base/text.hpp"
#include "lib/destination/next_hop.hpp"
#include "lib/mail_log/delivery_stories.hpp"
#include "lib/mail_log/read_lines.hpp"
#include "lib/net/admin_client.hpp"
#include "lib/postfix/read_configuration.hpp"

namespace postfathom {

namespace {

namespace json = boost::json;

constexpr std::chrono::seconds answer_limit{10};
constexpr std::uint64_t max_log_bytes = std::uint64_t{64} << 20;
constexpr std::size_t max_destinations = 8;

void print_destination(const json::value& known, bool as_json) {
    fmt::print("{}", as_json ? json::serialize(known) + '\n' : destination_story(known));
}

// Postfix's defaults where it cannot be asked.
QueueTimes queue_times(const std::string& config_directory) {
    QueueTimes times;
    const auto printed =
        postconf(config_directory, {"-x", "minimal_backoff_time", "maximal_backoff_time"});
    if (!printed) return times;
    const auto parameters = parse_parameters(*printed);
    const auto read = [&](const char* name) -> std::optional<double> {
        const auto found = parameters.find(name);
        if (found == parameters.end()) return std::nullopt;
        return parse_postfix_time(found->second);
    };
    const auto minimal = read("minimal_backoff_time");
    const auto maximal = read("maximal_backoff_time");
    if (minimal && maximal) times = {*minimal, *maximal, true};
    return times;
}

void print_message(const json::value& told, const ExplainOptions& options) {
    fmt::print("{}", options.json ? json::serialize(told) + '\n'
                                  : message_story(told, queue_times(options.config_directory)));
}

// Null: not known there, or the daemon cannot be asked.
json::value answer_of(const Settings& settings, const std::string& target, bool& reached) {
    const auto answer = admin_request(settings.admin.socket, "GET", target, "", answer_limit);
    reached = answer.has_value();
    if (!answer || answer->status != 200) return nullptr;
    return parse_answer(answer->body);
}

json::value destination_of(const Settings& settings, const std::string& next_hop, bool& reached) {
    return answer_of(settings, "/v1/destinations/" + percent_encoded(next_hop), reached);
}

// Where mail for a domain goes as far as the configuration tells.
std::string configured_way(const Settings& settings, const std::string& domain) {
    if (const auto* route = find_route(settings.routes, domain)) return route->next_hop;
    const auto next_hop = parse_next_hop(domain);
    return next_hop ? to_string(*next_hop) : domain;
}

// Whether what is known of a recipient's domain is about the server that the log names.
bool speaks_of(const json::value& known, const std::string& server) {
    if (server.empty() || !text(member(known, "route"), "next_hop").empty()) return true;
    auto rest = std::string_view(server);
    const auto peer = take_peer(rest);
    if (!peer) return true;
    const auto address = "[" + peer->address.to_string() + "]:";
    for (const auto& endpoint : list(known, "endpoints"))
        if (text_of(endpoint).find(address) != std::string::npos) return true;
    return false;
}

// What the daemon, which does not know the message, knows of the places it was to go to.
void add_what_is_known(const Settings& settings, json::object& story) {
    json::array destinations;
    json::array unknown;
    std::set<std::string> seen;
    const json::value attempts = story["attempts"];
    for (const auto& attempt : attempts.get_array()) {
        const auto next_hop = text(attempt, "next_hop");
        if (text(attempt, "status") == "sent" || next_hop.empty() ||
            seen.size() >= max_destinations || !seen.insert(next_hop).second)
            continue;
        bool reached = false;
        auto known = destination_of(settings, next_hop, reached);
        if (known.is_object() && speaks_of(known, text(attempt, "server")))
            destinations.push_back(std::move(known));
        else
            unknown.push_back(json::string(next_hop));
    }
    story["destinations"] = std::move(destinations);
    story["endpoints"] = json::array();
    story["unknown"] = std::move(unknown);
}

// The message as the log alone tells of it, null when it does not; nothing when the log could not
// be read.
std::optional<json::value> from_log(const ExplainOptions& options, const Settings& settings) {
    DeliveryStories stories(
        [&](const std::string& domain) { return configured_way(settings, domain); });
    const auto take = [&](std::string_view line) { stories.line(line); };
    const auto file = options.log.empty() ? settings.mail_log.file : options.log;
    if (file == "-") {
        read_log_lines(std::cin, take);
    } else if (options.log.empty() && settings.mail_log.journal) {
        fmt::print(stderr,
                   "postfathom: the mail log is the systemd journal; to read it: journalctl -o "
                   "short-iso --since -1d | postfathom explain {} --log -\n",
                   options.subject);
        return std::nullopt;
    } else if (file.empty()) {
        return std::nullopt;
    } else if (const auto done = read_log_tail(file, max_log_bytes, take); !done) {
        fmt::print(stderr, "postfathom: {}\n", done.error().message);
        return std::nullopt;
    }
    const auto* story = stories.find(options.subject);
    if (story == nullptr) return json::value();
    return to_json(*story);
}

int explain_message(const ExplainOptions& options, const Settings& settings) {
    bool daemon = false;
    if (options.log.empty()) {
        const auto told =
            answer_of(settings, "/v1/deliveries/" + percent_encoded(options.subject), daemon);
        if (told.is_object()) {
            print_message(told, options);
            return 0;
        }
    } else {
        answer_of(settings, "/healthz", daemon);
    }
    auto story = from_log(options, settings);
    if (story && story->is_object()) {
        if (daemon)
            add_what_is_known(settings, story->get_object());
        else
            fmt::print(
                stderr,
                "postfathom: postfathom-probed is not running; this is what the log tells\n");
        print_message(*story, options);
        return 0;
    }
    // A host may be called like a queue id.
    const auto known = daemon ? destination_of(settings, options.subject, daemon) : nullptr;
    if (known.is_object()) {
        print_destination(known, options.json);
        return 0;
    }
    fmt::print(stderr, "postfathom: nothing is known of {}{}\n", options.subject,
               !story   ? ": the mail log could not be read here; another place: --log FILE, or "
                          "mail_log.file and mail_log.source in postfathom.toml"
               : daemon ? ": neither postfathom-probed nor the end of the mail log tells of it; an "
                          "older log: --log FILE"
                        : ": the end of the mail log does not tell of it, and postfathom-probed is "
                          "not running; an older log: --log FILE");
    return daemon ? exit_not_known : EX_UNAVAILABLE;
}

}  // namespace

int run_explain(const ExplainOptions& options, const Settings& settings) {
    if (is_queue_id(options.subject)) return explain_message(options, settings);
    const auto asked = ask_daemon(settings, "/v1/destinations/" + percent_encoded(options.subject));
    if (!asked.body) return asked.exit_status;
    print_destination(parse_answer(*asked.body), options.json);
    return 0;
}

}  // namespace postfathom
