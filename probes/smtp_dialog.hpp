// SPDX-License-Identifier: Apache-2.0
// The client side of SMTP up to STARTTLS and from the end of the handshake to QUIT, as Postfix's
// smtp(8) holds it. Sans I/O: bytes in, bytes out. What the server says is bounded and never
// trusted.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "probes/dialog.hpp"

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

    enum class State { incomplete, reply, endless, garbled };

    // Looks at one byte; after `reply` the reply can be taken, after the last two it is over.
    State feed(char byte);
    SmtpReply take();
    // What came of a reply that is not complete.
    std::string_view unfinished() const { return line_.empty() ? reply_.lines : line_; }

  private:
    State end_of_line();

    std::string line_;
    SmtpReply reply_;
    State over_ = State::incomplete;
};

class SmtpDialog : public Dialog {
  public:
    SmtpDialog(Service service, std::string ehlo_name);

  protected:
    Progress feed(char byte) override;
    std::string_view unfinished() const override { return parser_.unfinished(); }
    void restart() override;

  private:
    void on_reply(const SmtpReply& reply);
    void on_greeting(const SmtpReply& reply);
    void on_ehlo(const SmtpReply& reply);
    void on_starttls(const SmtpReply& reply);
    void send_ehlo();
    void send_quit(Outcome outcome);
    bool refused(const SmtpReply& reply);

    std::string ehlo_name_;
    SmtpReplyParser parser_;
    bool helo_ = false;
};

}  // namespace postfathom
