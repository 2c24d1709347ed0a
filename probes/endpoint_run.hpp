// SPDX-License-Identifier: Apache-2.0
// What the steps of one endpoint's probe share: the evidence as it grows, the budget, and the
// progress display. A step is a coroutine that makes connections and adds what it saw.
#pragma once

#include <chrono>
#include <functional>
#include <optional>

#include "probes/mail_connection.hpp"

namespace postfathom {

struct EndpointProgress {
    Phase phase = Phase::connect;
    std::optional<PathMtu> trying;
    std::optional<PathMtu> passes;
    std::optional<PathMtu> fails;
    std::uint32_t connections = 0;
};
using EndpointProgressSink = std::function<void(const EndpointProgress&)>;

class EndpointRun {
  public:
    using Clock = std::chrono::steady_clock;

    // `plan` and `tls` outlive it.
    EndpointRun(const ProbePlan& plan, const TlsContext& tls, EndpointProgressSink sink);

    const ProbePlan& plan() const { return plan_; }
    const TlsContext& tls() const { return tls_; }

    Evidence evidence;
    EndpointProgress progress;
    TlsTicket ticket;  // of the last handshake that a server let us come back from

    // Whether another connection may be made. `may_abort`: it is likely to be left in the middle of
    // its handshake. Once the answer was no for want of budget, the evidence says so.
    bool may_connect(bool may_abort);

    // Every connection is announced before it is made, and told of when it is over.
    MailConnection::PhaseSink connecting();
    void connected(const Dialog& dialog, bool aborted);

    // The server asked us to come again later (421, a rate limit).
    bool told_to_go() const { return told_to_go_; }

    void report(Phase phase);

  private:
    const ProbePlan& plan_;
    const TlsContext& tls_;
    EndpointProgressSink sink_;
    bool told_to_go_ = false;
};

}  // namespace postfathom
