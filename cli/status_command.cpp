// SPDX-License-Identifier: Apache-2.0
// `postfathom status`: whether the daemons are there, and what they do.
#include <fmt/format.h>
#include <sys/socket.h>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <cerrno>
#include <cstring>

#include "cli/commands.hpp"
#include "cli/daemon_answer.hpp"
#include "cli/daemon_socket.hpp"
#include "cli/terminal.hpp"
#include "lib/diagnosis/layout.hpp"

namespace postfathom {

namespace {

namespace json = boost::json;

// "" when somebody listens there, else why not.
std::string trouble_at(const std::string& path) {
    const auto socket = connect_to_daemon(path, SOCK_STREAM);
    if (socket.listens()) return "";
    if (socket.error == ENAMETOOLONG) return "the path is too long";
    if (socket.error == ENOENT) return "not running: there is no such socket";
    if (socket.error == ECONNREFUSED) return "not running: nobody answers there";
    if (socket.error == EACCES) return "cannot be told: permission denied; run this as root";
    return std::strerror(socket.error);
}

struct Place {
    std::string program;
    std::string what;
    std::string socket;
    std::string trouble;
};

std::vector<Place> other_daemons(const Settings& settings) {
    std::vector<Place> places{
        {"postfathom-policyd", "policy requests", settings.policy.socket, ""},
        {"postfathom-policyd", "deferral texts", settings.dsn.socket, ""},
        {"postfathom-milter", "milter", settings.milter.socket, ""},
    };
    if (!settings.tables.socket.empty())
        places.push_back({"postfathom-policyd", "tables", settings.tables.socket, ""});
    for (auto& place : places) place.trouble = trouble_at(place.socket);
    return places;
}

void print_line(std::string_view what, const std::string& words) {
    fmt::print("{:<24} {}\n", what, words);
}

// "1 next hop", "2 next hops".
std::string counted(const json::value& object, std::string_view name, std::string_view what) {
    const auto count = text(object, name);
    return fmt::format("{} {}{}", count, what, count == "1" ? "" : "s");
}

std::string bytes_in_words(const std::string& bytes) {
    const auto count = std::strtoull(bytes.c_str(), nullptr, 10);
    if (count < 10'000) return fmt::format("{} bytes", count);
    if (count < 10ULL << 20) return fmt::format("{} KiB", count >> 10);
    return fmt::format("{} MiB", count >> 20);
}

std::string uptime_in_words(const json::value& status) {
    const auto seconds = std::strtoull(text(status, "uptime").c_str(), nullptr, 10);
    if (seconds < 120) return fmt::format("{} s", seconds);
    if (seconds < 7200) return fmt::format("{} min", seconds / 60);
    if (seconds < 48 * 3600) return fmt::format("{} h", seconds / 3600);
    return fmt::format("{} d", seconds / 86400);
}

void print_daemon(const json::value& status, bool colour) {
    print_line("postfathom-probed", painted("runs", Paint::green, colour) +
                                        fmt::format(", version {}, for {}", text(status, "version"),
                                                    uptime_in_words(status)));
    const auto& cache = member(status, "cache");
    print_line("cache",
               fmt::format("{}, {}, {}, {}, {} of clients; {} of {}",
                           counted(cache, "destinations", "next hop"),
                           counted(cache, "endpoints", "server"), counted(cache, "paths", "path"),
                           counted(cache, "routes", "route"), counted(cache, "clients", "network"),
                           bytes_in_words(text(cache, "bytes_used")),
                           bytes_in_words(text(cache, "bytes_limit"))));
    const auto& schedule = member(status, "schedule");
    print_line("probes", fmt::format("{} under way, {} waiting, {} done", text(schedule, "running"),
                                     text(schedule, "queued"), text(schedule, "finished")));
    const auto& log = member(status, "mail_log");
    const auto last = text(log, "last_line_at");
    print_line(
        "mail log",
        fmt::format("{}: {}, {}, {} in trouble; {}", text(log, "source"),
                    counted(log, "lines", "line"), text(log, "deliveries") + " of deliveries",
                    text(log, "troubles"),
                    last.empty() ? "no line was read since it runs" : "the last line at " + last));
}

// What an operator has to look at; numbers that are zero where all is well.
std::vector<std::string> alarms_of(const json::value& status) {
    std::vector<std::string> alarms;
    const auto alarm = [&](std::string_view part, std::string_view name, std::string_view words) {
        const auto count = text(member(status, part), name);
        if (!count.empty() && count != "0") alarms.push_back(fmt::format("{} {}", count, words));
    };
    alarm(
        "mail_log", "clear_text_deliveries",
        "messages were sent in clear text after TLS had failed, since the daemon started; which "
        "ones, and the policy line that holds such mail until TLS works: postfathom-probed's log, "
        "lines with IN CLEAR TEXT");
    alarm("cache", "unreadable",
          "records of the cache cannot be read; they are measured anew when they are asked for");
    alarm("cache", "errors", "times the cache could not be written; look at the daemon's log");
    alarm("schedule", "dropped",
          "probes were dropped for want of room in the queue; probe.per_hour and probe.concurrent "
          "say how fast it moves");
    if (const auto version = text(status, "version"); version != POSTFATHOM_VERSION)
        alarms.push_back(
            fmt::format("the daemon is of version {}, this command of {}: restart the daemon",
                        version, POSTFATHOM_VERSION));
    return alarms;
}

void print_json(const json::value& status, const std::string& trouble,
                const std::vector<Place>& others, const std::vector<std::string>& alarms) {
    json::object object;
    object["schema"] = 1;
    object["version"] = POSTFATHOM_VERSION;
    object["daemon"] = status;
    object["daemon_trouble"] = nullptr;
    if (!trouble.empty()) object["daemon_trouble"] = trouble;
    json::array sockets;
    for (const auto& place : others) {
        json::object one;
        one["program"] = place.program;
        one["what"] = place.what;
        one["socket"] = place.socket;
        one["trouble"] = nullptr;
        if (!place.trouble.empty()) one["trouble"] = place.trouble;
        sockets.push_back(std::move(one));
    }
    object["sockets"] = std::move(sockets);
    json::array words;
    for (const auto& alarm : alarms) words.emplace_back(alarm);
    object["alarms"] = std::move(words);
    fmt::print("{}\n", json::serialize(object));
}

}  // namespace

int run_status(const StatusOptions& options, const Settings& settings) {
    const auto reply = try_daemon(settings, {"/v1/status"});
    const auto status = reply.body ? parse_answer(*reply.body) : json::value(nullptr);
    const auto others = other_daemons(settings);
    const auto alarms = reply.body ? alarms_of(status) : std::vector<std::string>{};
    const int exit_status = reply.body ? 0 : EX_UNAVAILABLE;
    if (options.json) {
        print_json(status, reply.trouble, others, alarms);
        return exit_status;
    }
    const bool colour = coloured();
    if (reply.body)
        print_daemon(status, colour);
    else
        print_line("postfathom-probed", painted("down", Paint::red, colour) + ": " + reply.trouble);
    for (const auto& place : others)
        print_line(place.program,
                   place.what + ": " +
                       (place.trouble.empty() ? painted("answers", Paint::green, colour)
                                              : painted(place.trouble, Paint::yellow, colour)) +
                       " (" + place.socket + ")");
    for (const auto& alarm : alarms) print_line("ALARM", painted(alarm, Paint::red, colour));
    return exit_status;
}

}  // namespace postfathom
