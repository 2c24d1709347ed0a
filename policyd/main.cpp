// SPDX-License-Identifier: Apache-2.0
// postfathom-policyd: answers Postfix from the probe cache. Runs in the foreground.
#include <sysexits.h>

#include <CLI/CLI.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <csignal>
#include <cstdio>
#include <filesystem>

#include "lib/base/log.hpp"
#include "lib/base/text.hpp"
#include "lib/cache/lmdb_cache.hpp"
#include "lib/config/load.hpp"
#include "lib/confine/confine.hpp"
#include "lib/net/listener.hpp"
#include "lib/net/notice.hpp"
#include "lib/net/service_manager.hpp"
#include "lib/postfix/hook_lines.hpp"
#include "policyd/server.hpp"
#include "policyd/watchdog.hpp"

namespace postfathom {

namespace {

constexpr const char* program = "postfathom-policyd";
constexpr std::string_view status_line = "answering Postfix from the probe cache";

void say_what_to_paste(const Settings& settings) {
    if (!settings.tables.socket.empty()) {
        const auto place = as_postfix_writes(settings.tables.socket);
        log::info(
            "ready; in main.cf, LAST in smtp_tls_policy_maps: socketmap:unix:{}:tls (mail is "
            "deferred while it does not answer)",
            place);
        log::info(
            "ready; in main.cf, in smtp_discard_ehlo_keyword_address_maps: socketmap:unix:{}:ehlo "
            "(mail is deferred while it does not answer)",
            place);
    }
    if (settings.policy.listen)
        log::info("ready; or, over TCP: {}",
                  policy_check("inet:" + to_string(*settings.policy.listen)));
    log::info("ready; in main.cf: smtp_delivery_status_filter = socketmap:unix:{}:dsn",
              as_postfix_writes(settings.dsn.socket));
    log::info("ready; in main.cf, first in smtpd_recipient_restrictions: {}",
              policy_check("unix:" + as_postfix_writes(settings.policy.socket)));
}

// What sessions read at each request changes at once; sockets and files are opened at the start.
void reload(const std::string& file, Settings& settings) {
    const auto fresh = load_settings_or_defaults(file);
    if (!fresh) {
        for (const auto line : split(fresh.error().message, '\n'))
            if (!line.empty()) log::error("reload refused, the settings in force stay: {}", line);
        return;
    }
    settings.log.level = fresh->log.level;
    settings.cache.age = fresh->cache.age;
    settings.policy.mode = fresh->policy.mode;
    settings.policy.max_connections = fresh->policy.max_connections;
    settings.policy.request_timeout = fresh->policy.request_timeout;
    settings.defer = fresh->defer;
    settings.routes = fresh->routes;
    settings.tls.floor = fresh->tls.floor;
    settings.tables.tls_next_hops = fresh->tables.tls_next_hops;
    settings.tables.ehlo_addresses = fresh->tables.ehlo_addresses;
    settings.dsn.log_wait = fresh->dsn.log_wait;
    settings.milter.host_token = fresh->milter.host_token;
    log::set_level(settings.log.level);
    const bool more = settings.policy.socket != fresh->policy.socket ||
                      settings.policy.listen != fresh->policy.listen ||
                      settings.dsn.socket != fresh->dsn.socket ||
                      settings.tables.socket != fresh->tables.socket ||
                      settings.policy.rights != fresh->policy.rights ||
                      settings.dsn.rights != fresh->dsn.rights ||
                      settings.tables.rights != fresh->tables.rights ||
                      settings.mail_log != fresh->mail_log ||
                      settings.cache.directory != fresh->cache.directory ||
                      settings.notice.socket != fresh->notice.socket ||
                      settings.confinement.mode != fresh->confinement.mode;
    log::info("{}: read again{}", file,
              more ? "; changed sockets, files, directories and confinement need a restart" : "");
}

void on_signals(boost::asio::signal_set& signals, const std::string& file, Settings& settings,
                Server& server, Watchdog& watchdog) {
    signals.async_wait([&](boost::system::error_code error, int number) {
        if (error) return;
        if (number == SIGHUP) {
            tell_reloading();
            reload(file, settings);
            tell_ready(status_line);
            return on_signals(signals, file, settings, server, watchdog);
        }
        log::info("ending on {}; Postfix goes on without us",
                  number == SIGINT ? "SIGINT" : "SIGTERM");
        tell_stopping();
        server.stop();
        watchdog.stop();
    });
}

int run(const std::string& file) {
    auto settings = load_settings_or_defaults(file);
    if (!settings) {
        std::fprintf(stderr, "%s: %s\n", program, settings.error().message.c_str());
        return EX_CONFIG;
    }
    log::start(program, settings->log.target, settings->log.level);
    std::signal(SIGPIPE, SIG_IGN);
    raise_descriptor_limit();

    boost::asio::io_context io(1);  // one thread
    const auto cache = open_cache_for_reading(settings->cache.directory);
    NoticeSender notices(settings->notice.socket);
    Server server(io, *settings, *cache, notices);
    if (auto listens = server.listen(); !listens) {
        log::error("{}", listens.error().message);
        return EX_UNAVAILABLE;
    }
    // Before the watchdog's thread and journalctl(1) begin.
    if (auto confined = confine(policyd_needs(*settings, std::filesystem::absolute(file).string(),
                                              surroundings_of_process()),
                                settings->confinement.mode);
        !confined) {
        log::error("{}", confined.error().message);
        server.stop();
        return EX_UNAVAILABLE;
    }
    server.start();
    for (const auto& place : unclaimed_sockets())
        log::warning("{}: the service manager passed this socket, and no setting names it", place);
    say_what_to_paste(*settings);
    boost::asio::signal_set signals(io, SIGTERM, SIGINT, SIGHUP);
    Watchdog watchdog(io);
    on_signals(signals, file, *settings, server, watchdog);
    tell_ready(status_line);
    io.run();
    return 0;
}

}  // namespace

}  // namespace postfathom

int main(int argc, char** argv) {
    CLI::App app(
        "Answers Postfix from Postfathom's probe cache: policy delegation, and the socketmap "
        "tables dsn for smtp_delivery_status_filter, tls for smtp_tls_policy_maps and ehlo for "
        "smtp_discard_ehlo_keyword_address_maps. Runs in the foreground.");
    std::string file = postfathom::default_config_file;
    app.add_option("-c,--config", file, "Configuration file")->capture_default_str();
    app.set_version_flag("--version", std::string(postfathom::program) + " " POSTFATHOM_VERSION);
    CLI11_PARSE(app, argc, argv);
    return postfathom::run(file);
}
