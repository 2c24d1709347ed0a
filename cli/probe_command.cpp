// SPDX-License-Identifier: Apache-2.0
// `postfathom probe`: one probe from this process, without the daemon.
#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <exception>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cli/commands.hpp"
#include "cli/terminal.hpp"
#include "lib/base/text.hpp"
#include "lib/config/duration.hpp"
#include "lib/diagnosis/comparison.hpp"
#include "lib/diagnosis/report.hpp"
#include "probes/engine.hpp"

namespace postfathom {

namespace {

namespace asio = boost::asio;

std::string in_words(const ProbeProgress& progress) {
    if (progress.endpoint.empty()) return "looking up the servers";
    auto line = fmt::format("{}: {}", printable(progress.endpoint), to_string(progress.phase));
    if (progress.trying) line += fmt::format(", packets up to {} bytes", progress.trying->bytes);
    if (progress.passes) line += fmt::format(", {} passes", progress.passes->bytes);
    if (progress.fails) line += fmt::format(", {} fails", progress.fails->bytes);
    if (progress.connections > 1) line += fmt::format(", connection {}", progress.connections);
    return line;
}

Result<std::vector<Service>> services_of(const ProbeOptions& options) {
    std::vector<Service> services;
    for (const auto& text : options.services) {
        const auto service = parse_service(text);
        if (!service)
            return fail(ErrorCode::invalid_input,
                        fmt::format("--service: found \"{}\", expected smtp, submission, smtps, "
                                    "imap or imaps",
                                    printable(text)));
        services.push_back(*service);
    }
    return services;
}

Result<ProbeRequest> request_of(const ProbeOptions& options, const Settings& settings) {
    const auto next_hop = parse_next_hop(options.destination);
    if (!next_hop) return tl::make_unexpected(next_hop.error());
    ProbeRequest request;
    request.next_hop = *next_hop;
    request.verbatim = options.destination;
    if (options.ports.size() > 1 || options.services.size() > 1) {
        if (!options.compare)
            return fail(ErrorCode::invalid_input,
                        "--service and --port are taken once, unless with --compare");
    }
    if (!options.compare && !options.ports.empty()) {
        // The place that suggestions are for, in Postfix's own spelling.
        request.next_hop.port = options.ports.front();
        request.verbatim = to_string(request.next_hop);
    }
    request.name = options.name;
    request.ca_file = options.ca_file;
    request.hello_bytes = options.hello_bytes;
    request.ask_sizes = options.sizes;
    request.floor = settings.tls.floor;
    request.own_tables_socket = settings.tables.socket;
    request.trust_anchor = settings.tls.trust_anchor;
    request.mta_sts = settings.tls.mta_sts;
    request.try_resumption = true;
    const auto services = services_of(options);
    if (!services) return tl::make_unexpected(services.error());
    if (!options.compare && !services->empty()) request.service = services->front();
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

constexpr std::array every_service{Service::smtp, Service::submission, Service::smtps,
                                   Service::imap, Service::imaps};

// What to compare: all five services, each service at its port, each port with its service, one
// service at several ports, or service and port in pairs.
Result<std::vector<ServicePort>> places_of(const ProbeOptions& options) {
    auto services = services_of(options);
    if (!services) return tl::make_unexpected(services.error());
    const auto& ports = options.ports;
    std::vector<ServicePort> places;
    if (services->empty() && ports.empty())
        services->assign(every_service.begin(), every_service.end());
    if (ports.empty())
        for (const auto service : *services) places.push_back({service, default_port(service)});
    else if (services->empty())
        for (const auto port : ports) places.push_back({service_for_port(port), port});
    else if (services->size() == 1 || services->size() == ports.size())
        for (std::size_t i = 0; i < ports.size(); ++i)
            places.push_back(
                {services->size() == 1 ? services->front() : (*services)[i], ports[i]});
    else
        return fail(ErrorCode::invalid_input,
                    fmt::format("found {} of --service and {} of --port, expected one service, or "
                                "as many of the one as of the other",
                                services->size(), ports.size()));
    return places;
}

// A port that a firewall hides is found to be so sooner: there are many to try.
constexpr Millis connect_timeout_of_many{10'000};

Result<Settings::Probe> settings_of(const ProbeOptions& options, const Settings& settings) {
    auto result = settings.probe;
    if (options.compare)
        result.connect_timeout = std::min(result.connect_timeout, connect_timeout_of_many);
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
    std::vector<Report> reports;
    int signal = 0;
    std::exception_ptr thrown;
};

asio::awaitable<void> run_one(ProbeEngine& engine, ProbeRequest request, Session& session) {
    ProgressSink sink = [&session](const ProbeProgress& progress) {
        session.line.show(in_words(progress));
    };
    session.reports.push_back(co_await engine.probe(std::move(request), std::move(sink)));
}

asio::awaitable<void> run_each(ProbeEngine& engine, ProbeRequest request,
                               std::vector<ServicePort> places, Session& session) {
    ProgressSink sink = [&session](const ProbeProgress& progress) {
        session.line.show(in_words(progress));
    };
    session.reports =
        co_await engine.probe_each(std::move(request), std::move(places), std::move(sink));
}

// The exit status when it could not run to its end.
std::optional<int> run(Session& session, asio::awaitable<void> work) {
    session.signals.async_wait([&session](const boost::system::error_code& error, int signal) {
        if (error) return;
        session.signal = signal;
        // The probe unwinds and its connections are closed.
        session.stop.emit(asio::cancellation_type::terminal);
    });
    asio::co_spawn(
        session.io, std::move(work),
        asio::bind_cancellation_slot(session.stop.slot(), [&session](std::exception_ptr thrown) {
            session.thrown = std::move(thrown);
            session.signals.cancel();
        }));
    session.io.run();
    session.line.clear();
    if (session.signal != 0) {
        fmt::print(stderr, "postfathom probe: interrupted\n");
        return 128 + session.signal;  // as a shell reports it
    }
    if (session.thrown) std::rethrow_exception(session.thrown);
    if (session.reports.empty()) return exit_could_not_tell;
    return std::nullopt;
}

void print(const boost::json::object& object) {
    fmt::print("{}\n", boost::json::serialize(object));
}

int tell(const Report& report, bool as_json) {
    if (as_json)
        print(to_json(report));
    else
        fmt::print("{}", to_text(report, coloured()));
    return exit_status(report.diagnosis);
}

int tell_comparison(const std::string& host, const std::vector<Report>& reports, bool as_json) {
    if (reports.size() == 1 && reports.front().endpoints.empty() && !as_json)
        return tell(reports.front(), false);  // the host was not found
    auto comparison = compare(reports);
    if (comparison.endpoints.empty()) comparison.diagnosis = reports.front().diagnosis;
    if (as_json)
        print(to_json(host, reports, comparison));
    else
        fmt::print("{}", to_text(host, comparison, coloured()));
    return exit_status(comparison.diagnosis);
}

int cannot_ask(const Error& error) {
    fmt::print(stderr, "postfathom probe: {}\n", error.message);
    return exit_could_not_tell;
}

}  // namespace

int run_probe(const ProbeOptions& options, const Settings& settings) {
    auto request = request_of(options, settings);
    if (!request) return cannot_ask(request.error());
    const auto probe_settings = settings_of(options, settings);
    if (!probe_settings) return cannot_ask(probe_settings.error());
    auto places = places_of(options);
    if (!places) return cannot_ask(places.error());
    Session session;
    ProbeEngine engine(*probe_settings);
    const auto host = request->next_hop.host;
    std::optional<int> stopped;
    if (options.compare)
        stopped = run(session, run_each(engine, std::move(*request), std::move(*places), session));
    else
        stopped = run(session, run_one(engine, std::move(*request), session));
    if (stopped) return *stopped;
    return options.compare ? tell_comparison(host, session.reports, options.json)
                           : tell(session.reports.front(), options.json);
}

Result<Report> probe_once(const ProbeOptions& options, const Settings& settings) {
    auto request = request_of(options, settings);
    if (!request) return tl::make_unexpected(request.error());
    const auto probe_settings = settings_of(options, settings);
    if (!probe_settings) return tl::make_unexpected(probe_settings.error());
    Session session;
    ProbeEngine engine(*probe_settings);
    if (run(session, run_one(engine, std::move(*request), session)))
        return fail(ErrorCode::timed_out, "the probe was interrupted");
    return std::move(session.reports.front());
}

}  // namespace postfathom
