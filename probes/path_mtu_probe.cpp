// SPDX-License-Identifier: Apache-2.0
#include "probes/path_mtu_probe.hpp"

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "lib/net/deadline.hpp"
#include "probes/host_facts.hpp"
#include "probes/path_mtu_search.hpp"
#include "probes/tcp_evidence.hpp"

namespace postfathom {

namespace {

using Clock = std::chrono::steady_clock;
using Seconds = std::chrono::duration<double>;
using namespace std::chrono_literals;

// A silent first attempt is given as long as a peer with a timer of one second needs for its
// repeats (RFC 6298 section 2.4). The others have the first one to compare with.
constexpr Seconds patience_alone{3.2};
constexpr Seconds patience_beside_others{0};

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
        case StallShape::none:
            break;
    }
    return SizeOutcome::failed;
}

Vantage vantage_before(const ProbePlan& plan) {
    Vantage vantage;
    const auto& address = plan.endpoint.address;
    if (plan.source) vantage.source = *plan.source;
    vantage.route_mtu = current_route_mtu(address, plan.source);
    if (const auto facts = host_facts(address, plan.source)) {
        vantage.interface = facts->interface;
        vantage.interface_mtu = facts->interface_mtu;
        if (!plan.source && facts->source) vantage.source = *facts->source;
    }
    return vantage;
}

class EndpointProbe {
  public:
    EndpointProbe(const ProbePlan& plan, const TlsContext& tls, std::uint32_t max_connections,
                  EndpointProgressSink sink)
        : plan_(plan), tls_(tls), max_connections_(max_connections), sink_(std::move(sink)) {}

    // Holds the probe for as long as it runs.
    static asio::awaitable<Evidence> run(std::unique_ptr<EndpointProbe> self);

  private:
    std::unique_ptr<HandshakeProbe> connection(std::optional<PathMtu> allow, Seconds patience);
    asio::awaitable<void> search();
    asio::awaitable<void> try_size(PathMtu size);
    asio::awaitable<void> wait_for_first(Clock::time_point until);
    void note_first();
    void tell_search(const HandshakeProbe& probe);
    void count_lost();
    bool budget_left() const;
    void report(Phase phase);

    const ProbePlan& plan_;
    const TlsContext& tls_;
    std::uint32_t max_connections_;
    EndpointProgressSink sink_;
    EndpointProgress progress_;
    Evidence evidence_;
    std::unique_ptr<HandshakeProbe> first_;
    std::optional<PathMtuSearch> search_;
    std::vector<SizeOutcome> outcomes_;  // of evidence_.attempts
    bool told_to_go_ = false;
};

void EndpointProbe::report(Phase phase) {
    progress_.phase = phase;
    progress_.connections = evidence_.connections;
    if (search_) {
        progress_.passes = search_->passes();
        progress_.fails = search_->fails();
    }
    if (sink_) sink_(progress_);
}

std::unique_ptr<HandshakeProbe> EndpointProbe::connection(std::optional<PathMtu> allow,
                                                          Seconds patience) {
    ++evidence_.connections;
    progress_.trying = allow;
    return std::make_unique<HandshakeProbe>(plan_, tls_, allow, patience,
                                            [this](Phase phase) { report(phase); });
}

bool EndpointProbe::budget_left() const {
    return evidence_.connections < max_connections_ && Clock::now() < plan_.deadline &&
           !told_to_go_;
}

void EndpointProbe::note_first() {
    const auto& attempt = first_->attempt();
    evidence_.reached = attempt.reached;
    evidence_.outcome = attempt.outcome;
    evidence_.reply = first_->reply();
    evidence_.timings = first_->timings();
    evidence_.starttls_offered = first_->starttls_offered();
    evidence_.handshake = first_->handshake();
    if (const auto local = first_->local_address()) evidence_.vantage.source = *local;
    evidence_.attempts.push_back(attempt);
    outcomes_.push_back(size_outcome(*first_));
    told_to_go_ = first_->service_closing();
    if (attempt.outcome == Outcome::ok && attempt.largest_received.bytes > 0)
        evidence_.inbound.path_mtu = attempt.largest_received;
}

void EndpointProbe::tell_search(const HandshakeProbe& probe) {
    const auto& attempt = probe.attempt();
    search_->told({attempt.allowed, outcomes_.back(), attempt.largest_received,
                   attempt.small_received, probe.flight_bytes()});
}

asio::awaitable<void> EndpointProbe::try_size(PathMtu size) {
    const auto probe = connection(size, patience_beside_others);
    co_await probe->run();
    probe->close();
    evidence_.attempts.push_back(probe->attempt());
    outcomes_.push_back(size_outcome(*probe));
    told_to_go_ = told_to_go_ || probe->service_closing();
    if (probe->attempt().outcome == Outcome::ok && !evidence_.handshake)
        evidence_.handshake = probe->handshake();
    tell_search(*probe);
    report(Phase::handshake);
}

// The first attempt completes late when path MTU discovery works, when the loss was chance, when
// the server is slow, or when its kernel gives up large packets by itself.
asio::awaitable<void> EndpointProbe::wait_for_first(Clock::time_point until) {
    const bool completed = co_await first_->go_on(until);
    if (!completed) co_return;
    evidence_.first_attempt_recovered = true;
    evidence_.handshake = first_->handshake();
    evidence_.attempts.front().largest_received = first_->attempt().largest_received;
}

asio::awaitable<void> EndpointProbe::search() {
    const auto& attempt = first_->attempt();
    search_.emplace(plan_.endpoint.address.family(), option_bytes(attempt.counters));
    tell_search(*first_);
    while (const auto size = search_->next()) {
        if (!budget_left()) break;
        co_await try_size(*size);
        if (first_->moved()) co_await wait_for_first(Clock::now() + 1s);
        if (evidence_.first_attempt_recovered) break;
    }
    evidence_.inbound = search_->result();
    count_lost();
    if (evidence_.inbound.exact || evidence_.first_attempt_recovered) co_return;
    // Nothing certain was found: a slow server still may answer.
    progress_.trying.reset();
    report(Phase::handshake);
    co_await wait_for_first(first_->hello_sent() + plan_.handshake_timeout);
}

// How large the flight is shows only when one has arrived, so what the stalled attempts lost is
// counted at the end.
void EndpointProbe::count_lost() {
    for (std::size_t i = 0; i < evidence_.attempts.size(); ++i)
        evidence_.attempts[i].large_lost =
            search_->large_lost(evidence_.attempts[i].allowed, outcomes_[i]);
}

asio::awaitable<Evidence> EndpointProbe::run(std::unique_ptr<EndpointProbe> self) {
    const auto started = Clock::now();
    auto& evidence = self->evidence_;
    evidence.endpoint = self->plan_.endpoint;
    evidence.measured_at = wall_now();
    evidence.vantage = vantage_before(self->plan_);
    self->first_ = self->connection(std::nullopt, patience_alone);
    co_await self->first_->run();
    self->note_first();
    if (self->first_->stalled()) co_await self->search();
    self->first_->close();
    evidence.seconds = Seconds(Clock::now() - started).count();
    co_return std::move(evidence);
}

}  // namespace

asio::awaitable<Evidence> probe_endpoint(const ProbePlan& plan, const TlsContext& tls,
                                         std::uint32_t max_connections, EndpointProgressSink sink) {
    return EndpointProbe::run(
        std::make_unique<EndpointProbe>(plan, tls, max_connections, std::move(sink)));
}

}  // namespace postfathom
