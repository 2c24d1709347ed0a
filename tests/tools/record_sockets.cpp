// SPDX-License-Identifier: Apache-2.0
// Prints this namespace's mail connections as probes/socket_watch sees them, one line each with the
// time before it, and what is suspected: record_sockets SECONDS INTERVAL_MS
// Its output is what tests/data/sockets holds.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "probes/socket_samples.hpp"
#include "tests/tools/socket_sample_text.hpp"

int main(int argc, char** argv) {
    using namespace postfathom;
    using Clock = std::chrono::steady_clock;
    if (argc != 3) return 2;
    const auto start = Clock::now();
    const auto end = start + std::chrono::seconds(std::atoi(argv[1]));
    const auto interval = std::chrono::milliseconds(std::atoi(argv[2]));
    SocketWatch watch;
    const auto print = [&](const SocketSample& sample) {
        const std::chrono::duration<double> at = Clock::now() - start;
        std::printf("%.3f %s\n", at.count(), test::to_text(sample).c_str());
        std::fflush(stdout);
    };
    const auto last_word = [&](const SocketSample& sample) {
        print(sample);
        watch.ended(sample, Clock::now());
    };
    const auto ended = open_ended_sockets();
    if (!ended) std::fprintf(stderr, "%s\n", ended.error().message.c_str());
    for (auto next = start; next < end; next += interval) {
        std::this_thread::sleep_until(next);
        if (ended) drain_ended_sockets(ended->get(), last_word);
        const auto samples = sample_mail_sockets();
        if (!samples) {
            std::fprintf(stderr, "%s\n", samples.error().message.c_str());
            return 1;
        }
        const std::chrono::duration<double> at = Clock::now() - start;
        std::printf("%.3f\n", at.count());
        for (const auto& sample : *samples) print(sample);
        watch.sample(*samples, Clock::now());
        for (const auto& suspicion : watch.suspicions())
            std::printf("# %s from %s\n", summary(suspicion).c_str(),
                        suspicion.peer.to_string().c_str());
    }
    return 0;
}
