// SPDX-License-Identifier: Apache-2.0
// A conversation with a mail server from its greeting to the start of TLS, and from the end of the
// handshake to the good-bye. Sans I/O: bytes in, bytes out. What the server says is bounded and
// never trusted. smtp_dialog and imap_dialog say what is spoken.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "lib/destination/endpoint.hpp"
#include "lib/diagnosis/evidence.hpp"

namespace postfathom {

class Dialog {
  public:
    static constexpr std::size_t max_bytes = 64 * 1024;  // of one direction of one connection

    enum class Step {
        wait,       // for more from the server
        hold,       // the caller asks something of its own, see hold_after_ehlo()
        start_tls,  // the caller runs the handshake, then calls tls_established()
        close,      // the conversation is over; outcome() says how
    };

    virtual ~Dialog() = default;
    Dialog(const Dialog&) = delete;
    Dialog& operator=(const Dialog&) = delete;

    Step step() const { return step_; }
    Phase phase() const { return phase_; }  // the last that was entered
    Outcome outcome() const { return outcome_; }
    const std::string& reply() const { return reply_; }  // printable; the last that matters
    bool starttls_offered() const { return starttls_offered_; }
    // The server asks us to come again later: 421 (RFC 5321 section 3.8), BYE (RFC 3501 7.1.5).
    bool service_closing() const { return facts_.told_to_go; }
    const DialogFacts& facts() const { return facts_; }

    // The conversation stops after the answer to EHLO, before STARTTLS. SMTP only.
    void hold_after_ehlo() { hold_ = true; }

    // Clear text before TLS, what was inside the records after it. Nothing may come between the
    // reply to STARTTLS and our ClientHello: what does is refused (RFC 3207 section 6, RFC 9051
    // section 6.2.1), or whoever put it there could speak to us with the server's voice.
    void receive(std::string_view bytes);
    void tls_established();
    std::string take_output() { return std::exchange(output_, {}); }

    // The server ended the connection, or the caller's deadline passed.
    void interrupted(Outcome outcome);

  protected:
    enum class Progress { going_on, endless, garbled };

    explicit Dialog(Service service);
    void finish(Outcome outcome);
    void ready_for_tls();

    virtual Progress feed(char byte) = 0;
    virtual std::string_view unfinished() const = 0;  // what came of a reply that is not complete
    virtual void restart() = 0;                       // inside TLS, where nothing is carried over

    std::string reply_;
    std::string output_;
    DialogFacts facts_;
    Service service_;
    Step step_ = Step::wait;
    Phase phase_ = Phase::greeting;
    Outcome outcome_ = Outcome::ok;
    bool tls_ = false;
    bool greeted_ = false;
    bool starttls_offered_ = false;
    bool hold_ = false;

  private:
    void refuse(ProtocolFault fault, std::string_view quoted);

    std::size_t received_ = 0;
};

// The one that the service speaks. `own_name`: what we say in EHLO.
std::unique_ptr<Dialog> make_dialog(Service service, const std::string& own_name);

}  // namespace postfathom
