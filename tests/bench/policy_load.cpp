// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/policy_load.hpp"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <string_view>
#include <thread>

namespace postfathom::bench {

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::string_view policy_answer = "action=DUNNO\n\n";
constexpr std::string_view socketmap_answer = "9:NOTFOUND ,";

sockaddr_un unix_address(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.data(), std::min(path.size(), sizeof address.sun_path - 1));
    return address;
}

Descriptor connect_to(const std::string& place) {
    const bool local = place.starts_with('/');
    Descriptor socket(::socket(local ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (local) {
        const auto address = unix_address(place);
        if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) !=
            0)
            socket.reset();
        return socket;
    }
    const auto colon = place.find(':');
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(std::stoul(place.substr(colon + 1))));
    ::inet_pton(AF_INET, place.substr(0, colon).c_str(), &address.sin_addr);
    const int yes = 1;
    ::setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
        socket.reset();
    return socket;
}

// Answers are short: one read takes a whole one.
bool is_answer(std::string_view bytes) {
    const bool policy = bytes.starts_with("action=") && bytes.ends_with("\n\n");
    return policy ||
           (!bytes.empty() && bytes.front() >= '0' && bytes.front() <= '9' && bytes.ends_with(','));
}

}  // namespace

Server::Server(std::string name, std::string place, const std::function<int()>& work)
    : name_(std::move(name)), place_(std::move(place)), process_(::fork()) {
    if (process_ != 0) return;
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::_exit(work());
}

Server::~Server() {
    if (process_ <= 0 || !owned_) return;
    ::kill(process_, SIGTERM);
    ::waitpid(process_, nullptr, 0);
}

double Server::used() const {
    clockid_t clock{};
    timespec time{};
    if (::clock_getcpuclockid(process_, &clock) != 0 || ::clock_gettime(clock, &time) != 0)
        return 0;
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}

bool Server::ready() const {
    const auto deadline = Clock::now() + std::chrono::seconds(20);
    while (Clock::now() < deadline) {
        if (connect_to(place_)) return true;
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    return false;
}

int serve_null(const std::string& path) {
    const Descriptor listening(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    const auto address = unix_address(path);
    if (::bind(listening.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
        ::listen(listening.get(), 128) != 0)
        return 1;
    const Descriptor events(::epoll_create1(EPOLL_CLOEXEC));
    const auto watch = [&events](int descriptor) {
        epoll_event event{};
        event.events = EPOLLIN;
        event.data.fd = descriptor;
        ::epoll_ctl(events.get(), EPOLL_CTL_ADD, descriptor, &event);
    };
    watch(listening.get());
    std::array<epoll_event, 128> ready{};
    std::array<char, 16384> buffer{};
    for (;;) {
        const int count = ::epoll_wait(events.get(), ready.data(), ready.size(), -1);
        for (int i = 0; i < count; ++i) {
            const int descriptor = ready[static_cast<std::size_t>(i)].data.fd;
            if (descriptor == listening.get()) {
                const int peer = ::accept4(descriptor, nullptr, nullptr, SOCK_NONBLOCK);
                if (peer >= 0) watch(peer);
                continue;
            }
            const auto got = ::recv(descriptor, buffer.data(), buffer.size(), 0);
            if (got <= 0) {
                ::close(descriptor);
                continue;
            }
            // One request at a time, as Postfix asks; its end is all that is looked at.
            const char last = buffer[static_cast<std::size_t>(got) - 1];
            const auto answer = last == ',' ? socketmap_answer : policy_answer;
            if ((last == ',' || last == '\n') &&
                ::send(descriptor, answer.data(), answer.size(), MSG_NOSIGNAL) < 0)
                ::close(descriptor);
        }
    }
}

Load::Load(const Server& server, int connections, const std::vector<std::string>& requests)
    : server_(server), requests_(requests) {
    for (int i = 0; i < connections; ++i) {
        auto socket = connect_to(server.place());
        if (!socket) return;
        sockets_.push_back(std::move(socket));
    }
    connected_ = true;
}

Round Load::run(double seconds) {
    failed_ = false;
    const auto used_before = server_.used();
    const auto start = Clock::now();
    end_ =
        start + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
    std::vector<Counted> counted(sockets_.size());
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < sockets_.size(); ++i)
        threads.emplace_back([this, i, &counted] { ask(sockets_[i].get(), counted[i]); });
    for (auto& thread : threads) thread.join();
    const auto elapsed = std::chrono::duration<double>(Clock::now() - start).count();
    const auto used = server_.used() - used_before;
    std::vector<std::uint32_t> all;
    Round round;
    for (const auto& each : counted) {
        all.insert(all.end(), each.nanoseconds.begin(), each.nanoseconds.end());
        round.findings += each.findings;
    }
    if (failed_ || all.empty()) return {};
    round.answers = all.size();
    round.per_second = static_cast<double>(all.size()) / elapsed;
    round.cpu_us = used / static_cast<double>(all.size()) * 1e6;
    const auto p99 = all.begin() + static_cast<std::ptrdiff_t>(all.size() * 99 / 100);
    std::nth_element(all.begin(), p99, all.end());
    round.p99_us = static_cast<double>(*p99) / 1000;
    return round;
}

void Load::ask(int socket, Counted& result) {
    Counted counted;  // of this thread's own memory, not beside another's
    counted.nanoseconds.reserve(100'000);
    std::array<char, 4096> buffer;  // NOLINT: written before it is read
    for (auto begin = Clock::now(); begin < end_;) {
        const auto& request = requests_[next_++ % requests_.size()];
        const bool sent = ::send(socket, request.data(), request.size(), MSG_NOSIGNAL) ==
                          static_cast<ssize_t>(request.size());
        const auto got = sent ? ::recv(socket, buffer.data(), buffer.size(), 0) : -1;
        const std::string_view answer(buffer.data(), got > 0 ? static_cast<std::size_t>(got) : 0);
        if (!is_answer(answer)) {
            failed_ = true;
            break;
        }
        if (answer != policy_answer && answer != socketmap_answer) ++counted.findings;
        const auto now = Clock::now();
        counted.nanoseconds.push_back(static_cast<std::uint32_t>(std::min<std::int64_t>(
            std::chrono::duration_cast<std::chrono::nanoseconds>(now - begin).count(),
            UINT32_MAX)));
        begin = now;
    }
    result = std::move(counted);
}

}  // namespace postfathom::bench
