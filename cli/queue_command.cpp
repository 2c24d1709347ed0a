// SPDX-License-Identifier: Apache-2.0
// `postfathom queue`: why mail is stuck, by next hop; the one command to run when it is.
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <boost/json/serialize.hpp>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <fstream>
#include <iostream>
#include <map>
#include <mutex>
#include <thread>

#include "cli/commands.hpp"
#include "cli/daemon_answer.hpp"
#include "cli/queue_routes.hpp"
#include "cli/queue_view.hpp"
#include "cli/terminal.hpp"
#include "lib/base/program.hpp"
#include "lib/base/text.hpp"
#include "lib/config/duration.hpp"
#include "lib/mail_queue/listing.hpp"

namespace postfathom {

namespace {

namespace json = boost::json;
using Clock = std::chrono::steady_clock;

// A queue of half a million messages; showq(8) reads each from disk.
constexpr ProgramLimits queue_limits{std::chrono::minutes{2}, std::size_t{512} << 20};
// Questions to the daemon about what is not probed.
constexpr std::size_t max_others = 2000;
// The daemon has its own limit for probes at a time (probe.concurrent); this is for those who wait.
constexpr std::size_t waiting_at_a_time = 8;
constexpr auto redraw = std::chrono::milliseconds{200};

int cannot(const std::string& what, int status) {
    fmt::print(stderr, "postfathom queue: {}\n", what);
    return status;
}

std::vector<std::string> postfix_command(const std::string& program, const QueueOptions& options) {
    std::vector<std::string> words{program};
    if (!options.config_directory.empty()) {
        words.emplace_back("-c");
        words.push_back(options.config_directory);
    }
    return words;
}

// 0, or the exit status after the words went to stderr.
int read_saved(const std::string& file, QueueListing& listing) {
    std::ifstream opened;
    if (file != "-") opened.open(file, std::ios::binary);
    if (file != "-" && !opened)
        return cannot(fmt::format("{}: {}; expected what postqueue -j printed, or - for standard "
                                  "input",
                                  printable(file), std::strerror(errno)),
                      EX_NOINPUT);
    std::istream& in = file == "-" ? std::cin : opened;
    std::vector<char> buffer(65536);
    while (in.read(buffer.data(), static_cast<std::streamsize>(buffer.size())), in.gcount() > 0)
        listing.bytes({buffer.data(), static_cast<std::size_t>(in.gcount())});
    if (in.bad() || !in.eof()) return cannot(printable(file) + ": cannot be read", EX_NOINPUT);
    listing.end();
    return 0;
}

int read_live(const QueueOptions& options, QueueListing& listing, bool& cut) {
    auto words = postfix_command("postqueue", options);
    words.emplace_back("-j");
    const auto end =
        run_program(words, queue_limits, [&](std::string_view piece) { listing.bytes(piece); });
    if (!end)
        return cannot(end.error().code == ErrorCode::not_found
                          ? "there is no postqueue here; run this on the mail server, or give it "
                            "what postqueue -j printed there: postfathom queue --file FILE"
                          : end.error().message,
                      EX_NOINPUT);
    listing.end();
    cut = end->cut;
    std::string said;
    for (const auto part : split(trim(end->error), '\n'))
        said += (said.empty() ? "" : "; ") + std::string(trim(part));
    auto words_of_postqueue = printable(said, 1024);
    if (words_of_postqueue.find("ail system is down") != std::string::npos)
        words_of_postqueue +=
            "; start it (postfix start), or give what postqueue -j printed "
            "before: postfathom queue --file FILE";
    if (words_of_postqueue.find("ermission denied") != std::string::npos)
        words_of_postqueue +=
            "; run this as root, or as a user that authorized_mailq_users of Postfix lets";
    if (end->status != 0 && !end->cut)
        return cannot(
            fmt::format("postqueue -j ended with status {}: {}", end->status,
                        words_of_postqueue.empty() ? "it did not say why" : words_of_postqueue),
            EX_NOINPUT);
    return 0;
}

struct Outcome {
    bool probed = false;
    json::value known;
    std::string remark;
};

class Soundings {
  public:
    Soundings(const Settings& settings, std::chrono::milliseconds limit)
        : settings_(settings), limit_(limit) {}

    // Each next hop once; those of `to_probe` are probed, of the others it is asked what is known.
    void run(const std::vector<std::string>& to_probe, const std::vector<std::string>& others) {
        const auto started = Clock::now();
        std::vector<std::thread> workers;
        std::atomic<std::size_t> next{0};
        const auto work = [&] {
            for (std::size_t i = next++; i < to_probe.size(); i = next++) {
                auto found = probe(to_probe[i]);
                const std::lock_guard lock(mutex_);
                outcomes_[to_probe[i]] = std::move(found);
            }
        };
        for (std::size_t i = 0; i < std::min(waiting_at_a_time, to_probe.size()); ++i)
            workers.emplace_back(work);
        wait(to_probe.size(), started);
        for (auto& worker : workers) worker.join();
        for (const auto& next_hop : others) outcomes_[next_hop] = what_is_known(next_hop);
    }

    const Outcome* of(const std::string& next_hop) const {
        const auto found = outcomes_.find(next_hop);
        return found == outcomes_.end() ? nullptr : &found->second;
    }

  private:
    void wait(std::size_t all, Clock::time_point started) {
        ProgressLine line;
        for (;;) {
            std::size_t done = 0;
            {
                const std::lock_guard lock(mutex_);
                done = outcomes_.size();
            }
            if (done >= all || !line.shown()) return;
            const auto passed =
                std::chrono::duration_cast<std::chrono::seconds>(Clock::now() - started);
            line.show("probing " + progress_bar(done, all, passed));
            std::this_thread::sleep_for(redraw);
        }
    }

    Outcome probe(const std::string& next_hop) const {
        const auto reply = try_daemon(settings_, probe_question(next_hop, limit_));
        if (reply.body) return {true, parse_answer(*reply.body), ""};
        auto found = what_is_known(next_hop);
        found.remark =
            reply.status == 0 && reply.code == ErrorCode::timed_out
                ? "the probe goes on; look again with: postfathom show " + shell_quoted(next_hop)
                : reply.trouble;
        return found;
    }

    Outcome what_is_known(const std::string& next_hop) const {
        const auto reply = try_daemon(settings_, {"/v1/destinations/" + percent_encoded(next_hop)});
        if (reply.body) return {false, parse_answer(*reply.body), ""};
        return {false, nullptr, reply.status == 404 ? "not probed yet" : reply.trouble};
    }

    const Settings& settings_;
    std::chrono::milliseconds limit_;
    std::mutex mutex_;
    std::map<std::string, Outcome> outcomes_;
};

// What the server said, or our own tables, is no matter of the path.
std::string remark_without_probe(const QueueGroup& group) {
    if (group.place.source == PlaceSource::none) return "no next hop to probe";
    if (group.kind == FailureKind::own_side)
        return "our own TLS tables; see postfathom log and the mail log";
    return "the server answered, no matter of the path";
}

void fill(QueueView& view, const QueueOptions& options, const Settings& settings,
          std::chrono::milliseconds limit) {
    std::vector<std::string> to_probe;
    std::vector<std::string> others;
    const auto listed = [&](const std::string& next_hop) {
        return std::count(to_probe.begin(), to_probe.end(), next_hop) +
                   std::count(others.begin(), others.end(), next_hop) >
               0;
    };
    for (const auto& row : view.rows) {
        const auto& next_hop = row.group.place.next_hop;
        if (!worth_probing(row.group) || listed(next_hop)) continue;
        if (!options.no_probe && !row.group.place.assumed && to_probe.size() < options.most)
            to_probe.push_back(next_hop);
        else if (others.size() < max_others)
            others.push_back(next_hop);
    }
    Soundings soundings(settings, limit);
    if (view.daemon_trouble.empty()) soundings.run(to_probe, others);
    for (auto& row : view.rows) {
        if (!worth_probing(row.group)) {
            row.remark = remark_without_probe(row.group);
        } else if (const auto* outcome = soundings.of(row.group.place.next_hop)) {
            row.probed = outcome->probed;
            row.known = outcome->known;
            row.remark = outcome->remark;
            if (row.group.place.assumed && outcome->known.is_null() && !options.no_probe)
                row.remark =
                    "not probed, for Postfix may send it elsewhere; if it does not: postfathom "
                    "probe " +
                    shell_quoted(row.group.place.next_hop);
        } else {
            row.remark = view.daemon_trouble.empty() ? "not asked" : "?";
        }
    }
}

void warn_of_what_is_missing(const QueueView& view, const QueueListing& listing) {
    if (!view.daemon_trouble.empty())
        fmt::print(stderr,
                   "postfathom queue: no diagnosis and no learned route is shown: {}\n"
                   "postfathom queue: without the daemon: postfathom probe NEXTHOP\n",
                   view.daemon_trouble);
    if (view.cut)
        fmt::print(stderr,
                   "postfathom queue: the listing was cut after {} messages; save it and give it "
                   "whole: postqueue -j >FILE; postfathom queue --file FILE\n",
                   view.messages);
    if (view.unreadable > 0)
        fmt::print(stderr, "postfathom queue: {} line{} could not be read; the first: {}\n",
                   view.unreadable, view.unreadable == 1 ? "" : "s",
                   printable(listing.first_fault()));
}

}  // namespace

int run_queue(const QueueOptions& options, const Settings& settings) {
    const auto limit = parse_duration(options.timeout);
    if (!limit || limit->count() <= 0)
        return cannot(fmt::format("--timeout: found \"{}\", expected a duration such as \"90s\"",
                                  printable(options.timeout)),
                      EX_USAGE);
    QueueView view;
    const auto health = try_daemon(settings, {"/healthz"});
    if (!health.body) view.daemon_trouble = health.trouble;
    QueueGroups groups(
        QueueRoutes(settings, view.daemon_trouble.empty(), options.config_directory));
    QueueListing listing([&](const QueuedMessage& message) { groups.message(message); });
    const int trouble = options.file.empty() ? read_live(options, listing, view.cut)
                                             : read_saved(options.file, listing);
    if (trouble != 0) return trouble;
    view.messages = listing.messages();
    view.unreadable = listing.unreadable();
    if (view.messages == 0 && view.unreadable > 0)
        return cannot(fmt::format("none of {} lines is a message of postqueue -j: {}",
                                  view.unreadable, printable(listing.first_fault())),
                      EX_DATAERR);
    view.stuck = groups.stuck();
    view.held = groups.held();
    view.under_way = groups.under_way();
    for (auto& group : groups.groups()) view.rows.push_back({std::move(group), false, {}, {}});
    fill(view, options, settings, *limit);
    if (options.json)
        fmt::print("{}\n", json::serialize(to_json(view)));
    else
        fmt::print("{}", to_text(view, wall_now(), coloured()));
    warn_of_what_is_missing(view, listing);
    return view.daemon_trouble.empty() ? 0 : EX_UNAVAILABLE;
}

}  // namespace postfathom
