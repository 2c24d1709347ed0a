// SPDX-License-Identifier: Apache-2.0
// One connection to a mail server, from connect(2) to QUIT, with the segment size we allow the
// server. Says how far it came, and when the handshake stalls, how.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "probes/smtp_dialog.hpp"
#include "probes/stall_rule.hpp"
#include "probes/tls_session.hpp"

namespace postfathom {

namespace asio = boost::asio;

// What all connections to an endpoint have in common.
struct ProbePlan {
    using Time = std::chrono::steady_clock::time_point;

    Endpoint endpoint;
    std::optional<IpAddress> source;
    std::string ehlo_name;
    std::string server_name;  // sent as SNI; Postfix sends none unless told to
    Millis connect_timeout{};
    Millis greeting_timeout{};
    Millis reply_timeout{};
    Millis handshake_timeout{};
    Time deadline = Time::max();  // of all connections together
};

class HandshakeProbe {
  public:
    using Time = ProbePlan::Time;

    // `allow`: the largest packet the server may send us; nothing: whatever this host takes.
    // `patience`: see StallRule. `on_phase` may be empty. `plan` and `tls` outlive the probe.
    HandshakeProbe(const ProbePlan& plan, const TlsContext& tls, std::optional<PathMtu> allow,
                   std::chrono::duration<double> patience, std::function<void(Phase)> on_phase);
    ~HandshakeProbe();
    HandshakeProbe(const HandshakeProbe&) = delete;
    HandshakeProbe& operator=(const HandshakeProbe&) = delete;

    // Returns when the conversation is over or has to be called stalled. A stalled connection stays
    // open.
    asio::awaitable<void> run();

    bool stalled() const { return attempt_.stall != StallShape::none && socket_.has_value(); }

    // A stalled connection got more of the server's flight.
    bool moved();

    // Goes on with a stalled connection until `until`; true when the handshake was completed.
    asio::awaitable<bool> go_on(Time until);

    // Ends the connection: in order when it went through, else with a reset, so that the server
    // need not repeat what cannot arrive.
    void close();

    const Attempt& attempt() const { return attempt_; }
    const std::vector<PhaseTiming>& timings() const { return timings_; }
    const std::string& reply() const { return dialog_.reply(); }
    bool starttls_offered() const { return dialog_.starttls_offered(); }
    bool service_closing() const { return dialog_.service_closing(); }
    // Of a handshake that was completed, or that TLS itself ended.
    const std::optional<HandshakeFacts>& handshake() const { return handshake_; }
    // TLS bytes of the server's flight; 0: not all of it came.
    std::uint32_t flight_bytes() const { return flight_bytes_; }
    bool full_size_arrived() const { return rule_ && rule_->full_size_arrived(); }
    // Our own end of the connection; nothing before it was made.
    std::optional<IpAddress> local_address() const { return local_; }
    Time hello_sent() const { return hello_sent_; }

  private:
    struct Received {
        std::string bytes;
        std::optional<Outcome> trouble;
    };

    asio::awaitable<std::optional<Outcome>> connect();
    std::optional<Outcome> open_socket();
    asio::awaitable<void> converse();
    asio::awaitable<void> start_handshake();
    asio::awaitable<void> shake(Time deadline, bool judge);
    asio::awaitable<bool> send(std::string bytes);
    asio::awaitable<bool> ready(asio::posix::stream_descriptor::wait_type type, Time until);
    Received receive();
    bool observe(bool judge);
    void on_tls_bytes(const std::string& bytes);
    void established();
    void stalled_as(StallShape shape);
    void enter(Phase phase);
    void end(Outcome outcome);
    void give_up_when_late();
    void take_counters();
    void learn_size();
    Time phase_deadline() const;

    const ProbePlan& plan_;
    const TlsContext& tls_;
    std::optional<PathMtu> allow_;
    std::chrono::duration<double> patience_;
    std::function<void(Phase)> on_phase_;
    std::optional<asio::posix::stream_descriptor> socket_;
    SmtpDialog dialog_;
    std::unique_ptr<TlsSession> session_;
    std::optional<StallRule> rule_;
    std::optional<HandshakeFacts> handshake_;
    std::optional<IpAddress> local_;
    Attempt attempt_;
    std::vector<PhaseTiming> timings_;
    TcpCounters before_hello_;
    std::uint32_t flight_bytes_ = 0;
    Time started_;
    Time phase_started_;
    Time hello_sent_{};
};

}  // namespace postfathom
