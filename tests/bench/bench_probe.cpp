// SPDX-License-Identifier: Apache-2.0
// What probing costs, beside references in the same run, on the loopback interface, against the
// same server with an ECDSA certificate:
//   - STARTTLS conversations per second of one thread. A probe is the engine's own, limited to its
//     first connection: the host's facts, greeting to QUIT with the handshake and the evidence from
//     the kernel, the certificate's facts, the diagnosis; without the measurements of sizes. Beside
//     a bare OpenSSL client that holds as many conversations at a time, and one posttls-finger(1)
//     process for each;
//   - the memory of very many probes in flight, with all that they do, whose server is silent after
//     its reply to STARTTLS.
//     bench_probe [--seconds 2] [--rounds 5] [--at-a-time 32] [--in-flight 1000] [--patience 60]
// SECONDS are those of a round of one client; PATIENCE those after which a probe in flight gives
// up.
// Exit status 0 when it was measured, whether or not the aims were met: a loaded machine misses
// them.
#include <fmt/core.h>
#include <signal.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <charconv>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "tests/bench/child.hpp"
#include "tests/bench/probe_bench.hpp"

namespace postfathom::bench {
namespace {

using Clock = std::chrono::steady_clock;
using Seconds = std::chrono::duration<double>;

constexpr double aim_beside_bare = 0.7;
constexpr double aim_beside_processes = 5;
constexpr const char* posttls_finger = "/usr/sbin/posttls-finger";

// What one client did in one round.
struct Round {
    double per_second = 0;
    double processor = 0;  // seconds for each conversation
    double busy = 0;       // of the time, the client
};

// `client` gets the time to end at, and says how many conversations it completed.
template <typename Client>
Round measure(double seconds, Client client) {
    const auto before = processor_seconds();
    const auto started = Clock::now();
    const double done =
        client(started + std::chrono::duration_cast<Clock::duration>(Seconds(seconds)));
    const auto took = Seconds(Clock::now() - started).count();
    const auto used = processor_seconds() - before;
    return {done / took, used / done, used / took};
}

asio::awaitable<void> probe_again_and_again(ProbeEngine& engine, std::uint16_t port,
                                            Clock::time_point until, double& done) {
    while (Clock::now() < until) {
        ProgressSink no_sink;
        const auto report = co_await engine.probe(request_to(port), std::move(no_sink));
        const bool completed = report.endpoints.size() == 1 &&
                               report.endpoints.front().evidence.outcome == Outcome::ok &&
                               report.endpoints.front().evidence.reached == Phase::quit;
        if (!completed) give_up("a probe failed: " + report.diagnosis.summary);
        done += report.endpoints.front().evidence.connections;
    }
}

double probe_many(ProbeEngine& engine, std::uint16_t port, int at_a_time, Clock::time_point until) {
    asio::io_context io(1);
    double done = 0;
    for (int i = 0; i < at_a_time; ++i)
        asio::co_spawn(io, probe_again_and_again(engine, port, until, done), asio::detached);
    io.run();
    return done;
}

double converse_bare(SSL_CTX& context, std::uint16_t port, int at_a_time, Clock::time_point until) {
    const auto done =
        converse(port, context, at_a_time, [&](int) { return Clock::now() >= until; });
    if (done <= 0) give_up("a conversation of the bare client failed");
    return done;
}

// Two at a time, so that both processors of a small machine are busy with them.
double finger(std::uint16_t port, const std::string& ca_file, Clock::time_point until) {
    const auto command =
        fmt::format("{} -c -l encrypt -o inet_protocols=ipv4 -F {} [127.0.0.1]:{} >/dev/null 2>&1",
                    posttls_finger, ca_file, port);
    const auto lane = fmt::format("{0} & {0} && wait $!", command);
    double done = 0;
    while (Clock::now() < until) {
        run(lane);
        done += 2;
    }
    return done;
}

// Rounds of one client, to be looked at by their medians.
struct Series {
    std::vector<double> rates;
    std::vector<double> processor;
    std::vector<double> busy;

    void add(const Round& round) {
        rates.push_back(round.per_second);
        processor.push_back(round.processor * 1e6);
        busy.push_back(round.busy * 100);
    }
    std::string rate() const { return fmt::format("{:.0f} /s", median(rates)); }
};

// Round by round, since what else the machine does meets neighbours alike.
double ratio(const std::vector<double>& ours, const std::vector<double>& theirs) {
    std::vector<double> ratios;
    for (std::size_t i = 0; i < ours.size(); ++i) ratios.push_back(ours[i] / theirs[i]);
    return median(ratios);
}

void measure_rates(const Options& options, const Files& files) {
    const Server server(files, false);
    const auto port = server.port();
    const auto context = client_context(files["root.pem"]);
    auto first_only = settings_of(files);
    first_only.max_connections = 1;
    ProbeEngine engine(first_only);
    const auto whole_settings = settings_of(files);
    ProbeEngine whole(whole_settings);
    const bool have_finger = ::access(posttls_finger, X_OK) == 0;

    Series bare;
    Series ours;
    Series all;
    Series processes;
    for (int i = 0; i < options.rounds; ++i) {
        const auto seconds = options.seconds;
        bare.add(measure(seconds, [&](Clock::time_point until) {
            return converse_bare(*context, port, options.at_a_time, until);
        }));
        ours.add(measure(seconds, [&](Clock::time_point until) {
            return probe_many(engine, port, options.at_a_time, until);
        }));
        if (have_finger)
            processes.add(measure(seconds, [&](Clock::time_point until) {
                return finger(port, files["root.pem"], until);
            }));
        all.add(measure(seconds, [&](Clock::time_point until) {
            return probe_many(whole, port, options.at_a_time, until);
        }));
    }
    const std::string bare_client = "bare OpenSSL client";
    print({"STARTTLS conversations of one thread", ours.rate(), bare_client, bare.rate(),
           two_digits(ratio(ours.rates, bare.rates)), fmt::format("at least {}", aim_beside_bare)});
    print({"the same: processor time of the client",
           fmt::format("{:.0f} us", median(ours.processor)), bare_client,
           fmt::format("{:.0f} us", median(bare.processor)),
           two_digits(ratio(ours.processor, bare.processor))});
    print({"the same: how busy the client was", fmt::format("{:.0f} %", median(ours.busy)),
           bare_client, fmt::format("{:.0f} %", median(bare.busy)), ""});
    print({"connections of whole probes, two each", all.rate(), bare_client, bare.rate(),
           two_digits(ratio(all.rates, bare.rates))});
    if (have_finger)
        print({"STARTTLS conversations", ours.rate(),
               "posttls-finger, a process each, two at a time", processes.rate(),
               two_digits(ratio(ours.rates, processes.rates)),
               fmt::format("at least {}", aim_beside_processes)});
    else
        fmt::print("posttls-finger is not here\n");
}

bool read_number(std::string_view text, auto& number) {
    const auto end = text.data() + text.size();
    return std::from_chars(text.data(), end, number).ptr == end && number > 0;
}

bool read_options(int argc, char** argv, Options& options) {
    for (int i = 1; i < argc; i += 2) {
        const std::string_view name = argv[i];
        const std::string_view value = i + 1 < argc ? argv[i + 1] : "";
        const bool understood = name == "--patience"    ? read_number(value, options.patience)
                                : name == "--seconds"   ? read_number(value, options.seconds)
                                : name == "--rounds"    ? read_number(value, options.rounds)
                                : name == "--at-a-time" ? read_number(value, options.at_a_time)
                                : name == "--in-flight" ? read_number(value, options.in_flight)
                                                        : false;
        if (!understood) return false;
    }
    return true;
}

int bench_probe(int argc, char** argv) {
    Options options;
    if (!read_options(argc, argv, options)) {
        fmt::print(stderr,
                   "bench_probe [--seconds 2] [--rounds 5] [--at-a-time 32] [--in-flight 1000] "
                   "[--patience 60]\n");
        return 64;
    }
    ::signal(SIGPIPE, SIG_IGN);
    const Files files;
    make_certificates(files);
    measure_memory(options, files);
    measure_rates(options, files);
    return 0;
}

}  // namespace
}  // namespace postfathom::bench

int main(int argc, char** argv) { return postfathom::bench::bench_probe(argc, argv); }
