// SPDX-License-Identifier: Apache-2.0
// Which request of what size and shape to ask next, so that its answers show which sizes are not
// answered (lib/diagnosis/question_pattern). Pure: a function of what was asked so far.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "lib/diagnosis/question_pattern.hpp"

namespace postfathom {

struct QuestionPlan {
    QuestionKind kind = QuestionKind::client_hello;
    // What can be asked for at all, and in one segment.
    std::uint32_t smallest = 0;
    std::uint32_t largest = 0;
    std::uint32_t segment = 0;
    // Asked in any case, once each and in this order.
    std::vector<RequestShape> first;
    // Of them all. What was asked before this plan is not counted.
    std::uint32_t most = 40;
};

// A ClientHello with a post-quantum key share (X25519MLKEM768 adds 1216 bytes) is about so large.
inline constexpr std::uint32_t post_quantum_hello = 1750;

// Nothing: there is no more to learn, or it would take too many questions. `asked`: all questions
// so far, see all_questions(); `before`: as many of them as were there before this plan.
std::optional<RequestShape> next_question(const QuestionPlan& plan,
                                          const std::vector<Question>& asked, std::size_t before);

}  // namespace postfathom
