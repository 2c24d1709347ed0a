// SPDX-License-Identifier: Apache-2.0
// The client side of IMAP up to STARTTLS and from the end of the handshake to LOGOUT (RFC 3501,
// RFC 9051): CAPABILITY, STARTTLS, CAPABILITY, LOGOUT. Nobody logs in. Sans I/O: bytes in, bytes
// out.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "probes/dialog.hpp"

namespace postfathom {

// Takes bytes as they come and gives responses, literals included. Any split of the bytes gives the
// same.
class ImapResponseParser {
  public:
    static constexpr std::size_t max_line = 8 * 1024;  // RFC 9051 section 4 asks for no more
    static constexpr std::size_t max_response = 16 * 1024;

    enum class State { incomplete, response, endless, garbled };

    // Looks at one byte; after `response` the response can be taken, after the last two it is over.
    State feed(char byte);
    // Without line end. The contents of literals are left out: nothing that we ask for comes in
    // one, and nothing in them may be taken for the server's own words.
    std::string take();
    const std::string& line() const { return response_; }  // for quoting what was garbled

  private:
    State end_of_line();

    std::string response_;
    std::size_t fed_ = 0;         // bytes of this response, literals included
    std::size_t line_begin_ = 0;  // in response_, of the line behind the last literal
    std::size_t literal_left_ = 0;
    State over_ = State::incomplete;
};

class ImapDialog : public Dialog {
  public:
    explicit ImapDialog(Service service);

  protected:
    Progress feed(char byte) override;
    std::string_view unfinished() const override { return parser_.line(); }
    void restart() override;

  private:
    void on_response(const std::string& response);
    void on_greeting(std::string_view status, std::string_view text);
    void on_untagged(std::string_view text);
    void on_tagged(std::string_view status);
    void send_command(Phase phase, std::string_view command);
    void leave(Outcome outcome);

    ImapResponseParser parser_;
    unsigned tag_ = 0;
    bool capable_ = false;  // a CAPABILITY response names STARTTLS
};

}  // namespace postfathom
