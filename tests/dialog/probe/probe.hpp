// SPDX-License-Identifier: Apache-2.0
// Probes from the client's namespace of topology.sh.
#pragma once

#include <doctest/doctest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstdlib>
#include <string>
#include <utility>

#include "lib/diagnosis/diagnose.hpp"
#include "lib/net/deadline.hpp"
#include "probes/engine.hpp"

namespace postfathom {

inline constexpr const char* server_v4 = "198.51.100.2";
inline constexpr const char* server_v6 = "2001:db8:2::2";

inline Settings::Probe quick_settings() {
    Settings::Probe settings;
    settings.ehlo_name = "client.example.org";
    settings.connect_timeout = Millis{3000};
    settings.greeting_timeout = Millis{4000};
    settings.reply_timeout = Millis{4000};
    settings.handshake_timeout = Millis{6000};
    settings.timeout = Millis{40'000};
    return settings;
}

inline ProbeRequest request_to(const char* address, std::uint16_t port) {
    ProbeRequest request;
    request.next_hop = NextHop{address, false, IpAddress::parse(address), port};
    request.verbatim = address;
    if (const char* ca_file = std::getenv("TEST_CA_FILE")) request.ca_file = ca_file;
    return request;
}

inline asio::awaitable<void> probe_into(ProbeEngine& engine, ProbeRequest request, Report& report) {
    ProgressSink no_sink;
    report = co_await engine.probe(std::move(request), std::move(no_sink));
}

inline Report probe(ProbeRequest request, const Settings::Probe& settings = quick_settings()) {
    asio::io_context io;
    ProbeEngine engine(settings);
    Report report;
    std::exception_ptr thrown;
    asio::co_spawn(io, probe_into(engine, std::move(request), report),
                   [&thrown](std::exception_ptr e) { thrown = e; });
    io.run();
    REQUIRE_FALSE(thrown);
    REQUIRE(report.endpoints.size() == 1);
    const auto& evidence = report.endpoints.front().evidence;
    MESSAGE(brief(report.diagnosis)
            << ": " << evidence.connections << " connections, " << evidence.aborted
            << " left unfinished, " << evidence.seconds << " s");
    return report;
}

inline Report probe(std::uint16_t port) { return probe(request_to(server_v4, port)); }

inline const Evidence& evidence_of(const Report& report) {
    return report.endpoints.front().evidence;
}

}  // namespace postfathom
