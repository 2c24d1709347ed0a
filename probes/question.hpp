// SPDX-License-Identifier: Apache-2.0
// One request of a chosen size, cut into segments as wanted, on a connection of its own, and what
// became of it.
#pragma once

#include <memory>
#include <optional>

#include "lib/diagnosis/question_pattern.hpp"
#include "probes/mail_connection.hpp"

namespace postfathom {

class QuestionRun {
  public:
    using Time = ProbePlan::Time;

    // `patience`: silence after the acknowledgement is not judged before. The rest as in
    // HandshakeProbe.
    QuestionRun(const ProbePlan& plan, const TlsContext& tls, RequestShape shape,
                std::chrono::duration<double> patience, MailConnection::PhaseSink on_phase);

    // A request that is answered goes on to the end, QUIT included; else the connection is reset.
    asio::awaitable<void> ask();

    // Nothing: the conversation did not come to the request, or it could not be cut as wanted.
    const std::optional<Question>& question() const { return question_; }
    const std::optional<HandshakeFacts>& handshake() const { return handshake_; }
    const Dialog& dialog() const { return connection_.dialog(); }
    // The server has seen a handshake begin and not end.
    bool aborted() const { return aborted_; }

  private:
    asio::awaitable<void> ask_hello();
    asio::awaitable<void> ask_before_tls();
    asio::awaitable<bool> send_cut(std::string bytes);
    asio::awaitable<void> wait_for_answer(TlsSession* session);
    void take(std::string_view bytes, TlsSession* session);
    bool is_silent(const TcpCounters& counters, Time now);
    bool is_done(const TlsSession* session) const;
    void observe(const TcpCounters& counters);

    MailConnection connection_;
    const TlsContext& tls_;
    RequestShape shape_;
    std::chrono::duration<double> patience_;
    std::optional<Question> question_;
    std::optional<HandshakeFacts> handshake_;
    TcpCounters before_;
    Time asked_{};
    std::optional<Time> acknowledged_;
    std::optional<Time> repeated_;  // the last time that TCP did
    std::uint32_t repeats_ = 0;
    std::uint32_t replies_wanted_ = 0;
    std::string replies_;
    bool aborted_ = false;
};

// The smallest size that a ClientHello can be filled up to, and all above it.
std::uint32_t smallest_hello(const TlsContext& tls, const std::string& server_name);

// Lines of at most 512 bytes (RFC 5321 section 4.5.3.1.4) that ask for nothing: RSET, with NOOP as
// the last (RFC 2920 section 3.1).
struct HarmlessRequest {
    std::string text;
    std::uint32_t replies = 0;
};
HarmlessRequest harmless_request(std::uint32_t bytes);
inline constexpr std::uint32_t smallest_harmless_request = 8;  // "NOOP x"
inline constexpr std::uint32_t longest_line = 512;

}  // namespace postfathom
