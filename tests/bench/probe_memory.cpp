// SPDX-License-Identifier: Apache-2.0
// The memory of a process with very many probes in flight.
#include <fmt/core.h>
#include <sys/resource.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <cstdio>
#include <fstream>

#include "tests/bench/probe_bench.hpp"

namespace postfathom::bench {

namespace {

using Clock = std::chrono::steady_clock;
using Seconds = std::chrono::duration<double>;

constexpr double aim_megabytes = 250;

double megabytes(std::string_view field) {
    std::ifstream status("/proc/self/status");
    std::string name;
    double kilobytes = 0;
    while (status >> name) {
        if (name != field) continue;
        status >> kilobytes;
        break;
    }
    return kilobytes / 1024;
}

struct Flight {
    int in_handshake = 0;  // have come so far
    int over = 0;
    int largest = 0;  // in flight in a handshake at the same time
    std::uint64_t connections = 0;
};

asio::awaitable<void> one_in_flight(ProbeEngine& engine, std::uint16_t port, Flight& flight) {
    bool counted = false;
    ProgressSink sink = [&](const ProbeProgress& progress) {
        if (counted || progress.phase != Phase::handshake) return;
        counted = true;
        ++flight.in_handshake;
        flight.largest = std::max(flight.largest, flight.in_handshake - flight.over);
    };
    const auto report = co_await engine.probe(request_to(port), std::move(sink));
    for (const auto& endpoint : report.endpoints)
        flight.connections += endpoint.evidence.connections;
    ++flight.over;
}

// In a process of its own, which holds nothing else.
int fly(const Options& options, const Files& files, std::uint16_t port) {
    auto settings = settings_of(files);
    settings.ca_file.clear();  // the system's trust store, as in the daemon
    // A thousand greetings at a time take the one server a while.
    settings.timeout = std::chrono::seconds(options.patience);
    settings.greeting_timeout = settings.connect_timeout = settings.timeout;
    const auto before = megabytes("VmRSS:");
    ProbeEngine engine(settings);
    asio::io_context io(1);
    Flight flight;
    const auto started = Clock::now();
    for (int i = 0; i < options.in_flight; ++i)
        asio::co_spawn(io, one_in_flight(engine, port, flight), asio::detached);
    io.run();
    const auto peak = megabytes("VmHWM:");
    print({fmt::format("memory of {} probes in flight ({} connections, {:.0f} s)", flight.largest,
                       flight.connections, Seconds(Clock::now() - started).count()),
           fmt::format("{:.0f} MB", peak), "before", fmt::format("{:.0f} MB", before), "",
           fmt::format("at most {:.0f} MB", aim_megabytes)});
    if (flight.largest >= options.in_flight) return 0;
    fmt::print(stderr, "bench_probe: not all were in flight at the same time\n");
    return 1;
}

// Each probe may have some connections at a time.
bool allow_descriptors(int in_flight) {
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    return ::setrlimit(RLIMIT_NOFILE, &limit) == 0 &&
           limit.rlim_cur >= static_cast<rlim_t>(in_flight) * 4;
}

}  // namespace

void measure_memory(const Options& options, const Files& files) {
    if (!allow_descriptors(options.in_flight))
        give_up(fmt::format("too few open files allowed for {} probes", options.in_flight));
    const Server server(files, true);
    Child child([&] {
        const int status = fly(options, files, server.port());
        std::fflush(nullptr);
        return status;
    });
    if (child.wait() != 0) give_up("memory was not measured");
}

}  // namespace postfathom::bench
