// SPDX-License-Identifier: Apache-2.0
#include "lib/diagnosis/question_pattern.hpp"

#include <algorithm>
#include <iterator>
#include <numeric>
#include <set>
#include <tuple>
#include <utility>

#include "lib/diagnosis/diagnose.hpp"

namespace postfathom {

namespace {

// An answer in silence stands for three copies of it at least (see rules::peer_stall); at 30 % loss
// all of them are lost with this probability.
constexpr double chance_of_lost_answer = 0.027;

bool is_answer_lost(const Attempt& attempt) {
    return attempt.stall == StallShape::gap || attempt.stall == StallShape::lost_reply;
}

// The attempt as the question that it was: is a ClientHello of this size answered?
std::optional<Question> question_of(const Attempt& attempt) {
    if (attempt.reached < Phase::handshake || attempt.hello_bytes == 0) return std::nullopt;
    // Stopped because something else was found.
    if (attempt.outcome == Outcome::cancelled && attempt.stall == StallShape::none)
        return std::nullopt;
    Question question;
    question.bytes = attempt.hello_bytes;
    const auto payload = attempt.counters.send_mss;
    if (payload > 0) question.segments = (attempt.hello_bytes + payload - 1) / payload;
    question.outcome = attempt.outcome;
    question.acknowledged = attempt.stall != StallShape::hello_unacked;
    question.answered =
        attempt.reached > Phase::handshake || attempt.outcome == Outcome::ok ||
        attempt.outcome == Outcome::tls_alert || attempt.outcome == Outcome::tls_error ||
        attempt.outcome == Outcome::garbled || attempt.answer_bytes > 0 || is_answer_lost(attempt);
    question.retransmits = attempt.counters.retransmits_total;
    question.seconds = attempt.seconds;
    return question;
}

std::uint32_t distance(std::uint32_t a, std::uint32_t b) { return a > b ? a - b : b - a; }

}  // namespace

RequestShape shape_of(const Question& question) {
    return {question.kind, question.bytes, question.segments};
}

Answer answer_of(const Question& question) {
    const bool hello = question.kind == QuestionKind::client_hello;
    if (hello && question.outcome == Outcome::tls_alert) return Answer::ended;
    if (question.answered) return Answer::answered;
    switch (question.outcome) {
        case Outcome::reset:
        case Outcome::closed:
            return Answer::ended;
        case Outcome::timed_out:
            if (question.acknowledged) return Answer::swallowed;
            return question.retransmits >= repeats_for_dropped ? Answer::dropped : Answer::unjudged;
        default:
            return Answer::unjudged;
    }
}

bool failed(Answer answer) {
    return answer == Answer::dropped || answer == Answer::swallowed || answer == Answer::ended;
}

std::vector<Question> all_questions(const Evidence& evidence) {
    std::vector<Question> questions;
    for (const auto& attempt : evidence.attempts) {
        auto question = question_of(attempt);
        if (!question) continue;
        const bool first = &attempt == evidence.attempts.data();
        if (first && evidence.first_attempt_recovered) question->answered = true;
        questions.push_back(*question);
    }
    questions.insert(questions.end(), evidence.questions.begin(), evidence.questions.end());
    return questions;
}

QuestionTable::QuestionTable(std::vector<Question> questions) : questions_(std::move(questions)) {}

QuestionTable::Verdict QuestionTable::of(const RequestShape& shape) const {
    bool passed = false;
    bool lost = false;
    for (const auto& question : questions_) {
        if (shape_of(question) != shape) continue;
        const auto answer = answer_of(question);
        passed = passed || answer == Answer::answered;
        lost = lost || failed(answer);
    }
    if (passed && lost) return Verdict::mixed;
    if (passed) return Verdict::passes;
    return lost ? Verdict::fails : Verdict::unknown;
}

std::uint32_t QuestionTable::failures(const RequestShape& shape) const {
    return static_cast<std::uint32_t>(
        std::count_if(questions_.begin(), questions_.end(), [&](const Question& question) {
            return shape_of(question) == shape && failed(answer_of(question));
        }));
}

std::uint32_t QuestionTable::times_asked(const RequestShape& shape) const {
    return static_cast<std::uint32_t>(
        std::count_if(questions_.begin(), questions_.end(),
                      [&](const Question& question) { return shape_of(question) == shape; }));
}

std::optional<RequestShape> QuestionTable::most_failing() const {
    std::optional<RequestShape> best;
    const auto before = [this](const RequestShape& a, const RequestShape& b) {
        return std::tuple(failures(b), a.segments, a.bytes) <
               std::tuple(failures(a), b.segments, b.bytes);
    };
    for (const auto& question : questions_) {
        const auto shape = shape_of(question);
        if (fails(shape) && (!best || before(shape, *best))) best = shape;
    }
    return best;
}

std::optional<RequestShape> QuestionTable::control_for(const RequestShape& shape) const {
    std::optional<RequestShape> best;
    const auto unlike = [&](const RequestShape& other) {
        return std::pair(distance(other.segments, shape.segments),
                         distance(other.bytes, shape.bytes));
    };
    for (const auto& question : questions_) {
        const auto other = shape_of(question);
        if (other.kind != shape.kind || !passes(other)) continue;
        if (!best || unlike(other) < unlike(*best)) best = other;
    }
    return best;
}

std::uint32_t QuestionTable::failures_between_controls(const RequestShape& shape) const {
    std::uint32_t between = 0;
    std::uint32_t pending = 0;
    bool control_before = false;
    for (const auto& question : questions_) {
        const auto other = shape_of(question);
        if (other.kind != shape.kind) continue;
        const auto answer = answer_of(question);
        if (other == shape && failed(answer) && control_before) ++pending;
        if (other == shape || answer != Answer::answered) continue;
        control_before = true;
        between += std::exchange(pending, 0U);
    }
    return between;
}

std::vector<std::uint32_t> QuestionTable::passing(QuestionKind kind, std::uint32_t segments) const {
    std::set<std::uint32_t> sizes;
    for (const auto& question : questions_)
        if (question.kind == kind && question.segments == segments && passes(shape_of(question)))
            sizes.insert(question.bytes);
    return {sizes.begin(), sizes.end()};
}

std::vector<std::uint32_t> QuestionTable::failing(QuestionKind kind, std::uint32_t segments,
                                                  std::uint32_t times) const {
    std::set<std::uint32_t> sizes;
    for (const auto& question : questions_) {
        const auto shape = shape_of(question);
        if (question.kind == kind && question.segments == segments && fails(shape) &&
            failures(shape) >= times)
            sizes.insert(question.bytes);
    }
    return {sizes.begin(), sizes.end()};
}

namespace {

using Form = SizePattern::Form;

bool contains(const std::vector<std::uint32_t>& sizes, std::uint32_t size) {
    return std::binary_search(sizes.begin(), sizes.end(), size);
}

Answer usual_answer(const QuestionTable& table, const RequestShape& shape) {
    std::uint32_t dropped = 0;
    std::uint32_t swallowed = 0;
    std::uint32_t ended = 0;
    for (const auto& question : table.questions()) {
        if (shape_of(question) != shape) continue;
        const auto answer = answer_of(question);
        if (answer == Answer::dropped) ++dropped;
        if (answer == Answer::swallowed) ++swallowed;
        if (answer == Answer::ended) ++ended;
    }
    if (dropped >= swallowed && dropped >= ended) return Answer::dropped;
    return swallowed >= ended ? Answer::swallowed : Answer::ended;
}

// Of shapes that passed at other times: the other side fails whatever the shape is.
std::uint32_t contradicted_failures(const QuestionTable& table) {
    const auto& questions = table.questions();
    return static_cast<std::uint32_t>(
        std::count_if(questions.begin(), questions.end(), [&](const Question& question) {
            const auto answer = answer_of(question);
            return (answer == Answer::swallowed || answer == Answer::ended) &&
                   table.of(shape_of(question)) == QuestionTable::Verdict::mixed;
        }));
}

double chance_of(const QuestionTable& table, const SizePattern& pattern) {
    // EHLO and STARTTLS, or the rest of the handshake and QUIT, beside the request.
    constexpr std::uint32_t other_segments = 2;
    std::uint32_t received = 0;
    std::uint32_t also_lost = 0;
    std::uint32_t lost = 0;
    std::uint32_t silent = 0;
    for (const auto& question : table.questions()) {
        const auto shape = shape_of(question);
        const auto answer = answer_of(question);
        if (answer == Answer::answered) {
            received += question.segments + other_segments;
            also_lost += question.retransmits;
        } else if (shape == pattern.focus) {
            if (answer == Answer::dropped) lost += 1 + question.retransmits;
            if (answer == Answer::swallowed) ++silent;
        }
    }
    if (pattern.how == Answer::dropped) return size_split_probability(received, also_lost, lost);
    double lost_answers = 1.0;
    for (std::uint32_t i = 0; i < silent && lost_answers > 1e-9; ++i)
        lost_answers *= chance_of_lost_answer;
    if (pattern.how == Answer::swallowed && lost_answers > max_false_claim_probability) return 1.0;
    // What could still be chance is a server that hangs or ends connections at random, as one does
    // some of whose machines are ill: the failures are then some of all connections.
    return size_split_probability(pattern.passes, contradicted_failures(table), pattern.failures);
}

// What `sizes`, that fail, leave as remainder while none of `passing` does; 0: nothing.
std::uint32_t common_modulus(const std::vector<std::uint32_t>& sizes,
                             const std::vector<std::uint32_t>& passing) {
    // Two are a list.
    if (sizes.size() < 3) return 0;
    std::uint32_t modulus = 0;
    for (const auto size : sizes) modulus = std::gcd(modulus, size - sizes.front());
    if (modulus < 2) return 0;
    const bool contradicted = std::any_of(passing.begin(), passing.end(), [&](std::uint32_t size) {
        return size % modulus == sizes.front() % modulus;
    });
    // Nobody was asked in between: what fails may be a range.
    const bool divided = std::any_of(passing.begin(), passing.end(), [&](std::uint32_t size) {
        return size > sizes.front() && size < sizes.back();
    });
    return contradicted || !divided ? 0 : modulus;
}

void describe_sizes(const QuestionTable& table, SizePattern& pattern) {
    const auto kind = pattern.focus.kind;
    const auto segments = pattern.focus.segments;
    const auto passing = table.passing(kind, segments);
    auto failing = table.failing(kind, segments, 2);
    if (!contains(failing, pattern.focus.bytes)) failing = {pattern.focus.bytes};
    pattern.sizes = failing;
    const auto next_above = std::upper_bound(passing.begin(), passing.end(), failing.back());
    const auto first_above = std::lower_bound(passing.begin(), passing.end(), failing.front());
    if (first_above != passing.begin()) pattern.passes_below = *(first_above - 1);
    if (next_above != passing.end()) pattern.passes_above = *next_above;
    if (const auto modulus = common_modulus(failing, passing)) {
        pattern.form = Form::modulus;
        pattern.modulus = modulus;
        pattern.remainder = failing.front() % modulus;
        return;
    }
    const bool gapless = first_above == next_above;
    if (failing.size() >= 2 && gapless) {
        pattern.form = Form::range;
        pattern.sizes = {failing.front(), failing.back()};
        return;
    }
    pattern.form = Form::list;
}

// Whether the failing shape passes in smaller segments.
std::optional<bool> decides_by_segment(const QuestionTable& table, const RequestShape& focus) {
    if (focus.segments != 1) return std::nullopt;
    const RequestShape split{focus.kind, focus.bytes, 2};
    switch (table.of(split)) {
        case QuestionTable::Verdict::passes:
            return true;
        case QuestionTable::Verdict::fails:
            return false;
        default:
            return std::nullopt;
    }
}

// The smallest size that fails like `focus`.
RequestShape least_like(const QuestionTable& table, const RequestShape& focus) {
    const auto failing = table.failing(focus.kind, focus.segments, 2);
    if (failing.empty() || failing.front() > focus.bytes) return focus;
    return {focus.kind, failing.front(), focus.segments};
}

bool any_larger_passes(const QuestionTable& table, const RequestShape& focus) {
    const auto& questions = table.questions();
    return std::any_of(questions.begin(), questions.end(), [&](const Question& question) {
        return question.kind == focus.kind && question.bytes > focus.bytes &&
               question.segments <= focus.segments && table.passes(shape_of(question));
    });
}

void describe_large(const QuestionTable& table, SizePattern& pattern) {
    pattern.form = Form::above;
    const auto least = least_like(table, pattern.focus);
    pattern.sizes = {least.bytes};
    for (const auto& question : table.questions()) {
        if (question.kind != pattern.focus.kind || !table.passes(shape_of(question))) continue;
        // With as many segments, or in fewer: the division is not what fails.
        if (question.bytes < least.bytes && question.segments <= pattern.focus.segments)
            pattern.largest_pass = std::max(pattern.largest_pass, std::optional{question.bytes});
    }
}

std::optional<SizePattern> pattern_of_one_kind(const std::vector<Question>& questions) {
    const QuestionTable table(questions);
    const auto focus = table.most_failing();
    if (!focus || table.failures_between_controls(*focus) == 0) return std::nullopt;
    SizePattern pattern;
    pattern.focus = *focus;
    pattern.how = usual_answer(table, *focus);
    pattern.failures = table.failures(*focus);
    pattern.passes = static_cast<std::uint32_t>(std::count_if(
        questions.begin(), questions.end(),
        [&](const Question& question) { return answer_of(question) == Answer::answered; }));
    pattern.of_segments = decides_by_segment(table, *focus);
    // The same bytes in one segment pass.
    const RequestShape whole{focus->kind, focus->bytes, 1};
    if (focus->segments > 1 && table.passes(whole)) {
        pattern.form = Form::divided;
        pattern.sizes = {focus->bytes};
    } else if (!any_larger_passes(table, least_like(table, *focus))) {
        describe_large(table, pattern);
        // Neither a smaller one nor another division passed: nothing to compare with.
        if (!pattern.largest_pass && pattern.of_segments != true) return std::nullopt;
    } else {
        describe_sizes(table, pattern);
    }
    pattern.chance = chance_of(table, pattern);
    const auto fewest = pattern.how == Answer::swallowed ? 3U : 2U;
    if (pattern.failures < fewest || pattern.passes < 2) return std::nullopt;
    constexpr double odds_of_ill_server = 0.02;
    const double limit =
        pattern.how == Answer::dropped ? max_false_claim_probability : odds_of_ill_server;
    if (pattern.chance > limit) return std::nullopt;
    return pattern;
}

}  // namespace

std::vector<Question> questions_of_kind(const std::vector<Question>& questions, QuestionKind kind) {
    std::vector<Question> chosen;
    std::copy_if(questions.begin(), questions.end(), std::back_inserter(chosen),
                 [kind](const Question& question) { return question.kind == kind; });
    return chosen;
}

std::optional<SizePattern> find_size_pattern(const std::vector<Question>& questions) {
    for (const auto kind : {QuestionKind::client_hello, QuestionKind::noop, QuestionKind::rset})
        if (auto found = pattern_of_one_kind(questions_of_kind(questions, kind))) return found;
    return std::nullopt;
}

}  // namespace postfathom
