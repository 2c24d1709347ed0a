// SPDX-License-Identifier: Apache-2.0
// postfathom-policyd beside a null server, which reads requests and answers DUNNO without looking
// at them: the same load, in alternating rounds, over UNIX sockets. What counts is the ratio, for
// it depends little on the machine.
//   bench_policy [--seconds 2] [--rounds 5] [--destinations 100000] [--connections N] [--policyd
//   PROGRAM]
// Exit status 0 when every ratio is at least 0.6.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cstring>
#include <fstream>
#include <random>
#include <string_view>
#include <thread>

#include "lib/base/descriptor.hpp"
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
    explicit Program(Work work) : process_(::fork()) {
        if (process_ != 0) return;
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        ::_exit(work());
    }
    Program(const Program&) = delete;
    Program& operator=(const Program&) = delete;
    ~Program() {
        if (process_ <= 0) return;
        ::kill(process_, SIGTERM);
        ::waitpid(process_, nullptr, 0);
    }

  private:
    pid_t process_;
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
    std::uint64_t answers = 0;
    std::uint64_t warnings = 0;
};

class Load {
  public:
    Load(const std::string& path, int connections, const std::vector<std::string>& requests)
        : requests_(requests), events_(::epoll_create1(EPOLL_CLOEXEC)) {
        const auto address = address_of(path);
        for (int i = 0; i < connections; ++i) {
            Descriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
            if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address),
                          sizeof address) != 0)
                return;
            epoll_event event{};
            event.events = EPOLLIN;
            event.data.fd = socket.get();
            ::epoll_ctl(events_.get(), EPOLL_CTL_ADD, socket.get(), &event);
            sockets_.push_back(std::move(socket));
        }
        connected_ = true;
    }
    bool connected() const { return connected_; }

    Round run(double seconds) {
        Round result;
        const auto start = Clock::now();
        const auto end = start + std::chrono::duration_cast<Clock::duration>(
                                     std::chrono::duration<double>(seconds));
        std::uint64_t open = 0;
        for (const auto& socket : sockets_) open += ask(socket.get()) ? 1 : 0;
        std::array<epoll_event, 128> ready{};
        std::array<char, 4096> buffer{};
        while (open > 0) {
            const int count = ::epoll_wait(events_.get(), ready.data(), ready.size(), 5000);
            if (count <= 0) return {};
            const bool more = Clock::now() < end;
            for (int i = 0; i < count; ++i) {
                const int socket = ready[static_cast<std::size_t>(i)].data.fd;
                const auto got = ::recv(socket, buffer.data(), buffer.size(), 0);
                const std::string_view answer(buffer.data(),
                                              got > 0 ? static_cast<std::size_t>(got) : 0);
                if (answer.substr(0, 7) != "action=" || answer.substr(answer.size() - 2) != "\n\n")
                    return {};
                ++result.answers;
                result.warnings += answer.substr(7, 4) == "WARN" ? 1 : 0;
                if (!more || !ask(socket)) --open;
            }
        }
        result.per_second = static_cast<double>(result.answers) /
                            std::chrono::duration<double>(Clock::now() - start).count();
        return result;
    }

  private:
    bool ask(int socket) {
        const auto& text = requests_[next_++ % requests_.size()];
        return ::send(socket, text.data(), text.size(), MSG_NOSIGNAL) ==
               static_cast<ssize_t>(text.size());
    }

    const std::vector<std::string>& requests_;
    Descriptor events_;
    std::vector<Descriptor> sockets_;
    std::size_t next_ = 0;
    bool connected_ = false;
};

double median(std::vector<double> values) {
    std::sort(values.begin(), values.end());
    return values[values.size() / 2];
}

bool wait_for(const std::string& path) {
    const auto deadline = Clock::now() + std::chrono::seconds(20);
    while (Clock::now() < deadline) {
        if (Load(path, 1, {}).connected()) return true;
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    std::fprintf(stderr, "%s: no server there after 20 s\n", path.c_str());
    return false;
}

// The ratio, or 0 when something went wrong.
double compare(const std::string& null_path, const std::string& policyd_path, int connections,
               const std::vector<std::string>& requests, const Options& options) {
    Load null_load(null_path, connections, requests);
    Load policyd_load(policyd_path, connections, requests);
    if (!null_load.connected() || !policyd_load.connected()) return 0;
    std::vector<double> null_rates;
    std::vector<double> policyd_rates;
    std::vector<double> ratios;
    std::uint64_t answers = 0;
    std::uint64_t warnings = 0;
    null_load.run(0.3);
    policyd_load.run(0.3);
    for (int round = 0; round < options.rounds; ++round) {
        const auto null = null_load.run(options.seconds);
        const auto policyd = policyd_load.run(options.seconds);
        if (null.answers == 0 || policyd.answers == 0) {
            std::fprintf(stderr, "a server closed a connection or gave a broken answer\n");
            return 0;
        }
        null_rates.push_back(null.per_second);
        policyd_rates.push_back(policyd.per_second);
        ratios.push_back(policyd.per_second / null.per_second);
        answers += policyd.answers;
        warnings += policyd.warnings;
    }
    std::printf("%3d connections: null %8.0f /s   policyd %8.0f /s   ratio %.2f   (%.2f%% WARN)\n",
                connections, median(null_rates), median(policyd_rates), median(ratios),
                100.0 * static_cast<double>(warnings) / static_cast<double>(answers));
    std::fflush(stdout);
    if (warnings == 0) std::fprintf(stderr, "policyd found no ill destination: it did not look\n");
    return warnings == 0 ? 0 : median(ratios);
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

    const Program null_server([&] { return serve_null(null_path); });
    const Program policyd([&] { return run_policyd(options.policyd, config); });
    if (!wait_for(null_path) || !wait_for(policyd_path)) return 2;
    std::printf("%d destinations, %zu bytes a request, %d rounds of %.1f s each\n",
                options.destinations, requests[0].size(), options.rounds, options.seconds);
    bool reached = true;
    std::vector<int> all = {1, 50};
    if (options.connections > 0) all = {options.connections};
    for (const int connections : all)
        reached =
            compare(null_path, policyd_path, connections, requests, options) >= target_ratio &&
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
        else if (name == "--policyd")
            options.policyd = argv[i + 1];
        else
            understood = false;
    }
    if (!understood) {
        std::fprintf(stderr,
                     "usage: bench_policy [--seconds 2] [--rounds 5] [--destinations 100000] "
                     "[--connections N] [--policyd PROGRAM]\n");
        return 2;
    }
    return postfathom::run(options);
}
