// SPDX-License-Identifier: Apache-2.0
// What the answers to requests of chosen size and shape have in common: which sizes are not
// answered, and whether it is the size of the segment or of the request that decides. Pure.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <vector>

#include "lib/diagnosis/evidence.hpp"

namespace postfathom {

struct RequestShape {
    QuestionKind kind = QuestionKind::client_hello;
    std::uint32_t bytes = 0;
    std::uint32_t segments = 1;
    auto operator<=>(const RequestShape&) const = default;
};

// What became of one question.
enum class Answer {
    answered,
    dropped,    // not acknowledged, though TCP repeated it
    swallowed,  // acknowledged, and nothing else came
    ended,      // the connection was reset or closed, or an alert came, in answer to it
    unjudged,
};

// So many repeats of a segment make its loss more than bad luck.
inline constexpr std::uint32_t repeats_for_dropped = 3;

RequestShape shape_of(const Question& question);
Answer answer_of(const Question& question);
bool failed(Answer answer);

// The attempts that reached the handshake are questions of the ordinary size; those that were asked
// on purpose follow.
std::vector<Question> all_questions(const Evidence& evidence);

std::vector<Question> questions_of_kind(const std::vector<Question>& questions, QuestionKind kind);

// What is known of each shape, in the order in which it was asked.
class QuestionTable {
  public:
    enum class Verdict { unknown, passes, fails, mixed };

    explicit QuestionTable(std::vector<Question> questions);

    Verdict of(const RequestShape& shape) const;
    bool passes(const RequestShape& shape) const { return of(shape) == Verdict::passes; }
    bool fails(const RequestShape& shape) const { return of(shape) == Verdict::fails; }
    std::uint32_t failures(const RequestShape& shape) const;
    std::uint32_t times_asked(const RequestShape& shape) const;

    // The shape that fails each time and was asked most; of several the one with fewer segments,
    // then bytes.
    std::optional<RequestShape> most_failing() const;
    // The passing shape of the same kind that is most like `shape`.
    std::optional<RequestShape> control_for(const RequestShape& shape) const;
    // Times that `shape` failed between two questions, of any other shape of its kind, that were
    // answered.
    std::uint32_t failures_between_controls(const RequestShape& shape) const;
    // Shapes with `segments` segments that always pass, or always fail at least `times` times;
    // sizes in rising order.
    std::vector<std::uint32_t> passing(QuestionKind kind, std::uint32_t segments) const;
    std::vector<std::uint32_t> failing(QuestionKind kind, std::uint32_t segments,
                                       std::uint32_t times) const;

    const std::vector<Question>& questions() const { return questions_; }

  private:
    std::vector<Question> questions_;
};

struct SizePattern {
    enum class Form {
        list,     // of exact sizes
        range,    // from sizes.front() to sizes.back()
        modulus,  // sizes that leave `remainder` when divided by `modulus`
        above,    // sizes.front() and all larger ones that were asked
        divided,  // whatever does not come in one segment
    };
    Form form = Form::list;
    RequestShape focus;  // a shape of the pattern, the one that was asked most
    Answer how = Answer::dropped;
    // The segment's size decides: the same request in smaller segments passes. Else the request's;
    // nothing: not asked.
    std::optional<bool> of_segments;
    std::vector<std::uint32_t> sizes;
    std::uint32_t modulus = 0;
    std::uint32_t remainder = 0;
    std::optional<std::uint32_t> largest_pass;  // above: below sizes.front()
    std::optional<std::uint32_t> passes_below;  // range: the next smaller size that was asked
    std::optional<std::uint32_t> passes_above;  // range: the next larger one
    std::uint32_t failures = 0;                 // of `focus`
    std::uint32_t passes = 0;                   // questions that were answered
    // Bounds the probability that loss which ignores size, or a server that fails at random, made
    // the same picture.
    double chance = 1;
};

// Of the first kind of request that has one. Nothing: no shape fails reliably, or without controls
// that pass around it, or it may be chance.
std::optional<SizePattern> find_size_pattern(const std::vector<Question>& questions);

}  // namespace postfathom
