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

std::unique_ptr<HandshakeProbe> ordinary_probe(EndpointRun& run) {
    return std::make_unique<HandshakeProbe>(run.plan(), run.tls(), std::nullopt, patience_alone,
                                            run.connecting());
}

// Not a byte of the server's, whether or not the connection was made.
bool heard_nothing(const HandshakeProbe& probe) {
    const auto& attempt = probe.attempt();
    return attempt.outcome == Outcome::timed_out && attempt.reached <= Phase::greeting &&
           probe.dialog().facts().unfinished_bytes == 0;
}

// One silent connection convicts nobody: at a loss of 20 % each way, four requests to connect go
// unanswered once in 60 times, and the last packet of a handshake that is lost leaves the server
// silent for as long as it takes to repeat its own. What the second connection finds counts when it
// hears more than the first.
asio::awaitable<void> ask_again(EndpointRun& run, std::unique_ptr<HandshakeProbe>& first) {
    run.evidence.silent_attempts = 1;
    first->close();
    auto second = ordinary_probe(run);
    co_await second->run();
    run.connected(second->dialog(), second->left_unfinished());
    if (!heard_nothing(*second))
        first = std::move(second);
    else if (EndpointRun::Clock::now() < run.plan().deadline)
        run.evidence.silent_attempts = 2;
}

// The order matters: once the kernel has learned a smaller path MTU from a large packet of ours, it
// advertises a smaller segment size to this destination for ten minutes, which hides a hole in the
// inbound direction. So the inbound direction comes first.
asio::awaitable<void> steps(EndpointRun& run) {
    auto first = ordinary_probe(run);
    co_await first->run();
    run.connected(first->dialog(), first->left_unfinished());
    if (heard_nothing(*first) && run.may_connect(false)) co_await ask_again(run, first);
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
