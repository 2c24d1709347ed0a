// SPDX-License-Identifier: Apache-2.0
#include "probes/question.hpp"

#include <algorithm>
#include <utility>

#include "lib/net/deadline.hpp"
#include "probes/stall_rule.hpp"

namespace postfathom {

namespace {

using Clock = std::chrono::steady_clock;
using Seconds = std::chrono::duration<double>;
using namespace std::chrono_literals;

Seconds round_trip(const TcpCounters& counters) {
    return std::chrono::microseconds(counters.rtt_microseconds);
}

Clock::duration tick(const TcpCounters& counters) {
    return std::clamp<Clock::duration>(std::chrono::microseconds(counters.rtt_microseconds) / 4,
                                       3ms, 50ms);
}

}  // namespace

std::uint32_t smallest_hello(const TlsContext& tls, const std::string& server_name) {
    TlsSession session(tls, server_name, "", 1);
    session.handshake();
    // The header of the extension that fills it, and a byte in it.
    return static_cast<std::uint32_t>(session.take_output().size()) + 5;
}

HarmlessRequest harmless_request(std::uint32_t bytes) {
    HarmlessRequest request;
    // As many full lines as leave enough for the last one. Blanks before the line end are to be
    // tolerated (RFC 5321 section 4.1.1).
    while (bytes > longest_line) {
        const auto line = std::min(longest_line, bytes - smallest_harmless_request);
        request.text += "RSET" + std::string(line - 6, ' ') + "\r\n";
        bytes -= line;
        ++request.replies;
    }
    const auto argument = std::max(bytes, smallest_harmless_request) - 7;
    request.text += "NOOP " + std::string(argument, 'x') + "\r\n";
    ++request.replies;
    return request;
}

QuestionRun::QuestionRun(const ProbePlan& plan, const TlsContext& tls, RequestShape shape,
                         Seconds patience, MailConnection::PhaseSink on_phase)
    : connection_(plan, {.hold_after_ehlo = shape.kind != QuestionKind::client_hello},
                  std::move(on_phase)),
      tls_(tls),
      shape_(shape),
      patience_(patience) {}

asio::awaitable<void> QuestionRun::ask() {
    co_await connection_.open();
    if (connection_.ready_for_tls())
        co_await ask_hello();
    else if (connection_.held())
        co_await ask_before_tls();
    connection_.close();
}

void QuestionRun::observe(const TcpCounters& counters) {
    const auto now = Clock::now();
    auto& question = *question_;
    question.retransmits = counters.retransmits_total - before_.retransmits_total;
    if (question.retransmits > repeats_) {
        repeats_ = question.retransmits;
        repeated_ = now;
    }
    // In order or not: it was sent in answer to the request. The count of segments says nothing:
    // while our request is lost, so is the acknowledgement of the last reply, which is repeated.
    question.answered = question.answered || counters.bytes_received > before_.bytes_received ||
                        counters.out_of_order_segments > before_.out_of_order_segments;
}

// Each piece is acknowledged before the next is sent, so that a server that reads what is there
// reads them one by one. False: they could not be cut so.
asio::awaitable<bool> QuestionRun::send_cut(std::string bytes) {
    const auto limit = asked_ + connection_.plan().handshake_timeout;
    std::size_t sent = 0;
    for (std::uint32_t left = shape_.segments; left > 0; --left) {
        const auto piece = (bytes.size() - sent + left - 1) / left;
        // When a later one is refused, the connection has ended, and that is the answer.
        if (!connection_.send_segment(std::string_view(bytes).substr(sent, piece)))
            co_return sent > 0;
        sent += piece;
        while (left > 1) {
            const auto counters = connection_.counters();
            if (!counters) co_return false;
            observe(*counters);
            if (counters->unacked_segments == 0) break;
            // It is lost for good, or the connection ended: the answer is what follows.
            if (repeats_ >= repeats_for_dropped || question_->answered || Clock::now() >= limit)
                co_return true;
            co_await pause(tick(before_));
        }
    }
    co_return true;
}

// Nothing more is to be expected.
bool QuestionRun::is_silent(const TcpCounters& counters, Time now) {
    if (counters.unacked_segments > 0) {
        acknowledged_.reset();
        return repeats_ >= repeats_for_dropped &&
               Seconds(now - *repeated_) > 1.5 * round_trip(counters) + 50ms;
    }
    if (!acknowledged_) acknowledged_ = now;
    // Three of an answer of which nothing arrives.
    const auto repeats = Seconds(copies_sent_after(4, round_trip(counters).count()));
    return Seconds(now - *acknowledged_) > std::max(repeats, patience_);
}

bool QuestionRun::is_done(const TlsSession* session) const {
    if (session != nullptr) return session->established() || session->failed();
    return static_cast<std::uint32_t>(std::count(replies_.begin(), replies_.end(), '\n')) >=
           replies_wanted_;
}

void QuestionRun::take(std::string_view bytes, TlsSession* session) {
    question_->answered = true;
    if (session != nullptr) {
        session->receive(bytes);
        session->handshake();
        return;
    }
    replies_ += bytes.substr(0, Dialog::max_bytes - std::min(replies_.size(), Dialog::max_bytes));
}

asio::awaitable<void> QuestionRun::wait_for_answer(TlsSession* session) {
    const auto& plan = connection_.plan();
    const auto limit = std::min(asked_ + plan.handshake_timeout, plan.deadline);
    auto& question = *question_;
    while (!is_done(session)) {
        if (session != nullptr) {
            auto output = session->take_output();
            if (!output.empty()) co_await connection_.send(std::move(output));
        }
        const auto counters = connection_.counters();
        if (counters) observe(*counters);
        const auto received = connection_.receive();
        const auto now = Clock::now();
        if (!received.bytes.empty()) {
            take(received.bytes, session);
            if (now < limit) continue;
        }
        if (received.trouble) {
            question.outcome = *received.trouble;
            // The whole request arrived, or the end of the connection is the answer to a part.
            question.acknowledged = true;
            break;
        }
        if (now >= limit || (counters && !question.answered && is_silent(*counters, now))) {
            question.outcome = now >= plan.deadline ? Outcome::cancelled : Outcome::timed_out;
            question.acknowledged = counters && counters->unacked_segments == 0;
            break;
        }
        co_await connection_.ready(MailConnection::WaitType::wait_read, now + tick(before_));
    }
    question.seconds = Seconds(Clock::now() - asked_).count();
    if (is_done(session)) question.acknowledged = true;
}

asio::awaitable<void> QuestionRun::ask_hello() {
    const auto& plan = connection_.plan();
    TlsSession session(tls_, plan.server_name, plan.endpoint.name, shape_.bytes);
    session.handshake();
    auto hello = session.take_output();
    connection_.enter(Phase::handshake);
    before_ = connection_.counters().value_or(TcpCounters{});
    asked_ = Clock::now();
    aborted_ = true;
    question_ = Question{shape_.kind, shape_.bytes, shape_.segments};
    const bool fits = hello.size() == shape_.bytes;
    bool cut = false;
    if (fits) cut = co_await send_cut(std::move(hello));
    if (cut) {
        co_await wait_for_answer(&session);
    } else {
        question_.reset();
        connection_.end(Outcome::cancelled);
        co_return;
    }
    if (!session.established()) {
        if (session.failed()) question_->outcome = session.outcome();
        connection_.end(question_->outcome == Outcome::ok ? Outcome::timed_out
                                                          : question_->outcome);
        co_return;
    }
    aborted_ = false;
    handshake_ = session.facts();
    auto finished = session.take_output();
    if (!finished.empty()) co_await connection_.send(std::move(finished));
    co_await connection_.finish_inside(session);
}

asio::awaitable<void> QuestionRun::ask_before_tls() {
    auto request = harmless_request(shape_.bytes);
    before_ = connection_.counters().value_or(TcpCounters{});
    asked_ = Clock::now();
    replies_wanted_ = request.replies;
    question_ = Question{shape_.kind, shape_.bytes, shape_.segments};
    const bool cut = co_await send_cut(std::move(request.text));
    if (!cut) {
        question_.reset();
        connection_.end(Outcome::cancelled);
        co_return;
    }
    co_await wait_for_answer(nullptr);
    if (!question_->answered) {
        connection_.end(question_->outcome);
        co_return;
    }
    // Nobody waits for the answer.
    connection_.send_segment("QUIT\r\n");
    connection_.end(Outcome::ok);
}

}  // namespace postfathom
