// SPDX-License-Identifier: Apache-2.0
// The metrics: well-formed, with labels from closed sets, and numbers that are the daemon's.
#include "probes/metrics.hpp"

#include <doctest/doctest.h>

#include <boost/asio/io_context.hpp>
#include <limits>
#include <map>
#include <set>
#include <sstream>

#include "lib/net/deadline.hpp"
#include "tests/unit/probed/memory_cache.hpp"
#include "tests/unit/probed/reports.hpp"

using namespace postfathom;
using namespace std::chrono_literals;

namespace {

asio::awaitable<Report> probe_hole(ProbeRequest request) {
    auto report = test_report(to_string(request.next_hop), test_black_hole());
    for (auto& endpoint : report.endpoints) {
        endpoint.evidence.connections = 3;
        endpoint.evidence.aborted = 2;
        endpoint.evidence.timings = {{Phase::connect, 0.02}, {Phase::handshake, 7}};
    }
    co_return report;
}

asio::awaitable<ResolvedAddresses> resolve_nothing(NextHop) { co_return ResolvedAddresses{}; }

struct MetricsBench {
    MetricsBench() {
        settings.probe.min_interval = 0ms;
        daemon.emplace(
            io, settings, cache,
            [](ProbeRequest request, ProgressSink) { return probe_hole(std::move(request)); },
            [](NextHop next_hop) { return resolve_nothing(std::move(next_hop)); });
    }
    // Sample and its value, as text.
    std::map<std::string, std::string> samples() const {
        std::map<std::string, std::string> found;
        std::istringstream text(metrics_text(*daemon, 12s));
        for (std::string line; std::getline(text, line);) {
            if (line.starts_with("#")) continue;
            const auto blank = line.rfind(' ');
            REQUIRE(found.emplace(line.substr(0, blank), line.substr(blank + 1)).second);
        }
        return found;
    }
    void probe(const std::string& next_hop) {
        REQUIRE(daemon->ask(*parse_next_hop(next_hop), next_hop));
        const auto wanted = daemon->counters().schedule.finished + 1;
        const auto deadline = std::chrono::steady_clock::now() + 30s;
        while (daemon->counters().schedule.finished < wanted) {
            REQUIRE(std::chrono::steady_clock::now() < deadline);
            io.restart();
            io.run_for(2ms);
        }
    }

    Settings settings;
    MemoryCache cache;
    asio::io_context io{1};
    std::optional<Daemon> daemon;
};

}  // namespace

TEST_CASE("every sample has its family's help and type before it, and no family comes twice") {
    MetricsBench bench;
    bench.probe("example.org");
    std::istringstream text(metrics_text(*bench.daemon, 12s));
    std::set<std::string> families;
    std::string family;
    std::string helped;
    for (std::string line; std::getline(text, line);) {
        CAPTURE(line);
        if (line.starts_with("# HELP ")) {
            helped = line.substr(7, line.find(' ', 7) - 7);
            CHECK(line.size() > 7 + helped.size() + 10);
        } else if (line.starts_with("# TYPE ")) {
            family = line.substr(7, line.find(' ', 7) - 7);
            CHECK(family == helped);
            CHECK(families.insert(family).second);
            const auto type = line.substr(line.rfind(' ') + 1);
            CHECK((type == "gauge" || type == "counter" || type == "histogram"));
            CHECK(family.ends_with("_total") == (type == "counter"));
        } else {
            REQUIRE(line.starts_with(family));
            const auto rest = line.substr(family.size());
            CHECK((rest.starts_with(" ") || rest.starts_with("{") || rest.starts_with("_bucket{") ||
                   rest.starts_with("_sum{") || rest.starts_with("_count{")));
        }
    }
    CHECK(families.size() > 20);
}

TEST_CASE("probes are counted by what they found, and their phases by how long they took") {
    MetricsBench bench;
    CHECK(bench.samples().at("postfathom_probe_results_total{diagnosis=\"pmtu-black-hole\"}") ==
          "0");
    bench.probe("example.org");
    bench.probe("example.net");
    const auto found = bench.samples();
    CHECK(found.at("postfathom_probe_results_total{diagnosis=\"pmtu-black-hole\"}") == "2");
    CHECK(found.at("postfathom_probe_results_total{diagnosis=\"healthy\"}") == "0");
    CHECK(found.at("postfathom_probe_connections_total") == "6");
    CHECK(found.at("postfathom_probe_aborted_handshakes_total") == "4");
    CHECK(found.at("postfathom_probes_finished_total") == "2");
    const auto bucket = [&](const char* phase, const char* bound) {
        return found.at(std::string("postfathom_probe_phase_seconds_bucket{phase=\"") + phase +
                        "\",le=\"" + bound + "\"}");
    };
    CHECK(bucket("connect", "0.01") == "0");
    CHECK(bucket("connect", "0.025") == "2");
    CHECK(bucket("connect", "+Inf") == "2");
    CHECK(bucket("handshake", "5") == "0");
    CHECK(bucket("handshake", "10") == "2");
    CHECK(found.at("postfathom_probe_phase_seconds_sum{phase=\"handshake\"}") == "14");
    CHECK(found.at("postfathom_probe_phase_seconds_count{phase=\"handshake\"}") == "2");
    CHECK(found.at("postfathom_uptime_seconds") == "12");
}

TEST_CASE("destinations are counted by a pass through the cache") {
    MetricsBench bench;
    bench.probe("example.org");
    const std::string hole = "postfathom_destinations{diagnosis=\"pmtu-black-hole\"}";
    CHECK(bench.samples().at(hole) == "0");
    bench.daemon->refresh();
    CHECK(bench.samples().at(hole) == "1");
    CHECK(bench.samples().at("postfathom_destinations_expired") == "0");
    bench.cache.next_hops.begin()->second.verdict.measured_at -= std::chrono::hours(24 * 365);
    bench.daemon->refresh();
    CHECK(bench.samples().at(hole) == "0");
    CHECK(bench.samples().at("postfathom_destinations_expired") == "1");
}

TEST_CASE("no text of a peer, a log or a next hop is ever part of the metrics") {
    MetricsBench bench;
    const std::map<std::string, std::string> before = bench.samples();
    bench.probe("evil.example.org");
    bench.daemon->on_log_line(
        "Nov 23 01:11:21 mx postfix/smtp[3910]: SSL_connect error to evil.example.org[192.0.2.66]"
        ":25: Connection timed out");
    bench.daemon->on_notice("{\"evil\": 1}");
    bench.daemon->refresh();
    const auto text = metrics_text(*bench.daemon, 12s);
    CHECK(text.find("evil") == std::string::npos);
    CHECK(text.find("192.0.2") == std::string::npos);
    // Only the phases of probes come with the first probe; no other sample is new.
    for (const auto& [name, value] : bench.samples())
        if (!name.starts_with("postfathom_probe_phase_seconds")) {
            const auto& sample = name;  // clang 14 captures no structured binding
            CAPTURE(sample);
            const bool known =
                before.contains(name) || name == "postfathom_log_last_line_timestamp_seconds";
            CHECK(known);
        }
}

TEST_CASE("the last that policyd and the milter told of their answers is served") {
    MetricsBench bench;
    HookTimer policy(HookSocket::policy);
    policy.add(20us);
    bench.daemon->on_notice(encode(policy.read()));
    policy.add(200ms);
    bench.daemon->on_notice(encode(policy.read()));
    bench.daemon->on_notice(encode(HookTimes{.hook = HookSocket::milter}));
    const auto found = bench.samples();
    const std::string bucket = "postfathom_hook_answer_seconds_bucket";
    CHECK(found.at(bucket + "{hook=\"policy\",le=\"1e-05\"}") == "0");
    CHECK(found.at(bucket + "{hook=\"policy\",le=\"2.5e-05\"}") == "1");
    CHECK(found.at(bucket + "{hook=\"policy\",le=\"0.1\"}") == "1");
    CHECK(found.at(bucket + "{hook=\"policy\",le=\"0.3\"}") == "2");
    CHECK(found.at(bucket + "{hook=\"policy\",le=\"+Inf\"}") == "2");
    CHECK(found.at("postfathom_hook_answer_seconds_sum{hook=\"policy\"}") == "0.20002");
    CHECK(found.at("postfathom_hook_answer_seconds_count{hook=\"milter\"}") == "0");
    CHECK(std::stoll(found.at("postfathom_hook_last_notice_timestamp_seconds{hook=\"policy\"}")) >
          1'700'000'000);
    CHECK_FALSE(found.contains("postfathom_hook_answer_seconds_count{hook=\"dsn\"}"));
}

TEST_CASE("a phase that has no time is not counted") {
    Histogram<phase_bounds> histogram;
    histogram.observe(-1);
    histogram.observe(std::numeric_limits<double>::quiet_NaN());
    histogram.observe(std::numeric_limits<double>::infinity());
    CHECK(histogram.sum == 0);
    for (const auto count : histogram.counts) CHECK(count == 0);
    histogram.observe(0);
    histogram.observe(1000);
    CHECK(histogram.counts.front() == 1);
    CHECK(histogram.counts.back() == 1);
}
