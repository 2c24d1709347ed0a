// SPDX-License-Identifier: Apache-2.0
#include "probes/endpoint_probe.hpp"

#include <memory>
#include <utility>

#include "probes/datagram_probe.hpp"
#include "probes/handshake_probe.hpp"
#include "probes/host_facts.hpp"
#include "probes/inbound_probe.hpp"
#include "probes/outbound_probe.hpp"
#include "probes/protocol_probe.hpp"
#include "probes/question_probe.hpp"

namespace postfathom {

namespace {

using Clock = std::chrono::steady_clock;
using Seconds = std::chrono::duration<double>;

// A silent first attempt is given as long as a peer with a timer of one second needs for its
// repeats (RFC 6298 section 2.4). The others have the first one to compare with.
constexpr Seconds patience_alone{3.2};

Vantage vantage_before(const ProbePlan& plan) {
    Vantage vantage;
    const auto& address = plan.endpoint.address;
    if (plan.source) vantage.source = *plan.source;
    vantage.route_mtu = current_route_mtu(address, plan.source);
    if (const auto facts = host_facts(address, plan.source)) {
        vantage.interface = facts->interface;
        vantage.interface_mtu = facts->interface_mtu;
        vantage.route_mtu_learned = facts->mtu_learned;
        if (!plan.source && facts->source) vantage.source = *facts->source;
    }
    return vantage;
}

void note_first(EndpointRun& run, const HandshakeProbe& first) {
    auto& evidence = run.evidence;
    const auto& attempt = first.attempt();
    evidence.reached = attempt.reached;
    evidence.outcome = attempt.outcome;
    evidence.reply = first.dialog().reply();
    evidence.timings = first.timings();
    evidence.starttls_offered = first.dialog().starttls_offered();
    evidence.dialog = first.dialog().facts();
    evidence.handshake = first.handshake();
    if (const auto local = first.local_address()) evidence.vantage.source = *local;
    evidence.attempts.push_back(attempt);
    if (attempt.outcome == Outcome::ok && attempt.largest_received.bytes > 0)
        evidence.inbound.path_mtu = attempt.largest_received;
}

// The order matters: once the kernel has learned a smaller path MTU from a large packet of ours, it
// advertises a smaller segment size to this destination for ten minutes, which hides a hole in the
// inbound direction. So the inbound direction comes first.
asio::awaitable<void> steps(EndpointRun& run) {
    const auto first = std::make_unique<HandshakeProbe>(run.plan(), run.tls(), std::nullopt,
                                                        patience_alone, run.connecting());
    co_await first->run();
    run.connected(first->dialog(), first->left_unfinished());
    note_first(run, *first);
    if (first->stalled()) co_await search_inbound(run, *first);
    first->close();
    if (first->ticket()) run.ticket = first->ticket();
    co_await measure_outbound(run);
    // Also of a server that left the long ClientHello of that measurement without an answer.
    co_await ask_questions(run);
    co_await try_protocols(run);
    if (run.plan().datagrams) co_await send_datagrams(run);
    co_await try_resumption(run);
}

asio::awaitable<Evidence> run_to_end(std::unique_ptr<EndpointRun> run) {
    const auto started = Clock::now();
    run->evidence.measured_at = wall_now();
    run->evidence.vantage = vantage_before(run->plan());
    co_await steps(*run);
    run->evidence.seconds = Seconds(Clock::now() - started).count();
    co_return std::move(run->evidence);
}

}  // namespace

asio::awaitable<Evidence> probe_endpoint(const ProbePlan& plan, const TlsContext& tls,
                                         EndpointProgressSink sink) {
    return run_to_end(std::make_unique<EndpointRun>(plan, tls, std::move(sink)));
}

}  // namespace postfathom
