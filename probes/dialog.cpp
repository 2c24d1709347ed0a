// SPDX-License-Identifier: Apache-2.0
#include "probes/dialog.hpp"

#include "lib/base/text.hpp"
#include "probes/imap_dialog.hpp"
#include "probes/smtp_dialog.hpp"

namespace postfathom {

namespace {

// Blanks may be tabs (RFC 5321 section 4.2 allows HT in a reply's text).
bool is_control(char c) {
    const auto byte = static_cast<unsigned char>(c);
    return (byte < 0x20 && c != '\t' && c != '\r' && c != '\n') || byte == 0x7f;
}

}  // namespace

Dialog::Dialog(Service service) : service_(service) {
    if (!implicit_tls(service_)) return;
    phase_ = Phase::handshake;
    step_ = Step::start_tls;
}

void Dialog::finish(Outcome outcome) {
    outcome_ = outcome;
    step_ = Step::close;
}

void Dialog::ready_for_tls() {
    phase_ = Phase::handshake;
    step_ = Step::start_tls;
}

void Dialog::refuse(ProtocolFault fault, std::string_view quoted) {
    // A good-bye that is not understood does no harm.
    if (phase_ == Phase::quit || outcome_ != Outcome::ok) return finish(outcome_);
    facts_.fault = fault;
    reply_ = printable(quoted);
    finish(Outcome::garbled);
}

void Dialog::receive(std::string_view bytes) {
    for (std::size_t i = 0; i < bytes.size() && step_ != Step::close; ++i) {
        // Whoever holds the conversation reads on.
        if (step_ == Step::hold) return;
        if (step_ == Step::start_tls) {
            phase_ = Phase::starttls;
            return refuse(ProtocolFault::clear_text_before_tls, bytes.substr(i));
        }
        if (++received_ > max_bytes) return refuse(ProtocolFault::endless_reply, unfinished());
        if (is_control(bytes[i])) ++facts_.control_characters;
        switch (feed(bytes[i])) {
            case Progress::going_on:
                break;
            case Progress::endless:
                return refuse(ProtocolFault::endless_reply, unfinished());
            case Progress::garbled: {
                // As much of the line as is there, for a person to recognise.
                const auto rest = bytes.substr(i + 1);
                const auto line = std::string(unfinished()) +
                                  std::string(rest.substr(0, rest.find_first_of("\r\n")));
                return refuse(ProtocolFault::other_protocol, line);
            }
        }
    }
}

void Dialog::tls_established() {
    tls_ = true;
    step_ = Step::wait;
    phase_ = Phase::ehlo_after_tls;
    restart();
}

void Dialog::interrupted(Outcome outcome) {
    if (step_ == Step::close) return;
    const bool leaving = phase_ == Phase::quit || outcome_ != Outcome::ok;
    if (!leaving) facts_.unfinished_bytes = static_cast<std::uint32_t>(unfinished().size());
    finish(leaving ? outcome_ : outcome);
}

std::unique_ptr<Dialog> make_dialog(Service service, const std::string& own_name) {
    if (speaks_imap(service)) return std::make_unique<ImapDialog>(service);
    return std::make_unique<SmtpDialog>(service, own_name);
}

}  // namespace postfathom
