// SPDX-License-Identifier: Apache-2.0
// `postfathom probe`: one probe from this process, without the daemon.
#include <fmt/core.h>
#include <unistd.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/json/serialize.hpp>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "cli/commands.hpp"
#include "lib/base/text.hpp"
#include "lib/config/duration.hpp"
#include "lib/diagnosis/report.hpp"
#include "probes/engine.hpp"

namespace postfathom {

namespace {

namespace asio = boost::asio;

constexpr int exit_could_not_tell = 3;

// One line on the terminal that is written again and again.
class ProgressLine {
  public:
    ProgressLine() : shown_(::isatty(STDERR_FILENO) == 1) {}
    ~ProgressLine() { clear(); }
    ProgressLine(const ProgressLine&) = delete;
    ProgressLine& operator=(const ProgressLine&) = delete;

    void show(const ProbeProgress& progress) {
        if (!shown_) return;
        // Erases to the end of the line, so that a shorter text leaves nothing behind. Without
        // wrapping, or the rewriting would fill the screen.
        fmt::print(stderr, "\r\x1b[?7l{}\x1b[K\x1b[?7h", text(progress));
        std::fflush(stderr);
        dirty_ = true;
    }

    void clear() {
        if (!dirty_) return;
        fmt::print(stderr, "\r\x1b[K");
        std::fflush(stderr);
        dirty_ = false;
    }

  private:
    static std::string text(const ProbeProgress& progress) {
        if (progress.endpoint.empty()) return "looking up the servers";
        auto line = fmt::format("{}: {}", printable(progress.endpoint), to_string(progress.phase));
        if (progress.trying)
            line += fmt::format(", packets up to {} bytes", progress.trying->bytes);
        if (progress.passes) line += fmt::format(", {} passes", progress.passes->bytes);
        if (progress.fails) line += fmt::format(", {} fails", progress.fails->bytes);
        if (progress.connections > 1) line += fmt::format(", connection {}", progress.connections);
        return line;
    }

    bool shown_;
    bool dirty_ = false;
};

Result<std::optional<Service>> service_of(const std::string& text) {
    if (text.empty()) return std::optional<Service>{};
    if (const auto service = parse_service(text)) return service;
    return fail(
        ErrorCode::invalid_input,
        fmt::format("--service: found \"{}\", expected smtp, submission, smtps, imap or imaps",
                    printable(text)));
}

Result<ProbeRequest> request_of(const ProbeOptions& options, const Settings& settings) {
    const auto next_hop = parse_next_hop(options.destination);
    if (!next_hop) return tl::make_unexpected(next_hop.error());
    ProbeRequest request;
    request.next_hop = *next_hop;
    request.verbatim = options.destination;
    request.port = options.port;
    request.name = options.name;
    request.ca_file = options.ca_file;
    request.floor = settings.tls.floor;
    const auto service = service_of(options.service);
    if (!service) return tl::make_unexpected(service.error());
    request.service = *service;
    if (!options.source.empty()) {
        request.source = IpAddress::parse(options.source);
        if (!request.source)
            return fail(ErrorCode::invalid_input,
                        fmt::format("--source: found \"{}\", expected an address of this host",
                                    printable(options.source)));
        request.family = request.source->family();
    }
    if (options.v4 || options.v6) {
        const auto family = options.v4 ? IpFamily::v4 : IpFamily::v6;
        if (request.family && *request.family != family)
            return fail(ErrorCode::invalid_input,
                        fmt::format("--source {} is of the other family than {}", options.source,
                                    options.v4 ? "-4" : "-6"));
        request.family = family;
    }
    return request;
}

Result<Settings::Probe> settings_of(const ProbeOptions& options, const Settings& settings) {
    auto result = settings.probe;
    if (options.timeout.empty()) return result;
    const auto timeout = parse_duration(options.timeout);
    if (!timeout || timeout->count() <= 0)
        return fail(ErrorCode::invalid_input,
                    fmt::format("--timeout: found \"{}\", expected a duration such as \"90s\"",
                                printable(options.timeout)));
    result.timeout = *timeout;
    return result;
}

// What is shared by the probe and the signals that may end it.
struct Session {
    asio::io_context io;
    asio::signal_set signals{io, SIGINT, SIGTERM};
    asio::cancellation_signal stop;
    ProgressLine line;
    std::optional<Report> report;
    int signal = 0;
    std::exception_ptr thrown;
};

asio::awaitable<void> run(ProbeEngine& engine, ProbeRequest request, Session& session) {
    ProgressSink sink = [&session](const ProbeProgress& progress) { session.line.show(progress); };
    session.report = co_await engine.probe(std::move(request), std::move(sink));
}

void print(const Report& report, bool as_json) {
    if (as_json) {
        fmt::print("{}\n", boost::json::serialize(to_json(report)));
        return;
    }
    const bool colour = ::isatty(STDOUT_FILENO) == 1 && std::getenv("NO_COLOR") == nullptr;
    fmt::print("{}", to_text(report, colour));
}

}  // namespace

int run_probe(const ProbeOptions& options, const Settings& settings) {
    auto request = request_of(options, settings);
    const auto probe_settings = settings_of(options, settings);
    if (!request || !probe_settings) {
        fmt::print(stderr, "postfathom probe: {}\n",
                   request ? probe_settings.error().message : request.error().message);
        return exit_could_not_tell;
    }
    Session session;
    ProbeEngine engine(*probe_settings);
    session.signals.async_wait([&session](const boost::system::error_code& error, int signal) {
        if (error) return;
        session.signal = signal;
        // The probe unwinds and its connections are closed.
        session.stop.emit(asio::cancellation_type::terminal);
    });
    asio::co_spawn(
        session.io, run(engine, std::move(*request), session),
        asio::bind_cancellation_slot(session.stop.slot(), [&session](std::exception_ptr thrown) {
            session.thrown = thrown;
            session.signals.cancel();
        }));
    session.io.run();
    session.line.clear();
    if (session.signal != 0) {
        fmt::print(stderr, "postfathom probe: interrupted\n");
        return 128 + session.signal;  // as a shell reports it
    }
    if (session.thrown) std::rethrow_exception(session.thrown);
    if (!session.report) return exit_could_not_tell;
    print(*session.report, options.json);
    return exit_status(session.report->diagnosis);
}

}  // namespace postfathom
