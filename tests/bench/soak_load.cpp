// SPDX-License-Identifier: Apache-2.0
// The questions of a soak, at a steady pace: each surface of the daemons on a thread and
// connections of its own, with a destination that is another each time.
//   soak_load POLICY DSN TABLES ADMIN PER_SECOND MINUTE
// Writes a line for each surface and minute of so many seconds, with times in microseconds:
//   minute SURFACE asked p50 p99 longest lost
// until SIGTERM. Lost is what was not answered as it should within 10 seconds.
#include <fmt/format.h>
#include <signal.h>
#include <sys/prctl.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "tests/dialog/faults/question.hpp"

using namespace postfathom;
using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

namespace {

std::atomic<bool> end_asked{false};
std::mutex writing;

std::string admin_request(const std::string& target) {
    return fmt::format("GET {} HTTP/1.1\r\nHost: localhost\r\n\r\n", target);
}

bool admin_answered(std::string_view answer) {
    const auto header = answer.find("\r\n\r\n");
    if (!answer.starts_with("HTTP/1.1 ") || header == std::string_view::npos) return false;
    const auto at = answer.find("Content-Length: ");
    if (at == std::string_view::npos) return false;
    const auto length = std::strtoull(answer.data() + at + 16, nullptr, 10);
    return answer.size() >= header + 4 + length;
}

// What is asked for the nth time, and whether its answer is there.
struct Asked {
    const char* name;
    std::string path;
    bool one_each;  // connection
    std::function<std::string(unsigned)> question;
    std::function<bool(std::string_view)> answered;
};

bool exchange(const Descriptor& socket, const std::string& question, const Asked& asked) {
    if (::send(socket.get(), question.data(), question.size(), MSG_NOSIGNAL) !=
        static_cast<ssize_t>(question.size()))
        return false;
    std::string answer;
    while (!asked.answered(answer)) {
        pollfd readable{socket.get(), POLLIN, 0};
        char part[65536];
        const auto count =
            ::poll(&readable, 1, 10'000) > 0 ? ::recv(socket.get(), part, sizeof part, 0) : -1;
        if (count <= 0) return false;
        answer.append(part, static_cast<std::size_t>(count));
    }
    return true;
}

struct Minute {
    std::vector<double> times;
    unsigned lost = 0;
    void write(int number, const char* name) {
        if (times.empty() && lost == 0) return;
        std::sort(times.begin(), times.end());
        const auto at = [this](std::size_t part) {
            return times.empty() ? 0.0 : times[(times.size() - 1) * part / 100];
        };
        const std::lock_guard lock(writing);
        fmt::print("{} {} {} {:.0f} {:.0f} {:.0f} {}\n", number, name, times.size() + lost, at(50),
                   at(99), at(100), lost);
        std::fflush(stdout);
    }
};

void keep_asking(const Asked& asked, double per_second, std::chrono::seconds minute) {
    const auto pace =
        std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(1 / per_second));
    auto socket = connect_to(asked.path);
    auto next = Clock::now();
    auto minute_ends = next + minute;
    int number = 1;
    Minute now;
    for (unsigned count = 0; !end_asked; ++count) {
        std::this_thread::sleep_until(next += pace);
        const auto begin = Clock::now();
        if (asked.one_each && count > 0) socket = connect_to(asked.path);
        if (socket && exchange(socket, asked.question(count), asked)) {
            now.times.push_back(
                std::chrono::duration<double, std::micro>(Clock::now() - begin).count());
        } else {
            ++now.lost;
            socket = connect_to(asked.path);
        }
        if (Clock::now() < minute_ends) continue;
        now.write(number++, asked.name);
        now = {};
        minute_ends += minute;
    }
    now.write(number, asked.name);
}

std::string destination(unsigned number) {
    return fmt::format("b{}.d{}.example.org", number, number % 5 + 1);
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 7) {
        std::fprintf(stderr, "usage: soak_load POLICY DSN TABLES ADMIN PER_SECOND MINUTE\n");
        return 2;
    }
    ::prctl(PR_SET_PDEATHSIG, SIGTERM);
    const double per_second = std::atof(argv[5]);
    const std::chrono::seconds minute{std::atoi(argv[6])};
    const auto socketmap_answered = [](std::string_view answer) { return answer.ends_with(","); };
    const char* const admin_targets[] = {
        "/healthz",    "/v1/status",  "/metrics", "/v1/destinations?limit=100",
        "/v1/clients", "/v1/sockets", "/"};
    const std::vector<Asked> all = {
        {"policy", argv[1], false,
         [](unsigned number) { return policy_request("you@" + destination(number)); },
         [](std::string_view answer) { return complete(Surface::policy, answer); }},
        {"dsn", argv[2], false,
         [](unsigned number) {
             return netstring(
                 fmt::format("dsn 4.4.2 lost connection with d{}.example.org[192.0.2.{}]:25 "
                             "while performing the EHLO handshake",
                             number % 5 + 1, number % 5 + 1));
         },
         socketmap_answered},
        {"tls", argv[3], false,
         [](unsigned number) { return netstring("tls " + destination(number)); },
         socketmap_answered},
        {"ehlo", argv[3], false,
         [](unsigned number) { return netstring(fmt::format("ehlo 192.0.2.{}", number % 5 + 1)); },
         socketmap_answered},
        {"admin", argv[4], true,
         [&](unsigned number) {
             return admin_request(admin_targets[number % std::size(admin_targets)]);
         },
         admin_answered},
    };
    sigset_t end;
    sigemptyset(&end);
    sigaddset(&end, SIGTERM);
    ::pthread_sigmask(SIG_BLOCK, &end, nullptr);
    std::vector<std::thread> threads;
    for (const auto& asked : all)
        threads.emplace_back([&asked, per_second, minute] {
            // An operator asks less often than Postfix.
            keep_asking(asked, asked.one_each ? per_second / 5 : per_second, minute);
        });
    int caught = 0;
    ::sigwait(&end, &caught);
    end_asked = true;
    for (auto& thread : threads) thread.join();
    return 0;
}
