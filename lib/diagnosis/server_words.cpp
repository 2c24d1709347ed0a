// SPDX-License-Identifier: Apache-2.0
#include "lib/diagnosis/server_words.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <string>

#include "lib/base/text.hpp"

namespace postfathom {
namespace {

// Postscreen's greeting takes 6 s, and a greeting without a DNS answer 5 s: from here on somebody
// means it.
constexpr double slow_seconds = 5.0;
constexpr std::size_t quoted_reply = 120;

bool is_word_byte(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }

std::string lower(std::string_view text) {
    std::string result(text);
    std::transform(result.begin(), result.end(), result.begin(), [](char c) {
        return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    });
    return result;
}

// `word` at the start of a word: "rate" in "rate limit", not in "operated".
bool speaks_of(const std::string& text, std::string_view word) {
    for (auto at = text.find(word); at != std::string::npos; at = text.find(word, at + 1))
        if (at == 0 || !is_word_byte(text[at - 1])) return true;
    return false;
}

// "rate" itself would also begin "rather": with what follows it in such replies.
constexpr std::array<std::string_view, 12> known_words{
    "rate limit", "rate-limit", "ratelimit", "rate exceeded", "rate is",   "rate too",
    "too many",   "try again",  "try later", "throttl",       "slow down", "come again later"};

}  // namespace

bool asks_to_wait(std::string_view reply) {
    if (reply.starts_with("421")) return true;
    // 5xx too: some say for ever what they mean for a while.
    if (!reply.starts_with('4') && !reply.starts_with('5')) return false;
    const auto text = lower(reply);
    return std::any_of(known_words.begin(), known_words.end(),
                       [&](std::string_view word) { return speaks_of(text, word); });
}

std::vector<Note> server_notes(const Evidence& evidence) {
    std::vector<Note> notes;
    std::string slow;
    for (const auto& timing : evidence.timings) {
        const bool answered = timing.phase == Phase::greeting || timing.phase == Phase::ehlo ||
                              timing.phase == Phase::starttls ||
                              timing.phase == Phase::ehlo_after_tls;
        // What never came is the verdict's, not a slow answer.
        const bool came = timing.phase != evidence.reached || evidence.outcome == Outcome::ok;
        if (answered && came && timing.seconds >= slow_seconds)
            slow += fmt::format("{}{} {:.1f} s", slow.empty() ? "" : ", ",
                                in_words(timing.phase, evidence.endpoint.service), timing.seconds);
    }
    if (!slow.empty())
        notes.push_back({"slow-server", "The server takes its time and was waited for: " + slow});
    if (!evidence.asked_to_wait.empty())
        notes.push_back(
            {"server-asks-to-wait", fmt::format("The server asked us to come again later: \"{}\"",
                                                printable(evidence.asked_to_wait, quoted_reply))});
    return notes;
}

}  // namespace postfathom
