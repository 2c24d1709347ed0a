// SPDX-License-Identifier: Apache-2.0
#include "probes/inbound_probe.hpp"

#include <memory>
#include <utility>
#include <vector>

#include "lib/diagnosis/diagnose.hpp"
#include "probes/tcp_evidence.hpp"

namespace postfathom {

namespace {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

// The first attempt is there to compare with.
constexpr std::chrono::duration<double> patience_beside_others{0};

class InboundProbe {
  public:
    InboundProbe(EndpointRun& run, HandshakeProbe& first)
        : run_(run),
          first_(first),
          search_(run.plan().endpoint.address.family(), option_bytes(first.attempt().counters)) {
        hint();
    }

    asio::awaitable<void> search();

  private:
    void hint();
    Clock::duration first_patience() const;
    asio::awaitable<void> try_size(std::optional<PathMtu> size);
    asio::awaitable<void> wait_for_first(Clock::time_point until);
    void tell(const HandshakeProbe& probe, std::uint32_t copies = copies_of_gap);
    void count_lost();
    void report();

    EndpointRun& run_;
    HandshakeProbe& first_;
    PathMtuSearch search_;
    std::vector<SizeResult> results_;  // of evidence.attempts
};

// The size of an earlier probe; else that of the other direction: tunnels are the same both ways,
// more often than not.
void InboundProbe::hint() {
    const auto& inbound = run_.plan().inbound_before;
    const auto& outbound = run_.plan().outbound_before;
    if (inbound.path_mtu && (inbound.exact || inbound.fails))
        search_.hint(*inbound.path_mtu, inbound.fails);
    else if (outbound.path_mtu && outbound.exact)
        search_.hint(*outbound.path_mtu, std::nullopt);
}

void InboundProbe::report() {
    run_.progress.passes = search_.passes();
    run_.progress.fails = search_.fails();
    run_.report(Phase::handshake);
}

void InboundProbe::tell(const HandshakeProbe& probe, std::uint32_t copies) {
    const auto& attempt = probe.attempt();
    results_.push_back({attempt.allowed, size_outcome(probe), attempt.largest_received,
                        attempt.small_received, probe.flight_bytes(), copies});
    search_.told(results_.back());
}

// Without a size: as the first attempt.
asio::awaitable<void> InboundProbe::try_size(std::optional<PathMtu> size) {
    auto& evidence = run_.evidence;
    run_.progress.trying = size;
    const auto probe = std::make_unique<HandshakeProbe>(run_.plan(), run_.tls(), size,
                                                        patience_beside_others, run_.connecting());
    const auto copies = size ? search_.copies_wanted(*size) : copies_of_gap;
    probe->wait_for_copies(copies);
    co_await probe->run();
    run_.connected(probe->dialog(), probe->left_unfinished());
    probe->close();
    if (probe->ticket()) run_.ticket = probe->ticket();
    evidence.attempts.push_back(probe->attempt());
    if (probe->attempt().outcome == Outcome::ok && !evidence.handshake)
        evidence.handshake = probe->handshake();
    tell(*probe, copies);
    report();
}

// The first attempt completes late when path MTU discovery works, when the loss was chance, when
// the server is slow, or when its kernel gives up large packets by itself.
asio::awaitable<void> InboundProbe::wait_for_first(Clock::time_point until) {
    const bool completed = co_await first_.go_on(until);
    if (!completed) co_return;
    run_.evidence.first_attempt_recovered = true;
    // It came to its end after all.
    if (run_.evidence.aborted > 0) --run_.evidence.aborted;
    run_.evidence.handshake = first_.handshake();
    run_.evidence.attempts.front().largest_received = first_.attempt().largest_received;
}

Clock::duration InboundProbe::first_patience() const {
    const auto round_trip = static_cast<double>(first_.attempt().counters.rtt_microseconds) / 1e6;
    return std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(
        2 * round_trip + copies_sent_after(search_.copies_of_first(), round_trip)));
}

asio::awaitable<void> InboundProbe::search() {
    auto& evidence = run_.evidence;
    tell(first_);
    // Size is not the cause. Whether chance is, only another connection can say.
    if (first_.attempt().stall == StallShape::unfinished && run_.may_connect(true))
        co_await try_size(std::nullopt);
    while (const auto size = search_.next()) {
        if (!run_.may_connect(true)) break;
        co_await try_size(*size);
        if (first_.moved()) co_await wait_for_first(Clock::now() + 1s);
        if (evidence.first_attempt_recovered) break;
    }
    evidence.inbound = search_.result();
    count_lost();
    run_.progress.trying.reset();
    // When a hole is proven, its exact size may be left to another probe.
    const bool proven = evidence.inbound.exact ||
                        (evidence.budget_ended && inbound_discovery_works(evidence) == false);
    // Loss by chance ends: the first connection has to stay stuck while its server repeats what is
    // missing.
    if (proven && !evidence.first_attempt_recovered)
        co_await wait_for_first(first_.hello_sent() + first_patience());
    if (proven || evidence.first_attempt_recovered) co_return;
    // Nothing certain was found: a slow server still may answer.
    run_.report(Phase::handshake);
    co_await wait_for_first(first_.hello_sent() + run_.plan().handshake_timeout);
}

// How large the flight is shows only when one has arrived, so what the stalled attempts lost is
// counted at the end.
void InboundProbe::count_lost() {
    auto& attempts = run_.evidence.attempts;
    for (std::size_t i = 0; i < attempts.size(); ++i)
        attempts[i].large_lost = search_.large_lost(results_[i]);
}

asio::awaitable<void> run_to_end(std::unique_ptr<InboundProbe> probe) { co_await probe->search(); }

}  // namespace

SizeOutcome size_outcome(const HandshakeProbe& probe) {
    const auto& attempt = probe.attempt();
    if (probe.full_size_arrived()) return SizeOutcome::passed;
    if (attempt.outcome == Outcome::ok) return SizeOutcome::short_flight;
    switch (attempt.stall) {
        case StallShape::gap:
            return SizeOutcome::gap;
        case StallShape::lost_reply:
        case StallShape::silent_acked:
            return SizeOutcome::silent;
        case StallShape::hello_unacked:
        case StallShape::window_closed:
        case StallShape::unfinished:
        case StallShape::none:
            break;
    }
    return SizeOutcome::failed;
}

asio::awaitable<void> search_inbound(EndpointRun& run, HandshakeProbe& first) {
    return run_to_end(std::make_unique<InboundProbe>(run, first));
}

}  // namespace postfathom
