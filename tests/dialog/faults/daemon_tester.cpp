// SPDX-License-Identifier: Apache-2.0
// What tests of faults do to a daemon that a shell cannot do fast enough:
//   daemon-tester kill SURFACE SOCKET TIMES SEED MILLISECONDS PROGRAM ARGUMENT...
//     runs the program, waits until it answers, kills it with SIGKILL at a random moment within
//     so many milliseconds, and so on; writes how long it took to answer again, leaves the last one
//     running, and ends it on SIGTERM.
//   daemon-tester keep SURFACE SOCKET PROGRAM ARGUMENT...
//     runs the program as a service manager does, anew whenever it ends, until SIGTERM.
//   daemon-tester ask SURFACE SOCKET CONNECTIONS
//     asks on so many connections, one question after the other, until SIGTERM. Fails when a
//     question is not answered or a connection ends.
//   daemon-tester once SURFACE SOCKET
//     asks one question; exit status 0 when it is answered within 10 s.
//   daemon-tester tell policy SOCKET RECIPIENT
//     writes the first line of the answer to a policy request.
//   daemon-tester hold SURFACE SOCKET CONNECTIONS
//     opens connections, asks nothing, and writes how many there are; ends on SIGTERM.
#include <fmt/format.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <thread>
#include <vector>

#include "tests/dialog/faults/question.hpp"

using namespace postfathom;
using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

namespace {

volatile std::sig_atomic_t end_asked = 0;

[[noreturn]] void give_up(const std::string& why) {
    fmt::print("FAILED: {}\n", why);
    std::fflush(stdout);
    std::_Exit(1);
}

void say(const std::string& line) {
    fmt::print("{}\n", line);
    std::fflush(stdout);
}

pid_t start(char** program) {
    const auto parent = ::getpid();
    const auto child = ::fork();
    if (child < 0) give_up("fork");
    if (child > 0) return child;
    // However this test ends, no daemon of it stays.
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) std::_Exit(127);
    ::execv(program[0], program);
    std::_Exit(127);
}

std::string how(int status) {
    return WIFSIGNALED(status) ? fmt::format("signal {}", WTERMSIG(status))
                               : fmt::format("status {}", WEXITSTATUS(status));
}

// Until the daemon answers a question; fails when it ends before.
std::chrono::milliseconds wait_for_answer(pid_t child, Surface surface, const std::string& path) {
    const auto begun = Clock::now();
    while (Clock::now() < begun + 30s) {
        int status = 0;
        if (::waitpid(child, &status, WNOHANG) == child)
            give_up(fmt::format("{} ended at its start with {}", path, how(status)));
        if (const auto socket = connect_to(path); socket && ask(socket, surface, 10s).empty())
            return std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - begun);
        std::this_thread::sleep_for(1ms);
    }
    give_up(path + ": no answer within 30 s of the start");
}

void end_daemon(pid_t child) {
    int status = 0;
    ::kill(child, SIGTERM);
    if (::waitpid(child, &status, 0) != child || status != 0)
        give_up(fmt::format("SIGTERM ended it with {}", how(status)));
}

void wait_for_the_end() {
    while (end_asked == 0) std::this_thread::sleep_for(10ms);
}

int kill_loop(Surface surface, const std::string& path, int times, unsigned seed, unsigned life_ms,
              char** program) {
    std::mt19937 random(seed);
    std::vector<std::chrono::milliseconds> took;
    for (int i = 0; i < times && end_asked == 0; ++i) {
        const auto child = start(program);
        // Every fourth dies while it starts; the others some moments after they answered.
        if (i % 4 == 3) {
            std::this_thread::sleep_for(std::chrono::microseconds(random() % 30'000));
        } else {
            took.push_back(wait_for_answer(child, surface, path));
            std::this_thread::sleep_for(std::chrono::microseconds(random() % (life_ms * 1000)));
        }
        int status = 0;
        ::kill(child, SIGKILL);
        ::waitpid(child, &status, 0);
        if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
            give_up(fmt::format("{}: it ended by itself with {}", path, how(status)));
    }
    const auto last = start(program);
    took.push_back(wait_for_answer(last, surface, path));
    std::sort(took.begin(), took.end());
    // The longest of 150 are a loaded machine's.
    const auto most = took[took.size() * 3 / 4];
    say(fmt::format(
        "{} kills; it answered again after {} ms at the median, {} ms in three of four, "
        "{} ms at most",
        times, took[took.size() / 2].count(), most.count(), took.back().count()));
    if (most > 1s) give_up(path + ": it takes more than a second to answer again");
    wait_for_the_end();
    end_daemon(last);
    return 0;
}

int keep(Surface surface, const std::string& path, char** program) {
    auto child = start(program);
    wait_for_answer(child, surface, path);
    say("answers");
    while (end_asked == 0) {
        int status = 0;
        if (::waitpid(child, &status, WNOHANG) != child) {
            std::this_thread::sleep_for(5ms);
            continue;
        }
        say("ended with " + how(status));
        // As RestartSec of its unit, about.
        std::this_thread::sleep_for(100ms);
        child = start(program);
    }
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    return 0;
}

// A milter's connection is one session, and the admin socket is asked once by each client.
bool one_question_each(Surface surface) {
    return surface == Surface::milter || surface == Surface::admin;
}

int ask_on(Surface surface, const std::string& path, int connections) {
    std::atomic<std::uint64_t> answered{0};
    std::vector<std::thread> threads;
    // The signal is for this thread: poll(2) in the others would end early.
    sigset_t end;
    sigemptyset(&end);
    sigaddset(&end, SIGTERM);
    ::pthread_sigmask(SIG_BLOCK, &end, nullptr);
    for (int i = 0; i < connections; ++i)
        threads.emplace_back([&] {
            auto socket = connect_to(path);
            while (end_asked == 0) {
                if (!socket) give_up(path + ": nobody listens");
                if (const auto wrong = ask(socket, surface, 30s); !wrong.empty())
                    give_up(fmt::format("{}: after {} answers: {}", path, answered.load(), wrong));
                ++answered;
                if (one_question_each(surface)) socket = connect_to(path);
                std::this_thread::sleep_for(2ms);
            }
        });
    ::pthread_sigmask(SIG_UNBLOCK, &end, nullptr);
    for (auto& thread : threads) thread.join();
    say(fmt::format("{} questions, each answered", answered.load()));
    return answered > 0 ? 0 : 1;
}

int tell(const std::string& path, const std::string& recipient) {
    const auto socket = connect_to(path);
    const auto request = policy_request(recipient);
    char answer[1024] = {};
    if (!socket || ::send(socket.get(), request.data(), request.size(), MSG_NOSIGNAL) < 0 ||
        ::recv(socket.get(), answer, sizeof answer - 1, 0) <= 0)
        return 1;
    say(std::string(answer, std::strcspn(answer, "\n")));
    return 0;
}

int hold(const std::string& path, int connections) {
    std::vector<Descriptor> held;
    for (int i = 0; i < connections; ++i)
        if (auto socket = connect_to(path)) held.push_back(std::move(socket));
    say(fmt::format("{} connections", held.size()));
    wait_for_the_end();
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    const std::string task = argc > 3 ? argv[1] : "";
    Surface surface{};
    if (argc < 4 || !parse_surface(argv[2], surface)) return 2;
    struct sigaction action{};
    action.sa_handler = [](int) { end_asked = 1; };
    ::sigaction(SIGTERM, &action, nullptr);
    ::prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (task == "kill" && argc > 7)
        return kill_loop(surface, argv[3], std::atoi(argv[4]),
                         static_cast<unsigned>(std::atoi(argv[5])),
                         static_cast<unsigned>(std::atoi(argv[6])), argv + 7);
    if (task == "once") {
        const auto socket = connect_to(argv[3]);
        return socket && ask(socket, surface, 10s).empty() ? 0 : 1;
    }
    if (task == "tell" && argc > 4) return tell(argv[3], argv[4]);
    if (task == "keep" && argc > 4) return keep(surface, argv[3], argv + 4);
    if (task == "ask" && argc > 4) return ask_on(surface, argv[3], std::atoi(argv[4]));
    if (task == "hold" && argc > 4) return hold(argv[3], std::atoi(argv[4]));
    return 2;
}
