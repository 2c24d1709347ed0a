// SPDX-License-Identifier: Apache-2.0
#include "probes/smtp_dialog.hpp"

#include <utility>

#include "lib/base/text.hpp"

namespace postfathom {

namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// EHLO keywords follow the code in every line but the first (RFC 5321 section 4.1.1.1).
bool offers(const std::string& lines, std::string_view keyword) {
    const auto all = split(lines, '\n');
    for (std::size_t i = 1; i < all.size(); ++i) {
        auto words = all[i].substr(std::min<std::size_t>(4, all[i].size()));
        if (iequals(trim(words.substr(0, words.find(' '))), keyword)) return true;
    }
    return false;
}

}  // namespace

SmtpReplyParser::State SmtpReplyParser::feed(char byte) {
    if (garbled_) return State::garbled;
    if (byte == '\n') return end_of_line();
    line_ += byte;
    // What cannot become a reply is known from its first bytes: a server that speaks first and
    // something else (SSH, TLS, MySQL) need not send a line end.
    if (line_.size() <= 3 && !is_digit(byte)) garbled_ = true;
    if (line_.size() > max_line) garbled_ = true;
    return garbled_ ? State::garbled : State::incomplete;
}

SmtpReplyParser::State SmtpReplyParser::end_of_line() {
    if (!line_.empty() && line_.back() == '\r') line_.pop_back();
    const bool shaped =
        line_.size() >= 3 && (line_.size() == 3 || line_[3] == ' ' || line_[3] == '-');
    const int code = shaped ? (line_[0] - '0') * 100 + (line_[1] - '0') * 10 + (line_[2] - '0') : 0;
    if (!shaped || code < 200 || code > 599 || reply_.lines.size() + line_.size() > max_reply) {
        garbled_ = true;
        return State::garbled;
    }
    if (!reply_.lines.empty()) reply_.lines += '\n';
    reply_.lines += line_;
    if (line_.size() > 3 && line_[3] == '-') {
        line_.clear();
        return State::incomplete;
    }
    // The last line's code counts, as in Postfix (smtp_chat_resp).
    reply_.code = code;
    reply_.last_line = std::exchange(line_, {});
    return State::reply;
}

SmtpReply SmtpReplyParser::take() { return std::exchange(reply_, {}); }

SmtpDialog::SmtpDialog(Service service, std::string ehlo_name)
    : Dialog(service), ehlo_name_(std::move(ehlo_name)) {}

void SmtpDialog::receive(std::string_view bytes) {
    for (std::size_t i = 0; i < bytes.size(); ++i) {
        // Nothing in clear text may be carried over into TLS (RFC 3207 section 4.2).
        if (step_ != Step::wait) return;
        if (++received_ > max_bytes) return finish(Outcome::garbled);
        switch (parser_.feed(bytes[i])) {
            case SmtpReplyParser::State::incomplete:
                break;
            case SmtpReplyParser::State::reply:
                on_reply(parser_.take());
                break;
            case SmtpReplyParser::State::garbled:
                // As much of the line as is there, for a person to recognise.
                reply_ = parser_.line();
                for (++i; i < bytes.size() && bytes[i] != '\n' && bytes[i] != '\r'; ++i)
                    reply_ += bytes[i];
                reply_ = printable(reply_);
                return finish(Outcome::garbled);
        }
    }
}

void SmtpDialog::on_reply(const SmtpReply& reply) {
    if (reply.code == 421) closing_ = true;
    // What the server answers to QUIT changes nothing.
    if (phase_ == Phase::quit || outcome_ != Outcome::ok) return finish(outcome_);
    reply_ = printable(reply.last_line);
    if (!greeted_) return on_greeting(reply);
    switch (phase_) {
        case Phase::ehlo:
        case Phase::ehlo_after_tls:
            return on_ehlo(reply);
        default:
            return on_starttls(reply);
    }
}

bool SmtpDialog::refused(const SmtpReply& reply) {
    if (reply.code / 100 == 2) return false;
    // A server that says 421 closes the connection itself.
    if (closing_)
        finish(Outcome::rejected);
    else
        send_quit(Outcome::rejected);
    return true;
}

void SmtpDialog::on_greeting(const SmtpReply& reply) {
    if (refused(reply)) return;
    greeted_ = true;
    send_ehlo();
}

void SmtpDialog::on_ehlo(const SmtpReply& reply) {
    if (reply.code / 100 != 2 && !closing_ && !helo_) {
        // As smtp(8): a server that does not take EHLO is asked once more with HELO.
        helo_ = true;
        output_ += "HELO " + ehlo_name_ + "\r\n";
        return;
    }
    if (refused(reply)) return;
    if (tls_) return send_quit(Outcome::ok);
    starttls_offered_ = !helo_ && offers(reply.lines, "STARTTLS");
    phase_ = Phase::starttls;
    if (!starttls_offered_) return send_quit(Outcome::not_offered);
    output_ += "STARTTLS\r\n";
}

void SmtpDialog::on_starttls(const SmtpReply& reply) {
    if (refused(reply)) return;
    phase_ = Phase::handshake;
    step_ = Step::start_tls;
}

void SmtpDialog::tls_established() {
    tls_ = true;
    step_ = Step::wait;
    parser_ = {};
    phase_ = Phase::ehlo_after_tls;
    if (greeted_) send_ehlo();  // else the greeting is still to come
}

void SmtpDialog::send_ehlo() {
    phase_ = tls_ ? Phase::ehlo_after_tls : Phase::ehlo;
    helo_ = false;
    output_ += "EHLO " + ehlo_name_ + "\r\n";
}

// `outcome` is that of the conversation so far; a trouble keeps the phase where it arose.
void SmtpDialog::send_quit(Outcome outcome) {
    outcome_ = outcome;
    if (outcome == Outcome::ok) phase_ = Phase::quit;
    output_ += "QUIT\r\n";
}

}  // namespace postfathom
