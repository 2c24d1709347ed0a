// SPDX-License-Identifier: Apache-2.0
#include "probes/outbound_probe.hpp"

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "probes/outbound_search.hpp"
#include "probes/tcp_evidence.hpp"

namespace postfathom {

namespace {

using Clock = std::chrono::steady_clock;
using Seconds = std::chrono::duration<double>;
using namespace std::chrono_literals;

// What the server may send us while we measure, when larger packets of its own may not arrive.
constexpr PathMtu small_answers{576};

// The SYN-ACK of a server this near can come before the limit for our own packets is lifted again.
constexpr std::uint32_t too_near_microseconds = 400;

// Sending a flight takes some tenths of this.
constexpr std::uint32_t near_microseconds = 2000;

// One connection whose ClientHello is cut into the steps of a staircase.
class Flight {
  public:
    // `answer_gets_lost`: the server's answer is larger than what arrives from it.
    Flight(EndpointRun& run, ConnectionShape shape, Seconds answer_patience, bool answer_gets_lost)
        : run_(run),
          shape_(shape),
          answer_patience_(answer_patience),
          answer_gets_lost_(answer_gets_lost),
          connection_(run.plan(), shape, run.connecting()) {}

    // Up to where the ClientHello is due; false when that was not reached.
    asio::awaitable<bool> open();

    // Our own packets are limited too, against our will.
    bool clamped_by_race() const;

    // Ends it before anything was sent.
    void abandon() { end(Outcome::cancelled); }

    FlightLimits limits() const;
    asio::awaitable<void> fly(std::vector<Step> steps, FlightJudge::Small before,
                              const OutboundSearch& search);

    const OutboundFlight& result() const { return result_; }
    const std::optional<HandshakeFacts>& handshake() const { return handshake_; }

  private:
    FlightJudge::Small small(FlightJudge::Small before) const;
    bool send(const std::vector<Step>& steps);
    void observe();
    asio::awaitable<void> watch(const OutboundSearch& search);
    asio::awaitable<void> shake();
    void take_answer();
    bool answer_seen();
    void end(Outcome outcome);
    void note();

    EndpointRun& run_;
    ConnectionShape shape_;
    Seconds answer_patience_;
    bool answer_gets_lost_;
    MailConnection connection_;
    TcpCounters before_;
    std::unique_ptr<TlsSession> session_;
    std::unique_ptr<FlightJudge> judge_;
    Clock::time_point sent_{};
    bool answered_ = false;
    bool over_ = false;  // the connection ended
    OutboundFlight result_;
    std::optional<HandshakeFacts> handshake_;
};

void Flight::note() {
    result_.reached = connection_.reached();
    result_.outcome = connection_.outcome();
    result_.seconds = connection_.seconds();
    result_.answered = answered_;
}

void Flight::end(Outcome outcome) {
    over_ = true;
    connection_.end(outcome);
    note();
    connection_.close();
    const bool in_handshake = result_.reached == Phase::handshake || session_ == nullptr;
    run_.connected(connection_.dialog(), in_handshake);
}

asio::awaitable<bool> Flight::open() {
    co_await connection_.open();
    const bool ready = connection_.ready_for_tls();
    if (ready) {
        before_ = connection_.counters().value_or(TcpCounters{});
    } else {
        over_ = true;
        note();
        run_.connected(connection_.dialog(), false);
    }
    co_return ready;
}

bool Flight::clamped_by_race() const {
    if (!shape_.allow || !shape_.receive_only) return false;
    return before_.peer_mss <= mss_for(*shape_.allow, run_.plan().endpoint.address.family()).bytes;
}

FlightLimits Flight::limits() const {
    FlightLimits limits;
    limits.family = run_.plan().endpoint.address.family();
    limits.option_bytes = option_bytes(before_);
    limits.largest = path_mtu_for(Mss{before_.peer_mss}, limits.family);
    limits.window = before_.congestion_window;
    limits.near = before_.rtt_microseconds < near_microseconds;
    limits.first_words = implicit_tls(run_.plan().endpoint.service);
    return limits;
}

FlightJudge::Small Flight::small(FlightJudge::Small before) const {
    const auto lost = std::min(before_.retransmits_total, before_.data_segments_out);
    return {before.acked + before_.data_segments_out - lost, before.lost + lost};
}

// A connection that is over has nothing outstanding, which says nothing.
void Flight::observe() {
    const auto counters = connection_.counters();
    if (counters && !over_) judge_->observe(*counters, Clock::now());
}

bool Flight::send(const std::vector<Step>& steps) {
    const auto hello = session_->take_output();
    const auto limits_now = limits();
    if (steps.empty() || hello.size() != hello_bytes_of(steps, limits_now)) return false;
    std::size_t at = 0;
    for (const auto& step : steps) {
        const auto length = payload_of(step, limits_now);
        if (!connection_.send_segment(std::string_view(hello).substr(at, length))) return false;
        at += length;
        // On a short path the acknowledgements are here before the next segment is out.
        observe();
    }
    return true;
}

void Flight::take_answer() {
    const auto received = connection_.receive();
    if (!received.bytes.empty()) {
        answered_ = true;
        session_->receive(received.bytes);
        session_->handshake();
    }
    if (session_->failed())
        end(session_->outcome());
    else if (received.trouble)
        end(*received.trouble);
}

// Part of the answer can arrive though the rest cannot.
bool Flight::answer_seen() {
    if (const auto counters = connection_.counters())
        answered_ = answered_ || counters->data_segments_in > before_.data_segments_in;
    return answered_;
}

// Selective acknowledgements wake nobody, so the counters are looked at again and again.
asio::awaitable<void> Flight::watch(const OutboundSearch& search) {
    const auto quarter = std::chrono::microseconds(before_.rtt_microseconds) / 4;
    while (true) {
        observe();
        const auto now = Clock::now();
        result_ = judge_->flight(now);
        if (search.enough(result_) || judge_->given_up(now) || now >= run_.plan().deadline)
            co_return;
        take_answer();
        if (over_) co_return;
        const auto tick = std::clamp<Clock::duration>(
            std::max<Clock::duration>(quarter, (now - sent_) / 8), 1ms, 100ms);
        co_await connection_.ready(MailConnection::WaitType::wait_read, now + tick);
    }
}

// All of the ClientHello is there, so the server can answer.
asio::awaitable<void> Flight::shake() {
    const auto until =
        std::min(Clock::now() + std::chrono::duration_cast<Clock::duration>(answer_patience_),
                 run_.plan().deadline);
    while (!session_->established()) {
        auto output = session_->take_output();
        if (!output.empty()) co_await connection_.send(std::move(output));
        take_answer();
        if (over_) co_return;
        if (answer_seen() && answer_gets_lost_) {
            end(Outcome::cancelled);
            co_return;
        }
        if (session_->established()) break;
        if (Clock::now() >= until) {
            end(Outcome::timed_out);
            co_return;
        }
        const auto look_again =
            answer_gets_lost_ ? std::min<Clock::time_point>(until, Clock::now() + 20ms) : until;
        co_await connection_.ready(MailConnection::WaitType::wait_read, look_again);
    }
    auto finished = session_->take_output();
    if (!finished.empty()) co_await connection_.send(std::move(finished));
    handshake_ = session_->facts();
    co_await connection_.finish_inside(*session_);
    over_ = true;
    note();
    run_.connected(connection_.dialog(), false);
}

asio::awaitable<void> Flight::fly(std::vector<Step> steps, FlightJudge::Small before,
                                  const OutboundSearch& search) {
    const auto& plan = run_.plan();
    connection_.enter(Phase::handshake);
    session_ = std::make_unique<TlsSession>(run_.tls(), plan.server_name, plan.endpoint.name,
                                            hello_bytes_of(steps, limits()));
    session_->handshake();
    sent_ = Clock::now();
    judge_ = std::make_unique<FlightJudge>(steps, limits(), before_, sent_, small(before));
    const bool all_sent = send(steps);
    if (!all_sent) {
        result_ = OutboundFlight{};
        end(Outcome::cancelled);
        co_return;
    }
    co_await watch(search);
    if (over_) co_return;
    answer_seen();
    if (judge_->complete())
        co_await shake();
    else
        end(Outcome::cancelled);
}

class OutboundProbe {
  public:
    explicit OutboundProbe(EndpointRun& run) : run_(run), search_(hints(run)) {}

    asio::awaitable<void> measure();

  private:
    static std::vector<PathMtu> hints(const EndpointRun& run);
    FlightJudge::Small ordinary_segments() const;
    ConnectionShape shape() const;
    Seconds answer_patience() const;
    bool likely_to_abort() const;
    bool cut_off_enough() const;
    asio::awaitable<void> fly();
    asio::awaitable<void> prove(PathMtu size);
    void keep(const Flight& flight);
    void report();

    EndpointRun& run_;
    OutboundSearch search_;
    bool may_clamp_ = true;
};

// Tunnels are mostly symmetric, and paths mostly what they were.
std::vector<PathMtu> OutboundProbe::hints(const EndpointRun& run) {
    std::vector<PathMtu> result;
    const auto add = [&result](const std::optional<PathMtu>& size) {
        if (size && std::find(result.begin(), result.end(), *size) == result.end())
            result.push_back(*size);
    };
    add(run.plan().outbound_before.path_mtu);
    if (run.evidence.inbound.exact) add(run.evidence.inbound.path_mtu);
    return result;
}

// The ordinary attempt's segments, small all of them, speak for the path in the same seconds. With
// implicit TLS there is hardly anything else that does.
FlightJudge::Small OutboundProbe::ordinary_segments() const {
    if (!search_.flights().empty() || run_.evidence.attempts.empty()) return {};
    const auto& counters = run_.evidence.attempts.front().counters;
    const auto not_acked = counters.retransmits_total + counters.unacked_segments;
    return {counters.data_segments_out - std::min(counters.data_segments_out, not_acked),
            counters.retransmits_total};
}

// When the server's large packets do not arrive, it is made to send small ones, or its answer would
// not show whether it took the ClientHello.
ConnectionShape OutboundProbe::shape() const {
    const auto& evidence = run_.evidence;
    const bool near = !evidence.attempts.empty() &&
                      evidence.attempts.front().counters.rtt_microseconds < too_near_microseconds;
    if (evidence.outcome == Outcome::ok || !may_clamp_ || near) return {};
    return {.allow = std::max(small_answers, evidence.inbound.path_mtu.value_or(small_answers)),
            .receive_only = true};
}

Seconds OutboundProbe::answer_patience() const {
    Seconds patience = 3s;
    for (const auto& timing : run_.evidence.timings)
        if (timing.phase == Phase::handshake)
            patience = std::max(patience, 4 * Seconds(timing.seconds));
    // A server that never answered is not waited for again.
    if (!run_.evidence.handshake) patience = 1s;
    return std::min<Seconds>(patience, run_.plan().handshake_timeout);
}

// A path that is ill in one direction mostly is in both.
bool OutboundProbe::likely_to_abort() const {
    return run_.evidence.outcome != Outcome::ok || !search_.flights().empty() ||
           run_.plan().outbound_before.path_mtu.has_value();
}

// A server that ends every conversation at the ClientHello is not asked for ever.
bool OutboundProbe::cut_off_enough() const {
    const auto& flights = search_.flights();
    const auto cut_off = std::count_if(flights.begin(), flights.end(), [](const auto& flight) {
        return flight.shape == FlightShape::unjudged && flight.outcome != Outcome::cancelled;
    });
    return cut_off >= (run_.evidence.outcome == Outcome::ok ? 2 : 1);
}

void OutboundProbe::report() {
    const auto found = search_.picture();
    run_.progress.passes = found.passes;
    run_.progress.fails = found.fails;
    run_.report(Phase::handshake);
}

void OutboundProbe::keep(const Flight& flight) {
    run_.evidence.flights.push_back(flight.result());
    if (!run_.evidence.handshake) run_.evidence.handshake = flight.handshake();
}

asio::awaitable<void> OutboundProbe::fly() {
    const auto limited = shape();
    const bool lost = run_.evidence.outcome != Outcome::ok && !limited.allow;
    const auto flight = std::make_unique<Flight>(run_, limited, answer_patience(), lost);
    const bool ready = co_await flight->open();
    if (ready && flight->clamped_by_race()) {
        flight->abandon();
        may_clamp_ = false;
        co_return;
    }
    PathMtu largest;
    if (ready) {
        largest = flight->limits().largest;
        run_.progress.trying = largest;
        co_await flight->fly(search_.next(flight->limits()), ordinary_segments(), search_);
    }
    keep(*flight);
    search_.told(flight->result(), largest);
    report();
}

// As everything will be when a person limits the path to this size: both directions, packets as
// large as that, and the handshake completes.
asio::awaitable<void> OutboundProbe::prove(PathMtu size) {
    ConnectionShape both;
    both.allow = size;
    const auto flight = std::make_unique<Flight>(run_, both, 3s, false);
    const bool ready = co_await flight->open();
    if (ready) co_await flight->fly(proof_steps(flight->limits()), {}, search_);
    keep(*flight);
}

asio::awaitable<void> OutboundProbe::measure() {
    while (search_.wants_more() && !cut_off_enough()) {
        if (!run_.may_connect(likely_to_abort())) break;
        co_await fly();
    }
    run_.progress.trying.reset();
    auto& evidence = run_.evidence;
    evidence.outbound = search_.result();
    const auto found = search_.picture();
    if (!found.hole() || !run_.may_connect(false)) co_return;
    auto size = *found.passes;
    if (evidence.inbound.exact) size = std::min(size, *evidence.inbound.path_mtu);
    co_await prove(size);
}

asio::awaitable<void> run_to_end(std::unique_ptr<OutboundProbe> probe) {
    co_await probe->measure();
}

asio::awaitable<void> nothing() { co_return; }

}  // namespace

asio::awaitable<void> measure_outbound(EndpointRun& run) {
    if (run.evidence.reached < Phase::handshake) return nothing();
    return run_to_end(std::make_unique<OutboundProbe>(run));
}

}  // namespace postfathom
