// SPDX-License-Identifier: Apache-2.0
// The three daemons on a cache with very many destinations: how long they take to answer after
// their start, what memory they take, and how long an operator who asks for all of it keeps others
// waiting.
//   bench_daemons PROGRAMS [--destinations 1000000] [--seconds 10]
// PROGRAMS is the directory of the programs. Exit status 1 when one did not answer as it should.
#include <fcntl.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <chrono>
#include <fstream>
#include <random>
#include <string_view>
#include <thread>

#include "tests/bench/child.hpp"
#include "tests/bench/filled_cache.hpp"
#include "tests/bench/policy_load.hpp"
#include "tests/bench/row.hpp"
#include "tests/dialog/faults/question.hpp"

namespace postfathom {
namespace {

using bench::print;
using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr std::chrono::seconds longest_start{120};
constexpr int starts = 3;
constexpr int policy_connections = 10;

struct Options {
    std::string programs;
    int destinations = 1'000'000;
    double seconds = 10;
};

double seconds_since(Clock::time_point begin) {
    return std::chrono::duration<double>(Clock::now() - begin).count();
}
std::string ms(double seconds) { return fmt::format("{:.1f} ms", seconds * 1000); }

void be_quiet() {
    const int nowhere = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
    ::dup2(nowhere, STDOUT_FILENO);
    ::dup2(nowhere, STDERR_FILENO);
}

struct Host {
    bench::TemporaryDirectory directory;
    std::string at(const char* name) const { return (directory.path() / name).string(); }
    void configure(const Options& options) const {
        const auto limits = bench::limits_for(options.destinations);
        std::ofstream(at("postfathom.toml"))
            << "[cache]\ndirectory = \"" << at("cache")
            << "\"\nmax_destinations = " << limits.entries << "\nmax_bytes = \""
            << (limits.bytes >> 20) << "MiB\"\n[notice]\nsocket = \"" << at("notice.sock")
            << "\"\n[admin]\nsocket = \"" << at("admin.sock")
            << "\"\n[mail_log]\nfile = \"\"\n[policy]\nsocket = \"" << at("policy.sock")
            << "\"\nmode = \"warn\"\n[dsn]\nsocket = \"" << at("dsn.sock")
            << "\"\n[milter]\nsocket = \"" << at("milter.sock")
            << "\"\nmode = \"tag\"\n[probe]\nper_hour = 1\n[socket_watch]\nenabled = false\n";
    }
};

struct Program {
    const char* name;
    Surface surface;
    const char* socket;
};
constexpr Program programs[] = {{"postfathom-policyd", Surface::policy, "policy.sock"},
                                {"postfathom-milter", Surface::milter, "milter.sock"},
                                {"postfathom-probed", Surface::admin, "admin.sock"}};

class Daemon {
  public:
    Daemon(const Options& options, const Host& host, const Program& program)
        : began_(Clock::now()), process_([&] {
              be_quiet();
              const auto file = options.programs + "/" + program.name;
              ::execl(file.c_str(), file.c_str(), "-c", host.at("postfathom.toml").c_str(),
                      nullptr);
              return 127;
          }) {
        const auto socket = host.at(program.socket);
        while (seconds_since(began_) < std::chrono::duration<double>(longest_start).count()) {
            const auto asked = connect_to(socket);
            if (asked && ask(asked, program.surface, longest_start).empty()) {
                answered_ = seconds_since(began_);
                return;
            }
            std::this_thread::sleep_for(200us);
        }
        fmt::print("WRONG: {} did not answer\n", program.name);
    }
    // Until it answered; 0: it did not.
    double took() const { return answered_; }
    pid_t process() const { return process_.process(); }

  private:
    Clock::time_point began_;
    double answered_ = 0;
    bench::Child process_;
};

// Kilobytes, from smaps_rollup of proc(5).
std::string memory(pid_t process) {
    std::ifstream file(fmt::format("/proc/{}/smaps_rollup", process));
    std::string word;
    double rss = 0;
    double pss = 0;
    double anonymous = 0;
    while (file >> word) {
        if (word == "Rss:") file >> rss;
        if (word == "Pss:") file >> pss;
        if (word == "Anonymous:") file >> anonymous;
    }
    return fmt::format("{:.1f} MB of its own, {:.0f} MB mapped in, {:.0f} MB its share of it",
                       anonymous / 1024, rss / 1024, pss / 1024);
}

// Asks for the daemon's health again and again; the longest wait is how long its loop stood still
// for whatever else it did.
class Waiting {
  public:
    explicit Waiting(const std::string& socket)
        : thread_([this, socket] {
              while (!over_) {
                  const auto begin = Clock::now();
                  const auto asked = connect_to(socket);
                  if (!asked || !ask(asked, Surface::admin, 60s).empty()) lost_ = true;
                  longest_ = std::max(longest_, seconds_since(begin));
                  std::this_thread::sleep_for(2ms);
              }
          }) {}
    ~Waiting() {
        if (thread_.joinable()) end();
    }
    Waiting(const Waiting&) = delete;
    Waiting& operator=(const Waiting&) = delete;
    double end() {
        over_ = true;
        thread_.join();
        if (lost_) fmt::print("WRONG: the admin socket did not answer\n");
        return longest_;
    }
    bool lost() const { return lost_; }

  private:
    std::atomic<bool> over_{false};
    std::atomic<bool> lost_{false};
    double longest_ = 0;
    std::thread thread_;
};

// Bytes that came; 0 when it was no good answer.
std::size_t get(const std::string& path, const std::string& target) {
    const auto socket = connect_to(path);
    const auto request =
        fmt::format("GET {} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", target);
    if (!socket || ::send(socket.get(), request.data(), request.size(), MSG_NOSIGNAL) < 0) return 0;
    std::string answer;
    char part[65536];
    for (ssize_t count = 0; (count = ::recv(socket.get(), part, sizeof part, 0)) > 0;)
        answer.append(part, static_cast<std::size_t>(count));
    return answer.starts_with("HTTP/1.1 200") ? answer.size() : 0;
}

class Asked {
  public:
    Asked(const Options& options, const Host& host) : options_(options), host_(host) {}
    bool right() const { return right_; }

    void measure() {
        {
            Waiting waiting(host_.at("admin.sock"));
            std::this_thread::sleep_for(std::chrono::duration<double>(options_.seconds));
            idle_ = waiting.end();
            right_ = right_ && !waiting.lost();
        }
        time("/metrics", [&] { return get(host_.at("admin.sock"), "/metrics") > 0; });
        time("/v1/status", [&] { return get(host_.at("admin.sock"), "/v1/status") > 0; });
        time("the status page", [&] { return get(host_.at("admin.sock"), "/") > 0; });
        time("a page of 1000 destinations",
             [&] { return get(host_.at("admin.sock"), "/v1/destinations?limit=1000") > 100'000; });
        time("one destination", [&] {
            return get(host_.at("admin.sock"),
                       fmt::format("/v1/destinations/%5Bmx{}.example.net%5D",
                                   options_.destinations / 2)) > 0;
        });
        time("postfathom list, all of it", [&] {
            bench::Child list([&] {
                be_quiet();
                const auto file = options_.programs + "/postfathom";
                ::execl(file.c_str(), file.c_str(), "-c", host_.at("postfathom.toml").c_str(),
                        "list", nullptr);
                return 127;
            });
            return list.wait() == 0;
        });
    }

  private:
    template <typename Work>
    void time(const std::string& what, Work work) {
        Waiting waiting(host_.at("admin.sock"));
        const auto begin = Clock::now();
        const bool good = work();
        const auto took = seconds_since(begin);
        const auto longest = waiting.end();
        print({fmt::format("{}: the answer", what), ms(took)});
        print({"  longest that others waited meanwhile", ms(longest), "with nobody else", ms(idle_),
               bench::two_digits(longest / idle_)});
        if (!good) fmt::print("WRONG: {}: no good answer\n", what);
        right_ = right_ && good && !waiting.lost();
    }

    const Options& options_;
    const Host& host_;
    double idle_ = 0;
    bool right_ = true;
};

bool ask_all(const Options& options, const Host& host, pid_t policyd) {
    std::mt19937 random(1);  // NOLINT: the same in every run
    std::vector<std::string> requests;
    for (int i = 0; i < std::min(options.destinations, 300'000); ++i)
        requests.push_back(policy_request(
            fmt::format("you@{}", bench::domain(static_cast<int>(
                                      random() % static_cast<unsigned>(options.destinations))))));
    const bench::Server server("postfathom-policyd", host.at("policy.sock"), policyd);
    bench::Load load(server, policy_connections, requests);
    const auto round = load.run(options.seconds);
    print({fmt::format("policy requests on {} connections: answers", policy_connections),
           fmt::format("{:.0f} /s", round.per_second)});
    print({"  p99", fmt::format("{:.1f} us", round.p99_us)});
    return round.answers > 0 && round.findings > 0;
}

int run(const Options& options) {
    const Host host;
    host.configure(options);
    std::filesystem::create_directory(host.at("cache"));
    const Host empty;
    empty.configure(options);
    std::filesystem::create_directory(empty.at("cache"));
    if (!bench::fill_cache(host.at("cache"), options.destinations)) return 2;

    bool right = true;
    for (const auto& program : programs) {
        std::vector<double> filled;
        std::vector<double> bare;
        for (int i = 0; i < starts; ++i) {
            filled.push_back(Daemon(options, host, program).took());
            bare.push_back(Daemon(options, empty, program).took());
        }
        right = right && std::min(filled.front(), bare.front()) > 0;
        print({fmt::format("{}: from start to answer", program.name), ms(bench::median(filled)),
               "with an empty cache", ms(bench::median(bare)),
               bench::two_digits(bench::median(filled) / bench::median(bare))});
    }
    const Daemon probed(options, host, programs[2]);
    const Daemon policyd(options, host, programs[0]);
    const Daemon milter(options, host, programs[1]);
    right = ask_all(options, host, policyd.process()) && right;
    Asked asked(options, host);
    asked.measure();
    for (const auto& [program, process] : {std::pair{programs[0], policyd.process()},
                                           {programs[1], milter.process()},
                                           {programs[2], probed.process()}})
        print({fmt::format("{}: memory", program.name), memory(process)});
    return right && asked.right() ? 0 : 1;
}

bool read_options(int argc, char** argv, Options& options) {
    if (argc < 2) return false;
    options.programs = argv[1];
    const auto read = [](std::string_view text, auto& number) {
        const auto end = text.data() + text.size();
        return std::from_chars(text.data(), end, number).ptr == end && number > 0;
    };
    for (int i = 2; i < argc; i += 2) {
        const std::string_view name = argv[i];
        const std::string_view value = i + 1 < argc ? argv[i + 1] : "";
        if (!(name == "--destinations" ? read(value, options.destinations)
              : name == "--seconds"    ? read(value, options.seconds)
                                       : false))
            return false;
    }
    return true;
}

}  // namespace
}  // namespace postfathom

int main(int argc, char** argv) {
    postfathom::Options options;
    if (postfathom::read_options(argc, argv, options)) return postfathom::run(options);
    std::fprintf(stderr, "usage: bench_daemons PROGRAMS [--destinations 1000000] [--seconds 10]\n");
    return 2;
}
