// SPDX-License-Identifier: Apache-2.0
// What a web server answers when it is asked for a domain's MTA-STS policy.
#include "probes/https_answer.hpp"

#include "tests/fuzz/target.hpp"

namespace postfathom::fuzz {

const bool takes_pieces = true;

std::string tell(const Input& input) {
    constexpr std::size_t limit = 4096;
    HttpsAnswer answer(limit);
    input.pieces([&](std::string_view bytes) { answer.put(bytes); });
    const auto open = answer.body();
    answer.end();
    require(answer.over(), "the end is the end");
    const auto body = answer.body();
    if (open) require(body && *body == *open, "what is whole does not wait for the end");
    // What is wrong may be seen sooner or later, by how it was cut.
    if (!body) return "refused";
    require(body->size() <= limit, "bodies are bounded");
    return (open ? "whole " : "ended ") + *body;
}

}  // namespace postfathom::fuzz
