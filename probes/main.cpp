// SPDX-License-Identifier: Apache-2.0
// postfathom-probed: follows the mail log, runs probes, writes the cache, answers operators.
#include <fmt/format.h>
#include <sys/stat.h>
#include <sysexits.h>

#include <CLI/CLI.hpp>
#include <array>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/datagram_protocol.hpp>
#include <boost/asio/signal_set.hpp>
#include <csignal>
#include <cstdio>
#include <filesystem>

#include "lib/base/log.hpp"
#include "lib/base/text.hpp"
#include "lib/cache/lmdb_cache.hpp"
#include "lib/config/load.hpp"
#include "lib/confine/confine.hpp"
#include "lib/mail_log/source.hpp"
#include "lib/net/deadline.hpp"
#include "lib/net/indispensable.hpp"
#include "lib/net/listener.hpp"
#include "lib/net/notice.hpp"
#include "lib/net/service_manager.hpp"
#include "lib/postfix/configuration.hpp"
#include "lib/postfix/read_configuration.hpp"
#include "probes/admin_server.hpp"
#include "probes/daemon.hpp"
#include "probes/engine.hpp"
#include "probes/resolver.hpp"
#include "probes/socket_feed.hpp"
#include "probes/tlsrpt_feed.hpp"

namespace postfathom {
namespace {

using Datagrams = boost::asio::local::datagram_protocol;

constexpr std::string_view status_line = "following the mail log, probing, answering operators";

constexpr std::chrono::milliseconds first_refresh{10'000};
constexpr std::chrono::seconds resolve_timeout{15};

// The engine with the settings it looks at; probes under way keep theirs across a reload.
struct EngineInUse {
    explicit EngineInUse(const Settings::Probe& probe) : settings(probe), engine(settings) {}
    Settings::Probe settings;
    ProbeEngine engine;
};

// g++ 12 inlines one half of Asio's pair of frame allocation functions and then takes the other for
// a mismatch (seen at -O1 with sanitizers); both are awaitable_frame_base's own.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmismatched-new-delete"
asio::awaitable<Report> run_probe(std::shared_ptr<EngineInUse> in_use, ProbeRequest request,
                                  ProgressSink progress) {
    co_return co_await in_use->engine.probe(std::move(request), std::move(progress));
}
#pragma GCC diagnostic pop

ProbeFunction probe_function(const Settings& settings) {
    auto in_use = std::make_shared<EngineInUse>(settings.probe);
    return [in_use](ProbeRequest request, ProgressSink progress) {
        return run_probe(in_use, std::move(request), std::move(progress));
    };
}

asio::awaitable<ResolvedAddresses> addresses_of(std::shared_ptr<Resolver> resolver,
                                                NextHop next_hop) {
    const auto found = co_await resolver->resolve(std::move(next_hop), {}, resolve_timeout);
    ResolvedAddresses result;
    if (!found) co_return result;
    result.ttl = found->ttl;
    for (const auto& host : found->hosts) {
        result.addresses.insert(result.addresses.end(), host.addresses.begin(),
                                host.addresses.end());
        result.names.push_back(host.name);
    }
    co_return result;
}

ResolveFunction resolve_function() {
    auto resolver = std::make_shared<Resolver>();
    return [resolver](NextHop next_hop) { return addresses_of(resolver, std::move(next_hop)); };
}

asio::awaitable<void> receive_notices(Daemon& daemon, Datagrams::socket& socket) {
    // A longer datagram arrives cut, and is refused as broken JSON.
    std::array<char, max_notice_bytes + 1> buffer{};
    for (;;) {
        const auto result = co_await socket.async_receive(asio::buffer(buffer), use_result);
        const auto& [error, length] = result;
        if (error == asio::error::operation_aborted) co_return;
        if (error)
            co_await pause(std::chrono::seconds{1});
        else
            daemon.on_notice({buffer.data(), length});
    }
}

asio::awaitable<void> refresh_by_the_clock(Daemon& daemon) {
    auto wait = first_refresh;
    for (;;) {
        co_await pause(wait);
        try {
            wait = daemon.refresh();
        } catch (const std::exception& broken) {
            log::error("the cache was not looked through: {}", printable(broken.what()));
        }
    }
}

void log_lines(log::Level level, std::string_view before, const std::string& text) {
    for (const auto line : split(text, '\n'))
        if (!line.empty()) log::write(level, fmt::format("{}{}", before, line));
}

// What a running daemon cannot change.
bool needs_restart(const Settings& now, const Settings& then) {
    return now.cache.directory != then.cache.directory ||
           now.cache.max_bytes != then.cache.max_bytes ||
           now.cache.max_destinations != then.cache.max_destinations ||
           now.notice.socket != then.notice.socket || now.mail_log != then.mail_log ||
           now.tlsrpt != then.tlsrpt || now.admin.socket != then.admin.socket ||
           now.admin.rights != then.admin.rights || now.admin.http_port != then.admin.http_port ||
           now.confinement.mode != then.confinement.mode || now.log.target != then.log.target;
}

void reload(const std::string& file, Daemon& daemon, AdminServer& server) {
    const auto settings = load_settings_or_defaults(file);
    if (!settings) {
        log_lines(log::Level::error,
                  "reload refused, the settings in force stay: ", settings.error().message);
        return;
    }
    if (needs_restart(daemon.settings(), *settings))
        log::warning(
            "{}: changes of [cache], [confinement], sockets, [mail_log], [tlsrpt] and log.target "
            "take a "
            "restart",
            file);
    const auto& then = daemon.settings();
    if (settings->probe.ca_file != then.probe.ca_file)
        warn_if_out_of_reach("probe.ca_file", settings->probe.ca_file);
    if (settings->tls.trust_anchor != then.tls.trust_anchor)
        warn_if_out_of_reach("tls.trust_anchor", settings->tls.trust_anchor);
    log::set_level(settings->log.level);
    daemon.reload(*settings, probe_function(*settings));
    server.reload();
    log::info("{}: settings reloaded", file);
}

asio::awaitable<void> tell_manager() {
    const auto interval = watchdog_interval();
    while (interval) {
        tell_alive();
        co_await pause(*interval);
    }
}

asio::awaitable<void> obey_signals(asio::io_context& io, Daemon& daemon, AdminServer& server,
                                   std::string file) {
    asio::signal_set signals(io, SIGTERM, SIGINT, SIGHUP);
    for (;;) {
        const auto result = co_await signals.async_wait(use_result);
        const auto& [error, number] = result;
        if (error) co_return;
        if (number != SIGHUP) break;
        tell_reloading();
        reload(file, daemon, server);
        tell_ready(status_line);
    }
    tell_stopping();
    io.stop();
}

// Beside the cache, since whoever copies or removes one means the other as well.
MailLogPlace mail_log_place(const Settings& settings) {
    const auto& log = settings.mail_log;
    return {log.journal, log.file,
            settings.cache.directory + (log.journal ? "/journal.position" : "/mail_log.position")};
}

MailLogPlace dovecot_log_place(const Settings& settings) {
    return {false, settings.mail_log.dovecot_file,
            settings.cache.directory + "/dovecot_log.position"};
}

Result<int> admin_socket(const Settings& settings) {
    const auto place = socket_place(settings.admin.socket, settings.admin.rights);
    if (!place) return tl::make_unexpected(place.error());
    return listen_unix(*place);
}

// Nothing where none is wanted.
Result<std::optional<int>> http_socket(const Settings& settings) {
    if (settings.admin.http_port == 0) return std::nullopt;
    const auto listening = listen_tcp(IpAddress::from_v4({127, 0, 0, 1}),
                                      static_cast<std::uint16_t>(settings.admin.http_port));
    if (!listening) {
        auto error = listening.error();
        error.message = "admin.http_port: " + error.message;
        return tl::make_unexpected(std::move(error));
    }
    return *listening;
}

int fail_to_start(const Error& error, int status) {
    log_lines(log::Level::error, "cannot start: ", error.message);
    return status;
}

// Where postconf(1) and postmap(1) read, so that they can be asked for TLS levels. A table that
// they could not read would tell nothing of a level above tls.floor.
Surroundings surroundings() {
    auto found = surroundings_of_process();
    const auto printed =
        postconf("", {"-x", "config_directory", "data_directory", "meta_directory",
                      "queue_directory", "shlib_directory", "smtp_tls_policy_maps"});
    if (!printed) return found;
    for (const auto& [name, value] : parse_parameters(*printed)) {
        if (name.ends_with("_directory") && value.starts_with('/'))
            found.directories.push_back(value);
        if (name == "smtp_tls_policy_maps")
            for (auto& path : paths_in(value)) found.files.push_back(std::move(path));
    }
    return found;
}

int serve(const std::string& file, const Settings& settings) {
    raise_descriptor_limit();
    auto cache = open_cache_for_writing(
        settings.cache.directory, {settings.cache.max_bytes, settings.cache.max_destinations});
    if (!cache)
        return fail_to_start(cache.error(),
                             cache.error().code == ErrorCode::refused ? EX_UNAVAILABLE : EX_IOERR);
    const auto admin = admin_socket(settings);
    if (!admin) return fail_to_start(admin.error(), EX_UNAVAILABLE);
    const auto http = http_socket(settings);
    if (!http) return fail_to_start(http.error(), EX_UNAVAILABLE);
    const auto notices = bind_unix_datagram({settings.notice.socket, 0660, {}, {}});
    if (!notices) return fail_to_start(notices.error(), EX_UNAVAILABLE);

    const auto reports = open_tlsrpt_socket(settings.tlsrpt);
    // Before libunbound's and our own threads begin.
    if (auto confined = confine(
            probed_needs(settings, std::filesystem::absolute(file).string(), surroundings()),
            settings.confinement.mode);
        !confined)
        return fail_to_start(confined.error(), EX_UNAVAILABLE);

    asio::io_context io(1);
    Daemon daemon(io, settings, **cache, probe_function(settings), resolve_function());
    Datagrams::socket notice_socket(io, Datagrams(), *notices);
    AdminServer server(io, daemon, *admin, {});
    if (*http) server.also_listen(**http);
    const auto log_place = mail_log_place(settings);
    const auto mail_log =
        open_mail_log(io.get_executor(), log_place,
                      [&daemon](std::string_view line) { daemon.on_log_line(line); });
    if (mail_log) mail_log->start();
    const auto dovecot_log =
        open_mail_log(io.get_executor(), dovecot_log_place(settings),
                      [&daemon](std::string_view line) { daemon.on_dovecot_line(line); });
    if (dovecot_log) dovecot_log->start();
    start_socket_feed(io, daemon);
    if (reports) start_tlsrpt_feed(io, daemon, *reports);
    server.start();
    asio::co_spawn(io, receive_notices(daemon, notice_socket), indispensable);
    asio::co_spawn(io, refresh_by_the_clock(daemon), indispensable);
    asio::co_spawn(io, tell_manager(), indispensable);
    asio::co_spawn(io, obey_signals(io, daemon, server, file), indispensable);
    const auto known = (*cache)->counters();
    log::info("ready: {} destinations known, admin socket {}, mail log {}", known.next_hops,
              settings.admin.socket, to_string(log_place));
    tell_ready(status_line);
    io.run();
    daemon.store_clients();
    log::info("ended");
    return 0;
}

}  // namespace
}  // namespace postfathom

int main(int argc, char** argv) {
    using namespace postfathom;
    CLI::App app(
        "Postfathom's prober: follows the mail log, probes destinations, keeps the cache.");
    std::string file = default_config_file;
    app.add_option("-c,--config", file, "Configuration file")->capture_default_str();
    app.set_version_flag("--version", POSTFATHOM_VERSION);
    CLI11_PARSE(app, argc, argv);

    const auto settings = load_settings_or_defaults(file);
    if (!settings) {
        fmt::print(stderr, "{}\n", settings.error().message);
        return EX_CONFIG;
    }
    log::start("postfathom-probed", settings->log.target, settings->log.level);
    // A client of a socket may go at any time.
    std::signal(SIGPIPE, SIG_IGN);
    return serve(file, *settings);
}
