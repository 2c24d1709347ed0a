// SPDX-License-Identifier: Apache-2.0
// postfathom-milter: tags messages whose next hop is ill, removes forged tags, learns routes. Stays
// in the foreground. Postfix goes on without it when it is not there.
#include <fmt/format.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <memory>
#include <string>
#include <string_view>
#include <thread>

#include "lib/base/descriptor.hpp"
#include "lib/base/host_name.hpp"
#include "lib/base/log.hpp"
#include "lib/cache/lmdb_cache.hpp"
#include "lib/config/load.hpp"
#include "lib/net/listener.hpp"
#include "milter/callbacks.hpp"

using namespace postfathom;

namespace {

constexpr const char* program = "postfathom-milter";

sigset_t ending_signals() {
    sigset_t set;
    sigemptyset(&set);
    for (const int number : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&set, number);
    return set;
}

// libmilter has a signal thread of its own, for the same signals. The kernel offers a signal to the
// first thread first, so this one mostly gets it; when it does not, libmilter ends by itself within
// five seconds, on SIGHUP too.
void wait_for_the_end(const std::atomic<bool>& ended) {
    const auto set = ending_signals();
    while (!ended) {
        int number = 0;
        if (::sigwait(&set, &number) != 0 || ended) continue;
        if (number != SIGHUP) return;
        log::info("SIGHUP: the configuration is read at start only; restart to read it again");
    }
}

// Sessions end after the command they are in.
bool callbacks_finished(const MilterService& service) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds{2};
    while (service.running > 0) {
        if (std::chrono::steady_clock::now() >= deadline) return false;
        std::this_thread::sleep_for(std::chrono::milliseconds{1});
    }
    return true;
}

// smfi_stop() waits for a lock that libmilter's listener holds while it waits up to five seconds
// for a connection. So it gets one, until it has seen that it shall end.
void end_listener(const std::string& path, const std::atomic<bool>& ended) {
    std::thread stopper(stop_milter);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    while (!ended) {
        const Descriptor waker(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
        ::connect(waker.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
        for (int wait = 0; wait < 20 && !ended; ++wait)
            std::this_thread::sleep_for(std::chrono::milliseconds{1});
    }
    stopper.join();
}

// Serves until a signal.
bool serve(const MilterService& service, const std::string& path) {
    std::atomic<bool> ended{false};
    bool well = false;
    const auto first_thread = ::pthread_self();
    std::thread milter([&] {
        well = run_milter();
        ended = true;
        // Wakes sigwait(); the signal is blocked in every thread, so it ends none.
        ::pthread_kill(first_thread, SIGTERM);  // NOLINT(bugprone-bad-signal-to-kill-thread)
    });
    wait_for_the_end(ended);
    const bool asked = !ended;
    if (asked) end_listener(path, ended);
    milter.join();
    ::unlink(path.c_str());
    if (!well && !asked) log::error("{}: libmilter gave up listening; see its own log lines", path);
    if (!callbacks_finished(service)) log::warning("a session did not end in time");
    return well || asked;
}

int start(const Settings& settings) {
    const auto& milter = settings.milter;
    const auto mode = parse_socket_mode(milter.socket_mode);
    if (!mode) {
        log::error("milter.socket_mode: {}", mode.error().message);
        return 1;
    }
    raise_descriptor_limit();
    const auto listening = listen_unix_for_postfix(milter.socket, *mode);
    if (!listening) {
        log::error("{}", listening.error().message);
        return 1;
    }
    // Before any thread, so that all inherit it.
    const auto set = ending_signals();
    ::pthread_sigmask(SIG_BLOCK, &set, nullptr);

    // Never destroyed: libmilter does not wait for its session threads when the program ends.
    const auto& cache = *open_cache_for_reading(settings.cache.directory).release();
    auto& notices = *new NoticeSender(settings.notice.socket);
    auto& service = *new MilterService(
        settings, milter.host_token.empty() ? host_name() : milter.host_token, cache,
        [&notices](const Notice& notice) { return notices.send(notice); });
    if (const auto registered = register_milter(service, *listening); !registered) {
        ::unlink(milter.socket.c_str());
        log::error("{}", registered.error().message);
        return 1;
    }
    // content_timeout, too: its default of 300 s holds the client up when we hang in a message.
    log::info(
        "listening on {}; for main.cf: smtpd_milters = {{ unix:{}, connect_timeout=3s, "
        "command_timeout=5s, content_timeout=5s, default_action=accept }}",
        milter.socket, as_postfix_writes(milter.socket));
    const bool well = serve(service, milter.socket);
    log::info("ended");
    return well ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
    CLI::App app{"Tags messages whose next hop is ill, for Postfix's smtpd_milters.", program};
    std::string file = default_config_file;
    app.add_option("-c,--config", file, "Configuration file")->capture_default_str();
    app.set_version_flag("--version", fmt::format("{} {}", program, POSTFATHOM_VERSION));
    CLI11_PARSE(app, argc, argv);

    const auto settings = load_settings_or_defaults(file);
    if (!settings) {
        fmt::print(stderr, "{}: {}\n", program, settings.error().message);
        return 1;
    }
    log::start(program, settings->log.target, settings->log.level);
    try {
        return start(*settings);
    } catch (const std::exception& caught) {
        log::error("cannot go on: {}", caught.what());
        return 1;
    }
}
