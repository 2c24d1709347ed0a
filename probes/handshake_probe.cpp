// SPDX-License-Identifier: Apache-2.0
#include "probes/handshake_probe.hpp"

#include <algorithm>
#include <utility>

namespace postfathom {

namespace {

using Clock = std::chrono::steady_clock;
using Seconds = std::chrono::duration<double>;

}  // namespace

HandshakeProbe::HandshakeProbe(const ProbePlan& plan, const TlsContext& tls,
                               std::optional<PathMtu> allow, Seconds patience,
                               MailConnection::PhaseSink on_phase)
    : connection_(plan, {.allow = allow}, std::move(on_phase)), tls_(tls), patience_(patience) {
    attempt_.clamped = allow.has_value();
}

// What the connection knows, as an attempt.
void HandshakeProbe::note() {
    attempt_.allowed = connection_.allowed();
    attempt_.reached = connection_.reached();
    attempt_.outcome = connection_.outcome();
    attempt_.seconds = connection_.seconds();
    attempt_.counters = connection_.last_counters();
    attempt_.small_received = attempt_.counters.data_segments_in;
    if (rule_) {
        attempt_.largest_received = rule_->largest_received();
        attempt_.answer_bytes = flight_so_far(attempt_.counters);
    }
    timings_ = connection_.timings();
}

std::uint32_t HandshakeProbe::flight_so_far(const TcpCounters& counters) const {
    const auto before = std::min(before_hello_.bytes_received, counters.bytes_received);
    return static_cast<std::uint32_t>(
        std::min<std::uint64_t>(counters.bytes_received - before, 1U << 20));
}

void HandshakeProbe::end(Outcome outcome) {
    connection_.end(outcome);
    note();
}

void HandshakeProbe::established() {
    if (const auto counters = connection_.counters()) flight_bytes_ = flight_so_far(*counters);
    handshake_ = session_->facts();
}

// A snapshot of the counters; true when it makes the handshake stalled.
bool HandshakeProbe::observe(bool judge) {
    const auto counters = connection_.counters();
    if (!counters) return false;
    const auto shape = rule_->observe(*counters, Clock::now());
    if (!shape || !judge) return false;
    stalled_as(*shape);
    return true;
}

void HandshakeProbe::stalled_as(StallShape shape) {
    attempt_.stall = shape;
    end(Outcome::timed_out);
}

// Out-of-order arrival wakes nobody, so the counters are looked at every quarter of a round trip.
asio::awaitable<void> HandshakeProbe::shake(Time deadline, bool judge) {
    using namespace std::chrono_literals;
    while (!session_->established()) {
        auto output = session_->take_output();
        if (!output.empty()) co_await connection_.send(std::move(output));
        if (session_->failed()) {
            handshake_ = session_->facts();
            end(session_->outcome());
            co_return;
        }
        const auto received = connection_.receive();
        // Before the trouble is looked at: what came with it counts.
        if (observe(judge && received.bytes.empty() && !received.trouble)) co_return;
        if (received.trouble) {
            end(*received.trouble);
            co_return;
        }
        const auto now = Clock::now();
        if (!received.bytes.empty()) {
            session_->receive(received.bytes);
            session_->handshake();
            // A server may send without end.
            if (now < deadline) continue;
        }
        if (now >= deadline) co_return;
        const auto rtt = std::chrono::microseconds(before_hello_.rtt_microseconds);
        const auto tick = std::clamp<Clock::duration>(rtt / 4, 3ms, 100ms);
        co_await connection_.ready(MailConnection::WaitType::wait_read,
                                   std::min(now + tick, deadline));
    }
    auto finished = session_->take_output();
    if (!finished.empty()) co_await connection_.send(std::move(finished));
    established();
}

asio::awaitable<void> HandshakeProbe::start_handshake() {
    const auto& plan = connection_.plan();
    connection_.enter(Phase::handshake);
    session_ =
        std::make_unique<TlsSession>(tls_, plan.server_name, plan.endpoint.name, plan.hello_bytes);
    session_->handshake();
    auto hello = session_->take_output();
    attempt_.hello_bytes = static_cast<std::uint32_t>(hello.size());
    before_hello_ = connection_.counters().value_or(TcpCounters{});
    hello_sent_ = Clock::now();
    rule_.emplace(before_hello_, hello_sent_, connection_.allowed(), plan.endpoint.address.family(),
                  patience_, copies_);
    co_await connection_.send(std::move(hello));
    const auto limit = std::min(hello_sent_ + plan.handshake_timeout, plan.deadline);
    co_await shake(limit, true);
    if (session_->established() || connection_.outcome() != Outcome::ok) co_return;
    // Time is up although packets of full size arrive.
    if (Clock::now() >= plan.deadline)
        end(Outcome::cancelled);
    else
        stalled_as(rule_->full_size_arrived() ? StallShape::unfinished : StallShape::silent_acked);
}

asio::awaitable<void> HandshakeProbe::finish() {
    co_await connection_.finish_inside(*session_);
    if (connection_.outcome() == Outcome::ok) ticket_ = session_->ticket();
    note();
}

asio::awaitable<void> HandshakeProbe::run() {
    co_await connection_.open();
    note();
    if (!connection_.ready_for_tls()) co_return;
    co_await start_handshake();
    if (session_->established()) co_await finish();
}

bool HandshakeProbe::moved() {
    if (!stalled()) return false;
    const auto counters = connection_.counters();
    return counters && counters->bytes_received > attempt_.counters.bytes_received;
}

asio::awaitable<bool> HandshakeProbe::go_on(Time until) {
    if (!stalled()) co_return false;
    auto before = attempt_;
    auto timings = timings_;
    co_await shake(std::min(until, connection_.plan().deadline), false);
    const bool completed = session_->established();
    const bool failed = session_->failed() || connection_.outcome() != before.outcome;
    if (completed) {
        co_await finish();
        before.largest_received = rule_->largest_received();
    }
    // The attempt stays what it was when it was judged; only that it recovered is new.
    attempt_ = before;
    timings_ = std::move(timings);
    if (completed || failed) close();
    co_return completed;
}

}  // namespace postfathom
