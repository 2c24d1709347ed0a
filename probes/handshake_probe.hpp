// SPDX-License-Identifier: Apache-2.0
// One connection to a mail server, from connect(2) to QUIT, with the segment size we allow the
// server. Says how far it came, and when the handshake stalls, how.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "probes/mail_connection.hpp"
#include "probes/stall_rule.hpp"

namespace postfathom {

// The head and its first repeat.
inline constexpr std::uint32_t copies_of_gap = 2;

class HandshakeProbe {
  public:
    using Time = ProbePlan::Time;

    // `allow`: the largest packet the server may send us; nothing: whatever this host takes.
    // `patience`: see StallRule. `on_phase` may be empty. `plan` and `tls` outlive the probe.
    HandshakeProbe(const ProbePlan& plan, const TlsContext& tls, std::optional<PathMtu> allow,
                   std::chrono::duration<double> patience, MailConnection::PhaseSink on_phase);

    // How many copies of what is missing the server must have sent before a gap counts; before
    // run().
    void wait_for_copies(std::uint32_t copies) { copies_ = copies; }

    // Returns when the conversation is over or has to be called stalled. A stalled connection stays
    // open.
    asio::awaitable<void> run();

    bool stalled() const { return attempt_.stall != StallShape::none && connection_.is_open(); }

    // The handshake began and came to no end, for whatever reason: the server logs a client lost in
    // it, and may count it.
    bool left_unfinished() const {
        return attempt_.reached == Phase::handshake && attempt_.outcome != Outcome::ok;
    }

    // A stalled connection got more of the server's flight.
    bool moved();

    // Goes on with a stalled connection until `until`; true when the handshake was completed.
    asio::awaitable<bool> go_on(Time until);

    // See MailConnection::close().
    void close() { connection_.close(); }

    const Attempt& attempt() const { return attempt_; }
    const std::vector<PhaseTiming>& timings() const { return timings_; }
    const Dialog& dialog() const { return connection_.dialog(); }
    // Of a handshake that was completed, or that TLS itself ended.
    const std::optional<HandshakeFacts>& handshake() const { return handshake_; }
    // What the server gave to come back with, when the conversation went to its end.
    const TlsTicket& ticket() const { return ticket_; }
    bool resumed() const { return session_ && session_->resumed(); }
    // TLS bytes of the server's flight; 0: not all of it came.
    std::uint32_t flight_bytes() const { return flight_bytes_; }
    bool full_size_arrived() const { return rule_ && rule_->full_size_arrived(); }
    std::optional<IpAddress> local_address() const { return connection_.local_address(); }
    Time hello_sent() const { return hello_sent_; }

  private:
    asio::awaitable<void> start_handshake();
    asio::awaitable<void> shake(Time deadline, bool judge);
    asio::awaitable<void> finish();
    bool observe(bool judge);
    void established();
    void stalled_as(StallShape shape);
    void end(Outcome outcome);
    void note();
    std::uint32_t flight_so_far(const TcpCounters& counters) const;

    MailConnection connection_;
    const TlsContext& tls_;
    std::chrono::duration<double> patience_;
    std::uint32_t copies_ = copies_of_gap;
    std::unique_ptr<TlsSession> session_;
    std::optional<StallRule> rule_;
    std::optional<HandshakeFacts> handshake_;
    TlsTicket ticket_;
    Attempt attempt_;
    std::vector<PhaseTiming> timings_;
    TcpCounters before_hello_;
    std::uint32_t flight_bytes_ = 0;
    Time hello_sent_{};
};

}  // namespace postfathom
