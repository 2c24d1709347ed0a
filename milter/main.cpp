// SPDX-License-Identifier: Apache-2.0
// postfathom-milter: tags messages whose next hop is ill, removes forged tags, learns routes. Stays
// in the foreground. Postfix goes on without it when it is not there.
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sysexits.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include "lib/base/descriptor.hpp"
#include "lib/base/host_name.hpp"
#include "lib/base/log.hpp"
#include "lib/base/text.hpp"
#include "lib/cache/lmdb_cache.hpp"
#include "lib/config/load.hpp"
#include "lib/confine/confine.hpp"
#include "lib/net/listener.hpp"
#include "lib/net/service_manager.hpp"
#include "lib/postfix/hook_lines.hpp"
#include "milter/callbacks.hpp"

using namespace postfathom;

namespace {

constexpr const char* program = "postfathom-milter";
constexpr std::string_view status_line = "tagging messages whose next hop is ill";

constexpr int told_clients_every_ms = 2000;

// What signals ask for. libmilter waits for the same signals in a thread of its own, and ends at
// each of them, at SIGHUP too. A signal goes to the first thread as long as that one does not block
// it, and it never does, not even in the handler (SA_NODEFER); so that libmilter gets none.
volatile std::sig_atomic_t end_asked = 0;
volatile std::sig_atomic_t reload_asked = 0;
int wake_writer = -1;

void wake() {
    const std::uint64_t one = 1;
    // Full means awake.
    [[maybe_unused]] const auto written = ::write(wake_writer, &one, sizeof one);
}

void on_signal(int number) {
    const int kept = errno;
    if (number == SIGHUP)
        reload_asked = 1;
    else
        end_asked = 1;
    wake();
    errno = kept;
}

sigset_t our_signals() {
    sigset_t set;
    sigemptyset(&set);
    for (const int number : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&set, number);
    return set;
}

bool take_signals() {
    wake_writer = ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (wake_writer < 0) return false;
    struct sigaction action{};
    action.sa_handler = on_signal;
    action.sa_flags = SA_NODEFER;
    for (const int number : {SIGTERM, SIGINT, SIGHUP}) ::sigaction(number, &action, nullptr);
    return true;
}

void log_lines(std::string_view before, const std::string& text) {
    for (const auto line : split(text, '\n'))
        if (!line.empty()) log::error("{}{}", before, line);
}

std::string token_of(const Settings& settings) {
    return settings.milter.host_token.empty() ? host_name() : settings.milter.host_token;
}

// Sessions that are there go on as they were agreed; those that come are of the new settings.
void reload(const std::string& file, const Settings& started_with, MilterService& service) {
    const auto fresh = load_settings_or_defaults(file);
    if (!fresh) {
        log_lines("reload refused, the settings in force stay: ", fresh.error().message);
        return;
    }
    log::set_level(fresh->log.level);
    service.reload(*fresh, token_of(*fresh));
    const bool more = fresh->milter.socket != started_with.milter.socket ||
                      fresh->milter.rights != started_with.milter.rights ||
                      fresh->cache.directory != started_with.cache.directory ||
                      fresh->notice.socket != started_with.notice.socket ||
                      fresh->confinement.mode != started_with.confinement.mode ||
                      fresh->log.target != started_with.log.target;
    log::info(
        "{}: settings reloaded, for sessions that begin now{}", file,
        more ? "; changed sockets, directories, confinement and log.target take a restart" : "");
}

// Until a signal asks for the end, or libmilter gives up.
void wait_for_the_end(const std::atomic<bool>& ended, const std::string& file,
                      const Settings& settings, MilterService& service) {
    tell_ready(status_line);
    const bool manager_watches = watchdog_interval().has_value();
    using Clock = std::chrono::steady_clock;
    auto next_turn = Clock::now();
    bool alive = true;
    while (!ended && end_asked == 0) {
        pollfd waiting{.fd = wake_writer, .events = POLLIN, .revents = 0};
        ::poll(&waiting, 1, told_clients_every_ms);
        std::uint64_t count = 0;
        // Nothing to read: the time has come, or another signal has read it.
        [[maybe_unused]] const auto got = ::read(wake_writer, &count, sizeof count);
        if (reload_asked != 0) {
            reload_asked = 0;
            tell_reloading();
            reload(file, settings, service);
            tell_ready(status_line);
        }
        const auto now = Clock::now();
        if (now >= next_turn) {
            next_turn = now + std::chrono::seconds{1};
            const bool was_alive = std::exchange(alive, service.running.next_turn());
            if (was_alive && !alive)
                log::error("a session has been in one step for seconds: it hangs{}",
                           manager_watches ? "; the service manager will end and restart us" : "");
        }
        if (manager_watches && alive) tell_alive();
        service.tell_clients();
        service.tell_times(now);
    }
}

// Sessions end after the command they are in.
bool callbacks_finished(const MilterService& service) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds{2};
    while (service.running.count() > 0) {
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
bool serve(const std::string& file, const Settings& settings, MilterService& service) {
    const auto& path = settings.milter.socket;
    std::atomic<bool> ended{false};
    bool well = false;
    const auto set = our_signals();
    ::pthread_sigmask(SIG_BLOCK, &set, nullptr);  // inherited by libmilter's threads
    std::thread milter([&] {
        well = run_milter();
        ended = true;
        wake();
    });
    ::pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
    wait_for_the_end(ended, file, settings, service);
    const bool asked = !ended;
    tell_stopping();
    if (asked) end_listener(path, ended);
    milter.join();
    remove_socket(path);
    if (!well && !asked) log::error("{}: libmilter gave up listening; see its own log lines", path);
    if (!callbacks_finished(service)) log::warning("a session did not end in time");
    service.tell_clients();
    return well || asked;
}

int start(const std::string& file, const Settings& settings) {
    const auto& milter = settings.milter;
    raise_descriptor_limit();
    const auto place = socket_place_for_postfix(milter.socket, milter.rights);
    const auto listening =
        place ? listen_unix(*place) : Result<int>(tl::make_unexpected(place.error()));
    if (!listening) {
        log::error("{}", listening.error().message);
        return EX_UNAVAILABLE;
    }
    if (!take_signals()) {
        log::error("eventfd: {}", std::strerror(errno));
        return EX_UNAVAILABLE;
    }
    // Never destroyed: libmilter does not wait for its session threads when the program ends.
    const auto& cache = *open_cache_for_reading(settings.cache.directory).release();
    auto& notices = *new NoticeSender(settings.notice.socket);
    auto& service =
        *new MilterService(settings, token_of(settings), cache,
                           [&notices](const Notice& notice) { return notices.send(notice); });
    auto ready = register_milter(service, *listening);
    // Before libmilter's threads begin.
    if (ready)
        ready = confine(milter_needs(settings, std::filesystem::absolute(file).string()),
                        settings.confinement.mode);
    if (!ready) {
        remove_socket(milter.socket);
        log::error("{}", ready.error().message);
        return EX_UNAVAILABLE;
    }
    log::info("listening on {}; for main.cf: smtpd_milters = {}", milter.socket,
              milter_entry("unix:" + as_postfix_writes(milter.socket)));
    const bool well = serve(file, settings, service);
    log::info("ended");
    return well ? 0 : EX_SOFTWARE;
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
        return EX_CONFIG;
    }
    log::start(program, settings->log.target, settings->log.level);
    try {
        return start(file, *settings);
    } catch (const std::exception& caught) {
        log::error("cannot go on: {}", caught.what());
        return EX_SOFTWARE;
    }
}
