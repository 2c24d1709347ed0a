// SPDX-License-Identifier: Apache-2.0
// What a look at this host's mail connections costs, with many of them, and with many others that
// the kernel leaves out; beside ss(8), which asks the kernel for the same. As root, in a network
// namespace of its own: bench_sockets [--sockets 10000] [--rounds 20]
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>

#include "lib/base/descriptor.hpp"
#include "probes/socket_samples.hpp"
#include "tests/bench/child.hpp"
#include "tests/bench/row.hpp"

namespace postfathom::bench {
namespace {

using Clock = std::chrono::steady_clock;
constexpr double interval = 5.0;  // seconds; socket_watch.interval's default

struct Options {
    int sockets = 10'000;
    int rounds = 20;
};

Options read_options(int argc, char** argv) {
    Options options;
    for (int i = 1; i + 1 < argc; i += 2) {
        const std::string_view name = argv[i];
        if (name == "--sockets") options.sockets = std::atoi(argv[i + 1]);
        if (name == "--rounds") options.rounds = std::max(1, std::atoi(argv[i + 1]));
    }
    return options;
}

sockaddr_in address(const char* text, std::uint16_t port) {
    sockaddr_in result{};
    result.sin_family = AF_INET;
    result.sin_port = htons(port);
    ::inet_pton(AF_INET, text, &result.sin_addr);
    return result;
}

const sockaddr* generic(const sockaddr_in& place) {
    return reinterpret_cast<const sockaddr*>(&place);
}

// `count` established sockets, two for each connection, kept until the process is ended. Writes a
// byte to `ready` when they are there.
int hold_sockets(int count, std::uint16_t port, int ready) {
    const auto server = address("192.0.2.1", port);
    const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int yes = 1;
    ::setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (::bind(listener, generic(server), sizeof server) != 0 || ::listen(listener, 128) != 0)
        return 1;
    const auto client = address("192.0.2.2", 0);
    for (int i = 0; i < count / 2; ++i) {
        const int number = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (::bind(number, generic(client), sizeof client) != 0 ||
            ::connect(number, generic(server), sizeof server) != 0)
            return 1;
        if (::accept(listener, nullptr, nullptr) < 0) return 1;
    }
    if (::write(ready, "r", 1) != 1) return 1;
    ::pause();
    return 0;
}

// As probes/socket_feed does it; processor seconds, the least of all rounds.
double look(int rounds) {
    double best = 1e9;
    SocketWatch watch;
    for (int i = 0; i < rounds; ++i) {
        const auto used = processor_seconds();
        auto samples = sample_mail_sockets();
        if (!samples) {
            std::fprintf(stderr, "%s\n", samples.error().message.c_str());
            std::exit(1);
        }
        const auto ours = samples->empty() ? std::set<std::uint32_t>{} : own_socket_inodes();
        std::erase_if(*samples, [&](const auto& sample) { return ours.contains(sample.inode); });
        watch.sample(*samples, Clock::now());
        (void)watch.suspicions();
        best = std::min(best, processor_seconds() - used);
    }
    return best;
}

// ss(8) as one would ask for the same, in processor seconds; 0: it is not there.
double ss(int rounds) {
    double best = 1e9;
    for (int i = 0; i < rounds; ++i) {
        Child child([] {
            const int null = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
            ::dup2(null, STDOUT_FILENO);
            ::execlp("ss", "ss", "-Htmoine", "( sport = :25 or dport = :25 )", nullptr);
            return 127;
        });
        rusage before{};
        rusage after{};
        ::getrusage(RUSAGE_CHILDREN, &before);
        if (child.wait() != 0) return 0;
        ::getrusage(RUSAGE_CHILDREN, &after);
        const auto seconds = [](const timeval& time) {
            return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
        };
        best = std::min(best, seconds(after.ru_utime) + seconds(after.ru_stime) -
                                  seconds(before.ru_utime) - seconds(before.ru_stime));
    }
    return best;
}

void print(const char* what, double cost, double other) {
    Row row{fmt::format("a look at {}: processor time", what),
            fmt::format("{:.1f} ms ({:.2f} % of a core)", cost * 1e3, 100 * cost / interval)};
    if (other > 0) {
        row.beside = "ss, the same";
        row.theirs = fmt::format("{:.1f} ms", other * 1e3);
        row.ratio = two_digits(cost / other);
    }
    row.aim = "at most 1 %";
    bench::print(row);
}

int measure(const char* what, int sockets, std::uint16_t port, int rounds, bool beside) {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) return 1;
    const Descriptor ready(ends[0]);
    Descriptor tell(ends[1]);
    const Child holder([&] { return hold_sockets(sockets, port, tell.get()); });
    tell.reset();
    char byte = 0;
    if (::read(ready.get(), &byte, 1) != 1) {
        std::fprintf(stderr, "%d sockets cannot be had here\n", sockets);
        return 1;
    }
    print(what, look(rounds), beside ? ss(std::min(rounds, 5)) : 0);
    return 0;
}

int run(const Options& options) {
    // Each socket is a descriptor of the process that holds them.
    const auto wanted = static_cast<rlim_t>(options.sockets + 100);
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = std::max(limit.rlim_cur, wanted);
    limit.rlim_max = std::max(limit.rlim_max, wanted);
    ::setrlimit(RLIMIT_NOFILE, &limit);

    std::printf("one look, of one in %.0f s\n", interval);
    const auto mail = std::to_string(options.sockets) + " mail sockets";
    const auto others = std::to_string(options.sockets) + " other sockets";
    if (measure(mail.c_str(), options.sockets, 25, options.rounds, true) != 0) return 1;
    return measure(others.c_str(), options.sockets, 8080, options.rounds, false);
}

}  // namespace
}  // namespace postfathom::bench

int main(int argc, char** argv) {
    if (::unshare(CLONE_NEWNET) != 0) {
        std::puts("skipped: needs root, for a network namespace");
        return 77;
    }
    if (std::system("ip link set lo up && ip addr add 192.0.2.1/24 dev lo") != 0) {
        std::puts("skipped: ip(8) cannot set up a loopback interface here");
        return 77;
    }
    return postfathom::bench::run(postfathom::bench::read_options(argc, argv));
}
