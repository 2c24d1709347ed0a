// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <iterator>
#include <vector>

#include "cli/daemon_answer.hpp"
#include "cli/story_text.hpp"
#include "lib/base/text.hpp"
#include "lib/diagnosis/layout.hpp"

namespace postfathom {

namespace json = boost::json;

namespace {

using Text = std::back_insert_iterator<std::string>;

// Less is a connection like others.
constexpr double worth_telling = 1;

double seconds_of(std::string_view words) {
    const auto seconds = std::strtod(std::string(words).c_str(), nullptr);
    return std::isfinite(seconds) && seconds > 0 ? seconds : 0;
}

// delays=a/b/c/d: before qmgr, in qmgr, connection with its TLS handshake, message.
void tell_times(Text out, const json::value& attempt) {
    const auto delays = text(attempt, "delays");
    const auto parts = split(delays, '/');
    if (parts.size() != 4) return;
    if (std::max(seconds_of(parts[2]), seconds_of(parts[3])) < worth_telling) return;
    fmt::format_to(out,
                   "    connecting and the TLS handshake took {} s, the message's own commands and "
                   "data {} s\n",
                   parts[2], parts[3]);
}

void tell_cause(Text out, const json::value& attempt, const QueueTimes& times) {
    const auto next_hop = text(attempt, "next_hop");
    const auto& cause = member(attempt, "suspended_by");
    if (cause.is_object()) {
        const auto server = text(cause, "server");
        fmt::format_to(out,
                       "    qmgr(8) had given {} up for a while: message {} failed there at {}{}, "
                       "with these words\n",
                       next_hop, text(cause, "queue_id"), text(cause, "at"),
                       server.empty() ? "" : ", with " + server);
    } else {
        fmt::format_to(out,
                       "    qmgr(8) had given the destination up for a while after a failure with "
                       "these words; which one is not in the lines that were read\n");
    }
    fmt::format_to(out,
                   "    it sends nothing there for minimal_backoff_time ({:.0f} s{}), then tries "
                   "one message\n",
                   times.minimal_backoff, times.of_this_host ? "" : " unless set");
}

// Texts that are no matter of the way to the server.
void tell_what_it_is_not(Text out, const json::value& attempt) {
    if (!text(attempt, "kind").empty() || flag(attempt, "suspended")) return;
    const auto words = text(attempt, "text");
    if (words.starts_with("host ") && words.find(" said: ") != words.npos) {
        fmt::format_to(
            out,
            "    the server was reached and said so itself: this is no matter of the way to it\n");
    } else if (words.starts_with("client TLS configuration problem")) {
        fmt::format_to(
            out,
            "    Postfix could not look its TLS policy up on this host: its warnings just "
            "before, in the mail log, say why\n");
    }
}

// "mx.example.org[192.0.2.1]" of "mx.example.org[192.0.2.1]:25": the port is not always told.
std::string_view without_port(std::string_view server) {
    return server.substr(0, server.find(']'));
}

// After a handshake that failed, and in the same attempt, Postfix comes back to a server in clear
// text alone (src/smtp/smtp_connect.c).
bool fell_to_clear_text(const json::value& attempt) {
    const auto relay = text(attempt, "relay");
    if (relay.empty() || flag(attempt, "tls_established")) return false;
    const auto& failed = list(attempt, "failed");
    return std::any_of(failed.begin(), failed.end(), [&](const json::value& one) {
        const auto kind = text(one, "kind");
        const auto server = text(one, "server");
        return (kind == "cannot-start-tls" || kind == "handshake-error") &&
               without_port(server) == without_port(relay);
    });
}

void tell_attempt(Text out, const json::value& attempt, const QueueTimes& times) {
    const auto status = text(attempt, "status");
    const bool suspended = flag(attempt, "suspended");
    const auto domain = text(attempt, "recipient_domain");
    const auto next_hop = text(attempt, "next_hop");
    const auto relay = text(attempt, "relay");
    const auto recipients = text(attempt, "recipients");
    fmt::format_to(
        out, "\n  {}: {}, for {}{}{}{}\n", text(attempt, "at"),
        suspended ? "put off without an attempt" : status,
        domain.empty() ? "a recipient whose domain the log does not tell" : domain,
        recipients == "1" || recipients.empty() ? "" : " (" + recipients + " recipients)",
        next_hop.empty() || next_hop == domain ? "" : ", which goes to " + next_hop,
        relay.empty() ? "" : ", by " + relay);
    fmt::format_to(out, "    {} {}\n", text(attempt, "dsn"), text(attempt, "text"));
    for (const auto& failed : list(attempt, "failed")) {
        const auto server = text(failed, "server");
        fmt::format_to(out, "    before that: {}{}{}\n", text(failed, "kind"),
                       server.empty() ? "" : " with " + server,
                       text(failed, "reason").empty() ? "" : ": " + text(failed, "reason"));
    }
    if (status == "sent" && fell_to_clear_text(attempt))
        fmt::format_to(
            out,
            "    it went IN CLEAR TEXT: TLS with the same server had failed just before; "
            "what makes such mail\n"
            "    wait for TLS instead: postfathom suggest {} --kind tls-policy\n",
            shell_quoted(next_hop.empty() ? domain : next_hop));
    if (const auto tls = text(attempt, "tls"); !tls.empty())
        fmt::format_to(out, "    TLS as Postfix counts it: {}\n", tls);
    if (suspended)
        tell_cause(out, attempt, times);
    else
        tell_times(out, attempt);
    if (status != "sent") tell_what_it_is_not(out, attempt);
}

void tell_next(Text out, const json::value& story, const QueueTimes& times) {
    const auto& attempts = list(story, "attempts");
    if (!text(story, "removed").empty() || attempts.empty()) return;
    const auto& last = attempts.back();
    if (text(last, "status") != "deferred") return;
    const auto wait = std::max(std::min(seconds_of(text(last, "delay")), times.maximal_backoff),
                               times.minimal_backoff);
    fmt::format_to(
        out,
        "\n  Next: with {} times it is tried again {:.0f} s after the last attempt at the "
        "earliest\n"
        "  (minimal_backoff_time, maximal_backoff_time), in the queue run after that "
        "(queue_run_delay);\n"
        "  now with: postqueue -i {}\n",
        times.of_this_host ? "this Postfix's" : "Postfix's default", std::ceil(wait),
        text(story, "queue_id"));
}

void tell_head(Text out, const json::value& story) {
    fmt::format_to(out, "Message {}", text(story, "queue_id"));
    const auto size = text(story, "size");
    const auto recipients = text(story, "recipients");
    if (!size.empty())
        fmt::format_to(out, ": {} bytes, {} recipient{} when last taken up", size, recipients,
                       recipients == "1" ? "" : "s");
    if (const auto removed = text(story, "removed"); !removed.empty())
        fmt::format_to(out, "; it left the queue at {}", removed);
    else
        fmt::format_to(out, "; in the queue, as far as the log tells");
    if (flag(story, "expired")) fmt::format_to(out, "; returned to its sender as too old");
    fmt::format_to(out, "\n");
}

// Next hops of failed attempts, for a story without what is known of them.
std::vector<std::string> places_of(const json::value& story) {
    std::vector<std::string> places;
    for (const auto& attempt : list(story, "attempts")) {
        const auto place = text(attempt, "next_hop");
        const bool about_way = !text(attempt, "kind").empty() || flag(attempt, "suspended");
        if (text(attempt, "status") != "sent" && about_way && !place.empty() &&
            std::find(places.begin(), places.end(), place) == places.end())
            places.push_back(place);
    }
    return places;
}

}  // namespace

std::string message_story(const json::value& story, const QueueTimes& times) {
    std::string words;
    const auto out = std::back_inserter(words);
    tell_head(out, story);
    const auto& attempts = list(story, "attempts");
    const auto left_out = text(story, "attempts_left_out");
    for (std::size_t i = 0; i < attempts.size(); ++i) {
        if (i == 1 && !left_out.empty() && left_out != "0")
            fmt::format_to(out, "\n  {} attempts more, not kept\n", left_out);
        tell_attempt(out, attempts[i], times);
    }
    if (attempts.empty()) fmt::format_to(out, "\n  no attempt to deliver it is in the log yet\n");
    tell_next(out, story, times);
    words = folded(words);

    for (const auto& known : list(story, "destinations"))
        fmt::format_to(out, "\nWhat is known of {}", destination_story(known));
    for (const auto& known : list(story, "endpoints"))
        fmt::format_to(out, "\nWhat is known of {}: {}, last confirmed {} ({})\n",
                       text(known, "endpoint"), text(member(known, "verdict"), "summary"),
                       text(member(known, "verdict"), "measured_at"), text(known, "freshness"));
    std::vector<std::string> unknown;
    for (const auto& place : list(story, "unknown")) unknown.push_back(text_of(place));
    if (!member(story, "unknown").is_array()) unknown = places_of(story);
    for (const auto& place : unknown)
        fmt::format_to(out, "\nWhy is not known for {} here; to find out: postfathom probe {}\n",
                       place, shell_quoted(place));
    return words;
}

}  // namespace postfathom
