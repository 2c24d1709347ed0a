// SPDX-License-Identifier: Apache-2.0
#include "probes/smtp_dialog.hpp"

#include <algorithm>
#include <utility>
#include <vector>

#include "lib/base/text.hpp"

namespace postfathom {

namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// EHLO keywords follow the code in every line but the first (RFC 5321 section 4.1.1.1).
std::vector<std::string_view> ehlo_keywords(const std::string& lines) {
    auto keywords = split(lines, '\n');
    keywords.erase(keywords.begin());
    for (auto& line : keywords) {
        line.remove_prefix(std::min<std::size_t>(4, line.size()));
        line = trim(line.substr(0, line.find(' ')));
    }
    return keywords;
}

bool offers(const std::vector<std::string_view>& keywords, std::string_view wanted) {
    return std::any_of(keywords.begin(), keywords.end(),
                       [&](std::string_view keyword) { return iequals(keyword, wanted); });
}

// Cisco's firewalls ("fixup protocol smtp", "inspect esmtp") cross out the keywords that they do
// not let through and keep the length: STARTTLS becomes XXXXXXXX or, numbered, XXXXXXXA.
bool is_crossed_out(std::string_view keyword) {
    if (keyword.size() < 4) return false;
    const auto crossed = [](char c) { return c == 'X' || c == '*'; };
    const auto last = keyword.back();
    return std::all_of(keyword.begin(), keyword.end() - 1, crossed) &&
           (crossed(last) || (last >= 'A' && last <= 'Z'));
}

}  // namespace

SmtpReplyParser::State SmtpReplyParser::feed(char byte) {
    if (over_ != State::incomplete) return over_;
    if (byte == '\n') return end_of_line();
    line_ += byte;
    // What cannot become a reply is known from its first bytes: a server that speaks first and
    // something else (SSH, TLS, MySQL) need not send a line end.
    if (line_.size() <= 3 && !is_digit(byte)) over_ = State::garbled;
    if (line_.size() > max_line) over_ = State::endless;
    return over_;
}

SmtpReplyParser::State SmtpReplyParser::end_of_line() {
    if (!line_.empty() && line_.back() == '\r') line_.pop_back();
    const bool shaped =
        line_.size() >= 3 && (line_.size() == 3 || line_[3] == ' ' || line_[3] == '-');
    const int code = shaped ? (line_[0] - '0') * 100 + (line_[1] - '0') * 10 + (line_[2] - '0') : 0;
    if (!shaped || code < 200 || code > 599) return over_ = State::garbled;
    if (reply_.lines.size() + line_.size() > max_reply) return over_ = State::endless;
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

Dialog::Progress SmtpDialog::feed(char byte) {
    switch (parser_.feed(byte)) {
        case SmtpReplyParser::State::incomplete:
            return Progress::going_on;
        case SmtpReplyParser::State::endless:
            return Progress::endless;
        case SmtpReplyParser::State::garbled:
            return Progress::garbled;
        case SmtpReplyParser::State::reply:
            break;
    }
    on_reply(parser_.take());
    return Progress::going_on;
}

void SmtpDialog::on_reply(const SmtpReply& reply) {
    const bool leaving = phase_ == Phase::quit || outcome_ != Outcome::ok;
    if (reply.code == 421) facts_.told_to_go = true;
    // What the server answers to QUIT changes nothing.
    if (leaving) return finish(outcome_);
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
    if (service_closing())
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
    if (reply.code / 100 != 2 && !service_closing() && !helo_) {
        // As smtp(8): a server that does not take EHLO is asked once more with HELO.
        helo_ = true;
        output_ += "HELO " + ehlo_name_ + "\r\n";
        return;
    }
    if (refused(reply)) return;
    if (tls_) return send_quit(Outcome::ok);
    const auto keywords = ehlo_keywords(reply.lines);
    starttls_offered_ = !helo_ && offers(keywords, "STARTTLS");
    const auto crossed_out = std::find_if(keywords.begin(), keywords.end(), is_crossed_out);
    if (crossed_out != keywords.end()) facts_.crossed_out = printable(*crossed_out, 64);
    phase_ = Phase::starttls;
    if (hold_) {
        step_ = Step::hold;
        return;
    }
    if (!starttls_offered_) return send_quit(Outcome::not_offered);
    output_ += "STARTTLS\r\n";
}

void SmtpDialog::on_starttls(const SmtpReply& reply) {
    if (refused(reply)) return;
    ready_for_tls();
}

void SmtpDialog::restart() {
    parser_ = {};
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
