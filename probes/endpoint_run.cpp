// SPDX-License-Identifier: Apache-2.0
#include "probes/endpoint_run.hpp"

#include <utility>

#include "lib/diagnosis/server_words.hpp"

namespace postfathom {

EndpointRun::EndpointRun(const ProbePlan& plan, const TlsContext& tls, EndpointProgressSink sink)
    : plan_(plan), tls_(tls), sink_(std::move(sink)) {
    evidence.endpoint = plan.endpoint;
    evidence.starttls_offered_before = plan.starttls_offered_before;
}

bool EndpointRun::may_connect(bool may_abort) {
    if (told_to_go_ || Clock::now() >= plan_.deadline) return false;
    if (plan_.pace && plan_.pace->open() >= plan_.max_parallel) return false;
    const bool left = evidence.connections < plan_.max_connections &&
                      (!may_abort || evidence.aborted < plan_.max_aborted);
    evidence.budget_ended = evidence.budget_ended || !left;
    return left;
}

MailConnection::PhaseSink EndpointRun::connecting() {
    ++evidence.connections;
    return [this](Phase phase) { report(phase); };
}

void EndpointRun::connected(const Dialog& dialog, bool aborted) {
    if (dialog.service_closing() || asks_to_wait(dialog.reply())) {
        told_to_go_ = true;
        evidence.asked_to_wait = dialog.reply();
        if (evidence.asked_to_wait.empty()) evidence.asked_to_wait = "421";
    }
    if (aborted) ++evidence.aborted;
}

void EndpointRun::report(Phase phase) {
    progress.phase = phase;
    progress.connections = evidence.connections;
    if (sink_) sink_(progress);
}

}  // namespace postfathom
