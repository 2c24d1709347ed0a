// SPDX-License-Identifier: Apache-2.0
// One TCP connection to a mail server and the conversation on it, up to TLS and from its end on.
// What is done in between is the caller's: handshake_probe completes the handshake as Postfix does,
// others shape the ClientHello to learn about the path.
#pragma once

#include <algorithm>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "probes/dialog.hpp"
#include "probes/tls_session.hpp"

namespace postfathom {

namespace asio = boost::asio;

// When the next connection to an endpoint may be made, and how many there are. Shared by all
// connections of a probe.
class ConnectionPace {
  public:
    using Time = std::chrono::steady_clock::time_point;
    explicit ConnectionPace(std::chrono::steady_clock::duration apart) : apart_(apart) {}

    // The caller connects at the time that is answered.
    Time next(Time now) {
        const auto turn = std::max(now, free_);
        free_ = turn + apart_;
        return turn;
    }

    void opened() { ++open_; }
    void closed() { --open_; }
    std::uint32_t open() const { return open_; }

  private:
    std::uint32_t open_ = 0;
    std::chrono::steady_clock::duration apart_;
    Time free_{};
};

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
    // What the endpoint is asked to bear. A person who waits gets more than the daemon takes by
    // itself, whose handshakes left unfinished are counted by the server's fail2ban.
    std::uint32_t max_connections = 32;
    std::uint32_t max_aborted = 32;
    // The ordinary ClientHello is filled up to so many bytes, as that of another program is; 0: it
    // is what Postfix sends.
    std::uint32_t hello_bytes = 0;
    // Ask for the sizes that are known for trouble although nothing else points to them.
    bool ask_sizes = false;
    // Steps that need several connections at a time make no more than this, those that are kept
    // open included.
    std::uint32_t max_parallel = 4;
    // None: connections may follow at once, as many as the steps want.
    std::shared_ptr<ConnectionPace> pace;
    // Datagrams around the size that was found, to learn who says "too big".
    bool datagrams = true;
    // What earlier probes of this path found, to need fewer connections now.
    InboundPath inbound_before;
    OutboundPath outbound_before;
    bool starttls_offered_before = false;
    // Whether a connection may be spent on coming back with the session of an earlier one.
    bool try_resumption = false;
};

// What the TCP connection is like; see TCP_MAXSEG in tcp(7). None of it needs a privilege.
struct ConnectionShape {
    // The largest packet that the server may send us; nothing: whatever this host takes.
    std::optional<PathMtu> allow{};
    // The limit holds for the server only: our own packets are as large as the route allows. Else
    // it holds for both directions.
    bool receive_only = false;
    // Stop before STARTTLS: see Dialog::hold_after_ehlo().
    bool hold_after_ehlo = false;
};

class MailConnection {
  public:
    using Time = ProbePlan::Time;
    using WaitType = asio::posix::stream_descriptor::wait_type;
    using PhaseSink = std::function<void(Phase)>;  // may be empty

    MailConnection(const ProbePlan& plan, ConnectionShape shape,
                   PhaseSink on_phase);  // plan outlives
    ~MailConnection();
    MailConnection(const MailConnection&) = delete;
    MailConnection& operator=(const MailConnection&) = delete;

    // Connects and converses until TLS is to be started (ready_for_tls()) or it is over.
    asio::awaitable<void> open();
    bool ready_for_tls() const;
    bool held() const { return socket_ && dialog_->step() == Dialog::Step::hold; }

    // Tells that TLS is established; converses inside it to the end, good-bye included.
    asio::awaitable<void> finish_inside(TlsSession& session);

    // Ends the connection: in order when it went through, else with a reset, so that the server
    // need not repeat what cannot arrive.
    void close();
    bool is_open() const { return socket_.has_value(); }

    // --- for what happens between open() and finish_inside()

    struct Received {
        std::string bytes;
        std::optional<Outcome> trouble;
    };
    Received receive();  // what is there; does not wait
    // All bytes, however TCP cuts them. False when the peer does not take them in time.
    asio::awaitable<bool> send(std::string bytes);
    // All bytes in one segment with nothing glued to it (MSG_EOR); false when the socket would not
    // take them at once.
    bool send_segment(std::string_view bytes);
    asio::awaitable<bool> ready(WaitType type, Time until);  // false: not by then
    std::optional<TcpCounters> counters();

    void enter(Phase phase);
    void end(Outcome outcome);  // final, with timing and counters

    // --- what is known

    Phase reached() const { return reached_; }
    Outcome outcome() const { return outcome_; }
    double seconds() const { return seconds_; }                     // when it ended
    const TcpCounters& last_counters() const { return counters_; }  // when it ended
    // Largest packet the server can send us, from what both ends advertised.
    PathMtu allowed() const { return allowed_; }
    const std::vector<PhaseTiming>& timings() const { return timings_; }
    const Dialog& dialog() const { return *dialog_; }
    // Our own end of the connection; nothing before it was made.
    std::optional<IpAddress> local_address() const { return local_; }
    const ProbePlan& plan() const { return plan_; }

  private:
    asio::awaitable<void> wait_for_turn();
    void drop_socket();
    std::optional<Outcome> open_socket();
    asio::awaitable<std::optional<Outcome>> connect();
    asio::awaitable<void> converse(TlsSession* session);
    void learn_size();
    void give_up_when_late();
    Time phase_deadline() const;

    const ProbePlan& plan_;
    ConnectionShape shape_;
    PhaseSink on_phase_;
    std::unique_ptr<Dialog> dialog_;
    std::optional<asio::posix::stream_descriptor> socket_;
    std::optional<IpAddress> local_;
    PathMtu allowed_;
    Phase reached_ = Phase::connect;
    Outcome outcome_ = Outcome::ok;
    double seconds_ = 0;
    TcpCounters counters_;
    std::vector<PhaseTiming> timings_;
    Time started_;
    Time phase_started_;
};

}  // namespace postfathom
