// SPDX-License-Identifier: Apache-2.0
#include "probes/imap_dialog.hpp"

#include <charconv>
#include <optional>
#include <utility>

#include "lib/base/text.hpp"

namespace postfathom {

namespace {

constexpr char tag_letter = 'A';

std::string tag_text(unsigned number) { return tag_letter + std::to_string(number); }

// Our own tag, or nothing when it cannot be one of ours.
bool may_begin_response(std::string_view begin) {
    switch (begin.front()) {
        case '*':
        case tag_letter:
            return begin.size() < 2 || begin.front() == tag_letter || begin[1] == ' ';
        default:
            // A continuation request ("+") answers a literal or AUTHENTICATE, which we never send.
            return false;
    }
}

// The length of the literal that a line announces at its end: "{12}" (RFC 9051 section 4.3).
std::optional<std::size_t> literal_length(std::string_view line) {
    if (!line.ends_with('}')) return std::nullopt;
    const auto open = line.rfind('{');
    if (open == std::string_view::npos) return std::nullopt;
    const auto digits = line.substr(open + 1, line.size() - open - 2);
    std::size_t length = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), length);
    if (digits.empty() || end != digits.data() + digits.size()) return std::nullopt;
    // A number that does not fit is a literal all the same, and longer than we take.
    return error == std::errc{} ? length : ImapResponseParser::max_response + 1;
}

// The first word, taken off `text`.
std::string_view take_word(std::string_view& text) {
    const auto end = text.find(' ');
    const auto word = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    return word;
}

bool has_word(std::string_view words, std::string_view wanted) {
    for (const auto word : split(words, ' '))
        if (iequals(word, wanted)) return true;
    return false;
}

// "[CAPABILITY IMAP4rev1 STARTTLS] ready": the list in a greeting (RFC 9051 section 7.1).
bool listed_in_code(std::string_view text, std::string_view capability) {
    constexpr std::string_view begin = "[CAPABILITY ";
    if (!istarts_with(text, begin)) return false;
    const auto list = text.substr(begin.size(), text.find(']') - begin.size());
    return has_word(list, capability);
}

}  // namespace

ImapResponseParser::State ImapResponseParser::feed(char byte) {
    if (over_ != State::incomplete) return over_;
    if (++fed_ > max_response) return over_ = State::endless;
    if (literal_left_ > 0) {
        --literal_left_;
        return State::incomplete;
    }
    if (byte == '\n') return end_of_line();
    response_ += byte;
    if (!may_begin_response(response_)) return over_ = State::garbled;
    if (response_.size() - line_begin_ > max_line) return over_ = State::endless;
    return State::incomplete;
}

ImapResponseParser::State ImapResponseParser::end_of_line() {
    if (response_.size() > line_begin_ && response_.back() == '\r') response_.pop_back();
    if (response_.empty()) return over_ = State::garbled;
    const auto literal = literal_length(std::string_view(response_).substr(line_begin_));
    if (!literal) return State::response;
    if (*literal > max_response) return over_ = State::endless;
    literal_left_ = *literal;
    line_begin_ = response_.size();
    return State::incomplete;
}

std::string ImapResponseParser::take() {
    auto response = std::exchange(response_, {});
    *this = {};
    return response;
}

ImapDialog::ImapDialog(Service service) : Dialog(service) {}

Dialog::Progress ImapDialog::feed(char byte) {
    switch (parser_.feed(byte)) {
        case ImapResponseParser::State::incomplete:
            return Progress::going_on;
        case ImapResponseParser::State::endless:
            return Progress::endless;
        case ImapResponseParser::State::garbled:
            return Progress::garbled;
        case ImapResponseParser::State::response:
            break;
    }
    on_response(parser_.take());
    return Progress::going_on;
}

// A line that begins like a response and is none ends the conversation as any other that we cannot
// follow: guessing what a server means is how injections work.
void ImapDialog::on_response(const std::string& response) {
    std::string_view text = response;
    const auto tag = take_word(text);
    const bool leaving = phase_ == Phase::quit || outcome_ != Outcome::ok;
    if (!leaving) reply_ = printable(response);
    if (tag == "*") {
        auto rest = text;
        const auto status = take_word(rest);
        if (iequals(status, "BYE")) {
            facts_.told_to_go = facts_.told_to_go || !leaving;
            // RFC 9051 section 7.1.5: the server closes; before its tagged reply to LOGOUT it says
            // so too.
            if (!leaving) finish(Outcome::rejected);
        } else if (!greeted_) {
            on_greeting(status, rest);
        } else {
            on_untagged(text);
        }
        return;
    }
    if (leaving) return finish(outcome_);
    if (!greeted_ || tag != tag_text(tag_)) {
        facts_.fault = ProtocolFault::other_protocol;
        return finish(Outcome::garbled);
    }
    on_tagged(take_word(text));
}

void ImapDialog::on_greeting(std::string_view status, std::string_view text) {
    const bool authenticated = iequals(status, "PREAUTH");
    if (!authenticated && !iequals(status, "OK")) {
        facts_.fault = ProtocolFault::other_protocol;
        return finish(Outcome::garbled);
    }
    greeted_ = true;
    facts_.starttls_in_greeting = !tls_ && listed_in_code(text, "STARTTLS");
    if (authenticated && !tls_) {
        // STARTTLS is for those who are not logged in (RFC 9051 section 7.1.4): a greeting that
        // somebody changed to PREAUTH is a way to keep a client from asking for TLS.
        facts_.logged_in_by_greeting = true;
        phase_ = Phase::starttls;
        return leave(Outcome::not_offered);
    }
    send_command(tls_ ? Phase::ehlo_after_tls : Phase::ehlo, "CAPABILITY");
}

void ImapDialog::on_untagged(std::string_view text) {
    if (iequals(take_word(text), "CAPABILITY")) capable_ = capable_ || has_word(text, "STARTTLS");
}

void ImapDialog::on_tagged(std::string_view status) {
    const bool yes = iequals(status, "OK");
    if (!yes && !iequals(status, "NO") && !iequals(status, "BAD")) {
        facts_.fault = ProtocolFault::other_protocol;
        return finish(Outcome::garbled);
    }
    if (!yes) return leave(Outcome::rejected);
    if (phase_ == Phase::starttls) return ready_for_tls();
    if (tls_) return leave(Outcome::ok);
    starttls_offered_ = capable_;
    if (starttls_offered_) return send_command(Phase::starttls, "STARTTLS");
    phase_ = Phase::starttls;
    leave(Outcome::not_offered);
}

void ImapDialog::restart() {
    parser_ = {};
    capable_ = false;
    if (greeted_) send_command(Phase::ehlo_after_tls, "CAPABILITY");  // else the greeting comes now
}

void ImapDialog::send_command(Phase phase, std::string_view command) {
    phase_ = phase;
    output_ += tag_text(++tag_) + ' ' + std::string(command) + "\r\n";
}

// `outcome` is that of the conversation so far; a trouble keeps the phase where it arose.
void ImapDialog::leave(Outcome outcome) {
    outcome_ = outcome;
    send_command(outcome == Outcome::ok ? Phase::quit : phase_, "LOGOUT");
}

}  // namespace postfathom
