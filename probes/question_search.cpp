// SPDX-License-Identifier: Apache-2.0
#include "probes/question_search.hpp"

#include <algorithm>
#include <array>
#include <bit>

namespace postfathom {

namespace {

using Verdict = QuestionTable::Verdict;
using MaybeShape = std::optional<RequestShape>;

// A shape that fails is asked as often before it counts.
constexpr std::uint32_t repeats_of_a_size = 2;
// Of the first one, between two controls that pass.
constexpr std::uint32_t repeats_between_controls = 2;
// By then it is no matter of chance, or of something else.
constexpr std::uint32_t most_repeats = 6;

class Search {
  public:
    Search(const QuestionPlan& plan, const std::vector<Question>& asked)
        : plan_(plan), table_(questions_of_kind(asked, plan.kind)) {}

    MaybeShape next() const;

  private:
    RequestShape shape(std::uint32_t bytes, std::uint32_t segments) const {
        return {plan_.kind, bytes, segments};
    }
    bool possible(const RequestShape& wanted) const {
        return wanted.bytes >= plan_.smallest && wanted.bytes <= plan_.largest &&
               wanted.bytes <= wanted.segments * plan_.segment;
    }
    // Something to ask: the shape is not known yet, or failed only once.
    bool open(const RequestShape& wanted) const {
        if (!possible(wanted)) return false;
        // One that was never judged is not asked for ever.
        if (table_.times_asked(wanted) > repeats_of_a_size) return false;
        switch (table_.of(wanted)) {
            case Verdict::unknown:
                return true;
            case Verdict::fails:
                return table_.failures(wanted) < repeats_of_a_size;
            default:
                return false;
        }
    }
    bool fails(std::uint32_t bytes) const { return table_.fails(shape(bytes, segments_)); }
    bool passes(std::uint32_t bytes) const { return table_.passes(shape(bytes, segments_)); }
    MaybeShape ask(std::uint32_t bytes) const {
        const auto wanted = shape(bytes, segments_);
        return table_.of(wanted) == Verdict::unknown && open(wanted) ? MaybeShape{wanted}
                                                                     : std::nullopt;
    }

    // What failed only once is asked again: all of a list, the ends of a range.
    MaybeShape again(const std::vector<std::uint32_t>& sizes) const {
        for (const auto size : sizes)
            if (const auto wanted = shape(size, segments_); open(wanted)) return wanted;
        return std::nullopt;
    }

    MaybeShape control(const RequestShape& focus) const;
    MaybeShape confirm(const RequestShape& focus, const RequestShape& control) const;
    MaybeShape form(const RequestShape& focus) const;
    MaybeShape sizes(std::uint32_t focus) const;
    MaybeShape periods(std::uint32_t focus) const;
    MaybeShape upper_end(std::uint32_t focus) const;
    MaybeShape lower_end(std::uint32_t focus) const;
    MaybeShape threshold(const RequestShape& focus) const;

    const QuestionPlan& plan_;
    QuestionTable table_;
    std::uint32_t segments_ = 1;
};

// One variable at a time: the size, the division.
MaybeShape Search::control(const RequestShape& focus) const {
    std::vector<RequestShape> candidates;
    constexpr std::uint32_t ordinary = 517;  // what OpenSSL 3.0 pads a ClientHello to
    if (focus.segments > 1) {
        candidates = {shape(focus.bytes / focus.segments, 1),
                      shape(std::max(plan_.smallest, ordinary), focus.segments),
                      shape(std::max(plan_.smallest, ordinary), 1)};
    } else {
        candidates = {shape(focus.bytes + 191, 1), shape(focus.bytes, 2),
                      shape(std::min(plan_.segment, focus.bytes + 800), 1)};
        if (focus.bytes > ordinary + 191)
            candidates.push_back(shape(std::max(plan_.smallest, ordinary), 1));
    }
    for (const auto& candidate : candidates)
        if (possible(candidate) && table_.of(candidate) == Verdict::unknown &&
            table_.times_asked(candidate) < repeats_of_a_size)
            return candidate;
    return std::nullopt;
}

// Whether the shape under suspicion comes next, or its control. Both are asked as often, so that
// what changes with time does not look like a matter of size; and not in strict turns, or a load
// balancer of which every second machine hangs would. The sequence of Thue and Morse
// repeats no rhythm.
bool suspect_is_next(std::uint32_t asked) { return std::popcount(asked) % 2 != 0; }

MaybeShape Search::confirm(const RequestShape& focus, const RequestShape& control) const {
    const auto fewest = repeats_between_controls + 1;
    const auto failures = table_.failures(focus);
    if (table_.failures_between_controls(focus) >= repeats_between_controls && failures >= fewest &&
        (failures >= most_repeats || find_size_pattern(table_.questions())))
        return std::nullopt;
    const auto asked = table_.times_asked(focus) + table_.times_asked(control);
    return suspect_is_next(asked) ? focus : control;
}

MaybeShape Search::form(const RequestShape& focus) const {
    if (focus.segments == 1) {
        const auto split = shape(focus.bytes, 2);
        return open(split) ? MaybeShape{split} : std::nullopt;
    }
    // What its segments are like by themselves.
    const auto part = shape(focus.bytes / focus.segments, 1);
    if (open(part)) return part;
    const auto whole = shape(focus.bytes, 1);
    return open(whole) ? MaybeShape{whole} : std::nullopt;
}

MaybeShape Search::periods(std::uint32_t focus) const {
    // The neighbours pass, so it is this size alone, or some of many.
    for (const std::uint32_t step : {256U, 512U})
        if (const auto next = ask(focus + step)) return next;
    if (focus > 256)
        if (const auto next = ask(focus - 256)) return next;
    if (!fails(focus + 256)) return std::nullopt;
    for (std::uint32_t step = 128; step >= 2; step /= 2) {
        if (const auto next = ask(focus + step)) return next;
        if (!fails(focus + step)) break;
    }
    return std::nullopt;
}

// Ranges begin and end at powers of two more often than elsewhere.
MaybeShape Search::upper_end(std::uint32_t focus) const {
    std::uint32_t bad = focus;
    while (fails(bad + 1)) ++bad;
    const auto end = std::bit_ceil(focus + 1) - 1;
    if (const auto next = ask(end)) return next;
    if (fails(end))
        if (const auto next = ask(end + 1)) return next;
    std::optional<std::uint32_t> good;
    for (const auto size : table_.passing(plan_.kind, segments_))
        if (size > focus && !good) good = size;
    if (!good) return std::nullopt;
    for (const auto size : table_.failing(plan_.kind, segments_, 1))
        if (size > bad && size < *good) bad = size;
    if (bad + 1 >= *good) return std::nullopt;
    return ask(bad + (*good - bad) / 2);
}

MaybeShape Search::lower_end(std::uint32_t focus) const {
    const auto begin = std::bit_floor(focus);
    if (begin >= plan_.smallest) {
        if (const auto next = ask(begin)) return next;
        if (fails(begin))
            if (const auto next = ask(begin - 1)) return next;
    } else if (const auto next = ask(plan_.smallest)) {
        return next;
    }
    std::optional<std::uint32_t> good;
    for (const auto size : table_.passing(plan_.kind, segments_))
        if (size < focus) good = size;
    if (!good) return std::nullopt;
    std::uint32_t bad = focus;
    for (const auto size : table_.failing(plan_.kind, segments_, 1))
        if (size > *good && size < bad) bad = size;
    if (*good + 1 >= bad) return std::nullopt;
    return ask(*good + (bad - *good) / 2);
}

MaybeShape Search::sizes(std::uint32_t focus) const {
    for (const auto neighbour : {focus + 1, focus - 1})
        if (const auto next = ask(neighbour)) return next;
    if (!fails(focus + 1) && !fails(focus - 1)) {
        if (const auto next = periods(focus)) return next;
        return again(table_.failing(plan_.kind, segments_, 1));
    }
    if (const auto next = upper_end(focus)) return next;
    if (const auto next = lower_end(focus)) return next;
    const auto range = table_.failing(plan_.kind, segments_, 1);
    return again({range.front(), range.back()});
}

// Everything from some size on fails. Which size: first the one that no longer fits one segment.
MaybeShape Search::threshold(const RequestShape& focus) const {
    // Whether it is not just this one size.
    for (const auto larger : {focus.bytes + 191, plan_.segment * segments_})
        if (const auto next = ask(larger)) return next;
    const auto failing = table_.failing(plan_.kind, segments_, 1);
    const auto bad = failing.empty() ? focus.bytes : failing.front();
    std::optional<std::uint32_t> good;
    for (const auto size : table_.passing(plan_.kind, segments_))
        if (size < bad) good = size;
    if (!good) {
        const auto small = std::max(plan_.smallest, focus.bytes / 4);
        return ask(small);
    }
    if (*good + 1 >= bad) return again({bad});
    for (const auto likely : {plan_.segment, plan_.segment + 1})
        if (likely > *good && likely < bad)
            if (const auto next = ask(likely)) return next;
    return ask(*good + (bad - *good) / 2);
}

MaybeShape Search::next() const {
    for (const auto& wanted : plan_.first)
        if (possible(wanted) && table_.of(wanted) == Verdict::unknown &&
            table_.times_asked(wanted) < repeats_of_a_size)
            return wanted;
    const auto focus = table_.most_failing();
    if (!focus) return std::nullopt;
    const auto passing = table_.control_for(*focus);
    if (!passing) return control(*focus);
    if (const auto next = confirm(*focus, *passing)) return next;
    if (const auto next = form(*focus)) return next;
    Search refined(*this);
    refined.segments_ = focus->segments;
    const auto pattern = find_size_pattern(table_.questions());
    if (!pattern) return std::nullopt;
    switch (pattern->form) {
        case SizePattern::Form::divided:
            return std::nullopt;
        case SizePattern::Form::above:
            return refined.threshold(*focus);
        default:
            return refined.sizes(focus->bytes);
    }
}

}  // namespace

std::optional<RequestShape> next_question(const QuestionPlan& plan,
                                          const std::vector<Question>& asked, std::size_t before) {
    if (asked.size() >= before + plan.most) return std::nullopt;
    return Search(plan, asked).next();
}

}  // namespace postfathom
