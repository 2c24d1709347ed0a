// SPDX-License-Identifier: Apache-2.0
// `postfathom log FILE`: what a past mail log says of each destination.
#include <fmt/format.h>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iostream>
#include <string>

#include "cli/commands.hpp"
#include "lib/base/text.hpp"
#include "lib/mail_log/log_summary.hpp"
#include "lib/mail_log/read_lines.hpp"

namespace postfathom {

namespace {

namespace json = boost::json;

std::string failures_in_words(const DestinationSummary& destination) {
    std::string text;
    for (const auto& [kind, count] : destination.failures)
        text += fmt::format("{}{} {}", text.empty() ? "" : ", ", to_string(kind), count);
    return text;
}

std::string delivered_in_words(const DestinationSummary& destination) {
    auto text = fmt::format("{} delivered", destination.delivered);
    if (destination.delivered_tls > 0)
        text += fmt::format(", {} over TLS", destination.delivered_tls);
    if (destination.delivered_clear > 0)
        text += fmt::format(", {} IN CLEAR TEXT", destination.delivered_clear);
    return text;
}

void print_destination(const DestinationSummary& destination) {
    fmt::print("{}\n", printable(destination.destination, 300));
    fmt::print("  {}; {} failed", delivered_in_words(destination), destination.failed);
    if (destination.suspended > 0)
        fmt::print(", {} put off without an attempt", destination.suspended);
    fmt::print("\n");
    if (destination.failed > 0)
        fmt::print("  failures: {}; from {} to {}\n", failures_in_words(destination),
                   printable(destination.first_failure), printable(destination.last_failure));
    if (!destination.suspected.empty()) fmt::print("  suspected: {}\n", destination.suspected);
    if (!destination.probe.empty()) fmt::print("  to be sure: {}\n", destination.probe);
}

void print_text(const LogSummary& summary) {
    std::size_t ill = 0;
    std::uint64_t well = 0;
    bool delivered = false;
    for (const auto& destination : summary.destinations()) {
        delivered = delivered || destination.delivered > 0;
        if (destination.failed + destination.suspended == 0 && destination.delivered_clear == 0) {
            ++well;
            continue;
        }
        if (ill++ > 0) fmt::print("\n");
        print_destination(destination);
    }
    if (ill > 0) fmt::print("\n");
    const auto clients = summary.clients();
    for (const auto& client : clients)
        fmt::print(
            "client {}: {} handshakes failed, {} completed, {} messages cut off\n  suspected: {}\n",
            printable(client.client), client.handshakes_failed, client.with_tls,
            client.lost_in_data, client.suspected);
    for (const auto& [fault, count] : summary.own_faults())
        fmt::print("our own side, {} times: {}\n", count, printable(fault, 300));
    fmt::print("{} lines, {} of them about mail sessions; {} destinations without a failure\n",
               summary.lines(), summary.understood(), well);
    if (delivered && !summary.tells_tls())
        fmt::print(
            "The log does not tell which deliveries had TLS: postconf -e smtp_tls_loglevel=1\n");
}

json::object to_json(const DestinationSummary& destination) {
    const auto text_or_null = [](const std::string& text) -> json::value {
        if (text.empty()) return nullptr;
        return json::string(printable(text, 1024));
    };
    json::object object;
    object["destination"] = printable(destination.destination, 300);
    object["delivered"] = destination.delivered;
    object["delivered_tls"] = destination.delivered_tls;
    object["delivered_clear"] = destination.delivered_clear;
    object["failed"] = destination.failed;
    object["suspended"] = destination.suspended;
    json::object failures;
    for (const auto& [kind, count] : destination.failures) failures[to_string(kind)] = count;
    object["failures"] = std::move(failures);
    object["first_failure"] = text_or_null(destination.first_failure);
    object["last_failure"] = text_or_null(destination.last_failure);
    object["last_success"] = text_or_null(destination.last_success);
    object["suspected"] = text_or_null(destination.suspected);
    object["probe"] = text_or_null(destination.probe);
    return object;
}

void print_json(const LogSummary& summary) {
    json::object object;
    object["schema"] = 1;
    object["lines"] = summary.lines();
    object["understood"] = summary.understood();
    object["tells_tls"] = summary.tells_tls();
    json::array destinations;
    for (const auto& destination : summary.destinations())
        destinations.push_back(to_json(destination));
    object["destinations"] = std::move(destinations);
    json::array clients;
    for (const auto& client : summary.clients()) {
        json::object one;
        one["client"] = printable(client.client);
        one["handshakes_failed"] = client.handshakes_failed;
        one["handshakes_completed"] = client.with_tls;
        one["messages_cut_off"] = client.lost_in_data;
        one["suspected"] = client.suspected;
        clients.push_back(std::move(one));
    }
    object["clients"] = std::move(clients);
    json::object faults;
    for (const auto& [fault, count] : summary.own_faults()) faults[printable(fault, 1024)] = count;
    object["own_faults"] = std::move(faults);
    fmt::print("{}\n", json::serialize(object));
}

}  // namespace

int run_log(const LogOptions& options) {
    LogSummary summary;
    const auto take = [&](std::string_view line) { summary.line(line); };
    if (options.file == "-") {
        read_log_lines(std::cin, take);
    } else {
        std::ifstream in(options.file, std::ios::binary);
        if (!in) {
            fmt::print(stderr,
                       "postfathom log: {}: {}; expected a mail log that you may read, or - for "
                       "standard input\n",
                       printable(options.file), std::strerror(errno));
            return EX_NOINPUT;
        }
        read_log_lines(in, take);
        if (in.bad() || (summary.lines() == 0 && !in.eof())) {
            fmt::print(stderr, "postfathom log: {}: cannot be read\n", printable(options.file));
            return EX_NOINPUT;
        }
    }
    if (options.json)
        print_json(summary);
    else
        print_text(summary);
    if (summary.lines() > 0 && summary.understood() == 0) {
        fmt::print(stderr,
                   "postfathom log: none of {} lines is one of Postfix or Dovecot that tells of a "
                   "session; expected a "
                   "mail log (a compressed one: zcat FILE | postfathom log -)\n",
                   summary.lines());
        return EX_DATAERR;
    }
    return 0;
}

}  // namespace postfathom
