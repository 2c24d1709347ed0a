// SPDX-License-Identifier: Apache-2.0
#include "probes/protocol_probe.hpp"

#include <array>
#include <memory>
#include <utility>

#include "probes/handshake_probe.hpp"

namespace postfathom {

namespace {

// These connections have the earlier ones to compare with.
constexpr std::chrono::duration<double> patience{0};

// A healthy endpoint is left alone after so many connections, coming back included; one whose
// handshakes stall is worth more.
constexpr std::uint32_t enough_when_healthy = 3;
constexpr std::uint32_t enough_when_stalled = 8;

bool tls_failed(const Evidence& evidence) {
    if (evidence.reached != Phase::handshake) return false;
    switch (evidence.outcome) {
        case Outcome::tls_alert:
        case Outcome::tls_error:
        case Outcome::garbled:
        case Outcome::reset:
        case Outcome::closed:
            return true;
        default:
            return false;
    }
}

// Unlike the steps that search, these do not make a verdict poorer when the budget ends.
bool may_connect(EndpointRun& run) {
    const auto& evidence = run.evidence;
    const auto& plan = run.plan();
    return evidence.connections < plan.max_connections && evidence.aborted < plan.max_aborted &&
           run.may_connect(true);
}

asio::awaitable<void> converse(EndpointRun& run, HandshakeProbe& probe) {
    co_await probe.run();
    run.connected(probe.dialog(), probe.left_unfinished());
    probe.close();
}

asio::awaitable<void> try_version(EndpointRun& run, TlsVersion version) {
    const auto tls = run.tls().only(version);
    const auto probe =
        std::make_unique<HandshakeProbe>(run.plan(), tls, std::nullopt, patience, run.connecting());
    co_await converse(run, *probe);
    ProtocolTrial trial;
    trial.protocol = to_string(version);
    trial.outcome = probe->attempt().outcome;
    if (probe->handshake()) trial.tls_error = probe->handshake()->tls_error;
    // It did not get as far as the question.
    if (probe->attempt().reached < Phase::handshake) co_return;
    run.evidence.protocol_trials.push_back(std::move(trial));
}

asio::awaitable<void> come_back(EndpointRun& run) {
    const auto tls = run.tls().resuming(run.ticket);
    const auto probe =
        std::make_unique<HandshakeProbe>(run.plan(), tls, std::nullopt, patience, run.connecting());
    co_await converse(run, *probe);
    if (probe->attempt().outcome == Outcome::ok) run.evidence.handshake->resumes = probe->resumed();
}

}  // namespace

asio::awaitable<void> try_protocols(EndpointRun& run) {
    if (!tls_failed(run.evidence)) co_return;
    for (const auto version : std::array{TlsVersion::tls12, TlsVersion::tls13}) {
        if (!may_connect(run)) co_return;
        co_await try_version(run, version);
    }
}

asio::awaitable<void> try_resumption(EndpointRun& run) {
    auto& evidence = run.evidence;
    const bool completed = evidence.handshake && !evidence.handshake->protocol.empty();
    if (!run.plan().try_resumption || !completed) co_return;
    if (!run.ticket) {
        // Nothing to come back with is an answer when the whole conversation was heard.
        if (evidence.outcome == Outcome::ok) evidence.handshake->resumes = false;
        co_return;
    }
    const auto enough = evidence.outcome == Outcome::ok ? enough_when_healthy : enough_when_stalled;
    if (evidence.connections >= enough || !may_connect(run)) co_return;
    co_await come_back(run);
}

}  // namespace postfathom
