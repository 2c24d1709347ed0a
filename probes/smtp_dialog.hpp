// SPDX-License-Identifier: Apache-2.0
// The client side of SMTP up to STARTTLS and from the end of the handshake to QUIT, as Postfix's
// smtp(8) holds it. Sans I/O: bytes in, bytes out. What the server says is bounded and never
// trusted.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "lib/destination/endpoint.hpp"
#include "lib/diagnosis/evidence.hpp"

namespace postfathom {

struct SmtpReply {
    int code = 0;
    std::string last_line;  // without line end, as it came
    std::string lines;      // all of them, separated by '\n'
};

// Takes bytes as they come and gives replies (RFC 5321 section 4.2). Any split of the bytes gives
// the same.
class SmtpReplyParser {
  public:
    static constexpr std::size_t max_line = 2048;  // Postfix's line_length_limit
    static constexpr std::size_t max_reply = 16 * 1024;

    enum class State { incomplete, reply, garbled };

    // Looks at one byte; after `reply` the reply can be taken, after `garbled` it is over.
    State feed(char byte);
    SmtpReply take();
    const std::string& line() const { return line_; }  // for quoting what was garbled

  private:
    State end_of_line();

    std::string line_;
    SmtpReply reply_;
    bool garbled_ = false;
};

class SmtpDialog {
  public:
    static constexpr std::size_t max_bytes = 64 * 1024;  // of one direction of one connection

    SmtpDialog(Service service, std::string ehlo_name);

    enum class Step {
        wait,       // for more from the server
        start_tls,  // the caller runs the handshake, then calls tls_established()
        close,      // the conversation is over; outcome() says how
    };

    Step step() const { return step_; }
    Phase phase() const { return phase_; }  // the last that was entered
    Outcome outcome() const { return outcome_; }
    const std::string& reply() const { return reply_; }  // printable; the last that matters
    bool starttls_offered() const { return starttls_offered_; }
    bool service_closing() const {
        return closing_;
    }  // 421: come again later (RFC 5321 section 3.8)

    void receive(std::string_view bytes);
    void tls_established();
    std::string take_output();

    // The server ended the connection, or the caller's deadline passed.
    void interrupted(Outcome outcome);

  private:
    void on_reply(const SmtpReply& reply);
    void on_greeting(const SmtpReply& reply);
    void on_ehlo(const SmtpReply& reply);
    void on_starttls(const SmtpReply& reply);
    void send_ehlo();
    void send_quit(Outcome outcome);
    void finish(Outcome outcome);
    bool refused(const SmtpReply& reply);

    Service service_;
    std::string ehlo_name_;
    SmtpReplyParser parser_;
    Step step_ = Step::wait;
    Phase phase_ = Phase::greeting;
    Outcome outcome_ = Outcome::ok;
    std::string reply_;
    std::string output_;
    std::size_t received_ = 0;
    bool tls_ = false;
    bool greeted_ = false;
    bool helo_ = false;
    bool starttls_offered_ = false;
    bool closing_ = false;
};

}  // namespace postfathom
