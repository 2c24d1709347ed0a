// SPDX-License-Identifier: Apache-2.0
// postfathom-policyd beside a null server, which reads requests and answers DUNNO without looking
// at them: the same load, in alternating rounds, over UNIX sockets. What counts is the ratio, for
// it depends little on the machine.
//   bench_policy [--seconds 2] [--rounds 5] [--destinations 100000] [--connections N]
//                [--load one-thread] [--policyd PROGRAM]
// Exit status 0 when every ratio is at least 0.6.
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <charconv>
#include <chrono>
#include <cstring>
#include <fstream>
#include <random>
#include <string_view>
#include <thread>

#include "lib/base/descriptor.hpp"
#include "tests/bench/child.hpp"
#include "tests/bench/filled_cache.hpp"

namespace postfathom {
namespace {

using Clock = std::chrono::steady_clock;
constexpr double target_ratio = 0.6;

struct Options {
    double seconds = 2;
    int rounds = 5;
    int destinations = 100'000;
    int connections = 0;  // 0: 1, then 50
    bool one_thread = false;
    std::string policyd = POLICYD_PROGRAM;
};

sockaddr_un address_of(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.data(), std::min(path.size(), sizeof address.sun_path - 1));
    return address;
}

// As smtpd(8) of Postfix 3.7 sends it at RCPT to a client without TLS: every attribute, in its
// order.
std::string request(int number) {
    return fmt::format(
        "request=smtpd_access_policy\nprotocol_state=RCPT\nprotocol_name=ESMTP\n"
        "client_address=192.0.2.{}\nclient_name=client.example.com\nclient_port=41{:03}\n"
        "reverse_client_name=client.example.com\nserver_address=192.0.2.250\nserver_port=25\n"
        "helo_name=client.example.com\nsender=sender@example.com\nrecipient=user@{}\n"
        "recipient_count=0\nqueue_id=\ninstance=1a2b.{:x}.{:x}.0\nsize=12345\netrn_domain=\nstress="
        "\n"
        "sasl_method=\nsasl_username=\nsasl_sender=\nccert_subject=\nccert_issuer=\n"
        "ccert_fingerprint=\nccert_pubkey_fingerprint=\nencryption_protocol=\nencryption_cipher=\n"
        "encryption_keysize=0\npolicy_context=\n\n",
        number % 250, number % 1000, bench::domain(number), number, number * 7919);
}

// ---- the servers

class Program {
  public:
    template <typename Work>
    Program(std::string socket, Work work)
        : socket_(std::move(socket)), process_(std::move(work)) {}
    const std::string& socket() const { return socket_; }
    double used() const { return process_.used(); }

  private:
    std::string socket_;
    bench::Child process_;
};

int serve_null(const std::string& path) {
    constexpr std::string_view answer = "action=DUNNO\n\n";
    const Descriptor listening(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    const auto address = address_of(path);
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
            if (buffer[static_cast<std::size_t>(got) - 1] == '\n' &&
                ::send(descriptor, answer.data(), answer.size(), MSG_NOSIGNAL) < 0)
                ::close(descriptor);
        }
    }
}

int run_policyd(const std::string& program, const std::string& config) {
    const Descriptor nowhere(::open("/dev/null", O_WRONLY));
    ::dup2(nowhere.get(), STDERR_FILENO);
    ::execl(program.c_str(), program.c_str(), "--config", config.c_str(), nullptr);
    return 127;
}

// ---- the load

struct Round {
    double per_second = 0;
    double cpu_seconds = 0;  // of the server
    std::uint64_t answers = 0;
    std::uint64_t warnings = 0;
};

// Connections that ask one request after the other. As smtpd(8) processes do, each waits for its
// own answer, in a thread of its own; or one thread serves them all, which spares the server most
// of the wakings that cost it time in earnest.
class Load {
  public:
    Load(const Program& server, int connections, const std::vector<std::string>& requests)
        : server_(server), requests_(requests) {
        const auto address = address_of(server.socket());
        for (int i = 0; i < connections; ++i) {
            Descriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
            if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address),
                          sizeof address) != 0)
                return;
            sockets_.push_back(std::move(socket));
        }
        connected_ = true;
    }
    bool connected() const { return connected_; }

    Round run(double seconds, bool one_thread) {
        failed_ = false;
        Round round;
        const auto used_before = server_.used();
        const auto start = Clock::now();
        end_ = start +
               std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
        if (one_thread) {
            ask_all(round);
        } else {
            std::vector<Round> rounds(sockets_.size());
            std::vector<std::thread> threads;
            for (std::size_t i = 0; i < sockets_.size(); ++i)
                threads.emplace_back([this, i, &rounds] { ask_one(sockets_[i].get(), rounds[i]); });
            for (auto& thread : threads) thread.join();
            for (const auto& each : rounds) {
                round.answers += each.answers;
                round.warnings += each.warnings;
            }
        }
        round.per_second = static_cast<double>(round.answers) /
                           std::chrono::duration<double>(Clock::now() - start).count();
        round.cpu_seconds = server_.used() - used_before;
        return failed_ ? Round{} : round;
    }

  private:
    bool ask(int socket) {
        const auto& text = requests_[next_++ % requests_.size()];
        return ::send(socket, text.data(), text.size(), MSG_NOSIGNAL) ==
               static_cast<ssize_t>(text.size());
    }
    bool take_answer(int socket, Round& round) {
        std::array<char, 4096> buffer;  // NOLINT: written before it is read
        const auto got = ::recv(socket, buffer.data(), buffer.size(), 0);
        const std::string_view answer(buffer.data(), got > 0 ? static_cast<std::size_t>(got) : 0);
        if (answer.substr(0, 7) != "action=" || answer.substr(answer.size() - 2) != "\n\n") {
            failed_ = true;
            return false;
        }
        ++round.answers;
        round.warnings += answer.substr(7, 4) == "WARN" ? 1 : 0;
        return true;
    }
    void ask_one(int socket, Round& counted) {
        Round round;  // of this thread's own memory, not beside another's
        while (Clock::now() < end_ && ask(socket) && take_answer(socket, round)) continue;
        counted = round;
    }
    void ask_all(Round& round) {
        const Descriptor events(::epoll_create1(EPOLL_CLOEXEC));
        std::size_t open = 0;
        for (const auto& socket : sockets_) {
            epoll_event event{};
            event.events = EPOLLIN;
            event.data.fd = socket.get();
            ::epoll_ctl(events.get(), EPOLL_CTL_ADD, socket.get(), &event);
            open += ask(socket.get()) ? 1 : 0;
        }
        std::array<epoll_event, 128> ready{};
        while (open > 0 && !failed_) {
            const int count = ::epoll_wait(events.get(), ready.data(), ready.size(), 5000);
            if (count <= 0) failed_ = true;
            const bool more = Clock::now() < end_;
            for (int i = 0; i < count; ++i) {
                const int socket = ready[static_cast<std::size_t>(i)].data.fd;
                if (!take_answer(socket, round) || !more || !ask(socket)) --open;
            }
        }
    }

    const Program& server_;
    const std::vector<std::string>& requests_;
    std::vector<Descriptor> sockets_;
    std::atomic<std::size_t> next_{0};
    std::atomic<bool> failed_{false};
    Clock::time_point end_{};
    bool connected_ = false;
};

bool wait_for(const Program& server) {
    const std::vector<std::string> nothing;
    const auto deadline = Clock::now() + std::chrono::seconds(20);
    while (Clock::now() < deadline) {
        if (Load(server, 1, nothing).connected()) return true;
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    std::fprintf(stderr, "%s: no server there after 20 s\n", server.socket().c_str());
    return false;
}

// What the rounds of one server came to.
struct Series {
    std::vector<double> rates;
    std::vector<double> costs;  // microseconds of the server's processor time for one request
    std::uint64_t answers = 0;
    std::uint64_t warnings = 0;

    bool add(const Round& round) {
        if (round.answers == 0) {
            std::fprintf(stderr, "a server closed a connection or gave a broken answer\n");
            return false;
        }
        rates.push_back(round.per_second);
        costs.push_back(round.cpu_seconds / static_cast<double>(round.answers) * 1e6);
        answers += round.answers;
        warnings += round.warnings;
        return true;
    }
};

// The ratio of requests per second, or 0 when something went wrong. Processor time is shown as
// well: it says what the server itself costs when other work on the machine, or the load's own
// share, blurs the rates.
double compare(const Program& null_server, const Program& policyd_server, int connections,
               const std::vector<std::string>& requests, const Options& options) {
    Load null_load(null_server, connections, requests);
    Load policyd_load(policyd_server, connections, requests);
    if (!null_load.connected() || !policyd_load.connected()) return 0;
    Series null;
    Series policyd;
    std::vector<double> ratios;
    // Once through all destinations: the target is about a warm cache.
    null_load.run(options.seconds, options.one_thread);
    while (policyd.answers < requests.size())
        if (!policyd.add(policyd_load.run(options.seconds, options.one_thread))) return 0;
    policyd = {};
    for (int i = 0; i < options.rounds; ++i) {
        if (!null.add(null_load.run(options.seconds, options.one_thread)) ||
            !policyd.add(policyd_load.run(options.seconds, options.one_thread)))
            return 0;
        ratios.push_back(policyd.rates.back() / null.rates.back());
    }
    std::printf(
        "%3d connections: null %7.0f /s (%5.2f us)   policyd %7.0f /s (%5.2f us)   ratio %.2f   "
        "(by processor time %.2f; %.2f%% WARN)\n",
        connections, bench::median(null.rates), bench::median(null.costs),
        bench::median(policyd.rates), bench::median(policyd.costs), bench::median(ratios),
        bench::median(null.costs) / bench::median(policyd.costs),
        100.0 * static_cast<double>(policyd.warnings) / static_cast<double>(policyd.answers));
    std::fflush(stdout);
    if (policyd.warnings > 0) return bench::median(ratios);
    std::fprintf(stderr, "policyd found no ill destination: it did not look\n");
    return 0;
}

std::string write_config(const std::filesystem::path& directory) {
    const auto at = [&directory](const char* name) { return (directory / name).string(); };
    std::ofstream(at("postfathom.toml"))
        << "[cache]\ndirectory = \"" << at("cache") << "\"\n[notice]\nsocket = \""
        << at("notice.sock") << "\"\n[mail_log]\nfile = \"\"\n[policy]\nsocket = \""
        << at("policy.sock") << "\"\nmode = \"warn\"\n[dsn]\nsocket = \"" << at("dsn.sock")
        << "\"\n";
    return at("postfathom.toml");
}

int run(const Options& options) {
    const bench::TemporaryDirectory directory;
    std::filesystem::create_directory(directory.path() / "cache");
    if (!bench::fill_cache(directory.path() / "cache", options.destinations)) return 2;
    const auto config = write_config(directory.path());
    const auto null_path = (directory.path() / "null.sock").string();
    const auto policyd_path = (directory.path() / "policy.sock").string();

    std::vector<int> order(static_cast<std::size_t>(options.destinations));
    for (int i = 0; i < options.destinations; ++i) order[static_cast<std::size_t>(i)] = i;
    std::shuffle(order.begin(), order.end(), std::mt19937(1));  // NOLINT: the same in every run
    std::vector<std::string> requests;
    for (const auto number : order) requests.push_back(request(number));

    const Program null_server(null_path, [&] { return serve_null(null_path); });
    const Program policyd(policyd_path, [&] { return run_policyd(options.policyd, config); });
    if (!wait_for(null_server) || !wait_for(policyd)) return 2;
    std::printf("%d destinations, %zu bytes a request, %d rounds of %.1f s each\n",
                options.destinations, requests[0].size(), options.rounds, options.seconds);
    bool reached = true;
    std::vector<int> all = {1, 50};
    if (options.connections > 0) all = {options.connections};
    for (const int connections : all)
        reached = compare(null_server, policyd, connections, requests, options) >= target_ratio &&
                  reached;
    std::printf("target: at least %.1f of the null server: %s\n", target_ratio,
                reached ? "reached" : "missed");
    return reached ? 0 : 1;
}

bool read_number(std::string_view text, auto& number) {
    const auto end = text.data() + text.size();
    return std::from_chars(text.data(), end, number).ptr == end && number > 0;
}

}  // namespace
}  // namespace postfathom

int main(int argc, char** argv) {
    postfathom::Options options;
    bool understood = argc % 2 == 1;
    for (int i = 1; i + 1 < argc; i += 2) {
        const std::string_view name = argv[i];
        if (name == "--seconds")
            understood = understood && postfathom::read_number(argv[i + 1], options.seconds);
        else if (name == "--rounds")
            understood = understood && postfathom::read_number(argv[i + 1], options.rounds);
        else if (name == "--destinations")
            understood = understood && postfathom::read_number(argv[i + 1], options.destinations);
        else if (name == "--connections")
            understood = understood && postfathom::read_number(argv[i + 1], options.connections);
        else if (name == "--load" && std::string_view(argv[i + 1]) == "one-thread")
            options.one_thread = true;
        else if (name == "--policyd")
            options.policyd = argv[i + 1];
        else
            understood = false;
    }
    if (!understood) {
        std::fprintf(stderr,
                     "usage: bench_policy [--seconds 2] [--rounds 5] [--destinations 100000] "
                     "[--connections N] [--load one-thread] [--policyd PROGRAM]\n");
        return 2;
    }
    return postfathom::run(options);
}
