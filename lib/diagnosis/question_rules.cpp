// SPDX-License-Identifier: Apache-2.0
// Requests that are not answered because of their size or their division into segments. Judged from
// questions that differ in one variable each, with controls before and after.
#include <fmt/core.h>

#include <algorithm>
#include <string>

#include "lib/diagnosis/question_pattern.hpp"
#include "lib/diagnosis/rules.hpp"

namespace postfathom::rules {
namespace {

using Form = SizePattern::Form;

// A firewall counts packets, TCP counts bytes: what a segment has beside its payload.
std::uint32_t packet_overhead(const Evidence& evidence) {
    constexpr std::uint32_t timestamps = 12;
    const bool has_timestamps =
        evidence.attempts.empty() || evidence.attempts.front().counters.timestamps;
    return header_bytes(evidence.endpoint.address.family()) + (has_timestamps ? timestamps : 0);
}

std::string numbers(const std::vector<std::uint32_t>& sizes, std::uint32_t more) {
    constexpr std::size_t shown = 4;
    std::string text;
    for (std::size_t i = 0; i < std::min(sizes.size(), shown); ++i) {
        if (i > 0) text += i + 1 == sizes.size() ? " and " : ", ";
        text += fmt::format("{}", sizes[i] + more);
    }
    if (sizes.size() > shown) text += fmt::format(" and {} more", sizes.size() - shown);
    return text;
}

// "513 bytes", "256-511 bytes"; `more` is added to each size.
std::string sizes_in_words(const SizePattern& pattern, std::uint32_t more) {
    switch (pattern.form) {
        case Form::range:
            return fmt::format("{}-{} bytes", pattern.sizes.front() + more,
                               pattern.sizes.back() + more);
        case Form::modulus:
            return fmt::format("{} + n * {} bytes", pattern.sizes.front() + more, pattern.modulus);
        case Form::above:
            return fmt::format("{} bytes or more", pattern.sizes.front() + more);
        default:
            return numbers(pattern.sizes, more) + " bytes";
    }
}

std::string_view what_is_sent(const SizePattern& pattern) {
    if (pattern.of_segments.value_or(pattern.how == Answer::dropped)) return "segments";
    return pattern.focus.kind == QuestionKind::client_hello ? "ClientHellos" : "requests";
}

std::string_view what_happens(Answer how) {
    switch (how) {
        case Answer::dropped:
            return "are not acknowledged, however often TCP repeats them: something on the way "
                   "drops them";
        case Answer::swallowed:
            return "are acknowledged by TCP and never answered: a middlebox that ends TCP, or the "
                   "server itself, swallows them";
        default:
            return "make the other side end the connection";
    }
}

// Where the fault's edges lie, as far as somebody looked.
std::string edges(const SizePattern& pattern) {
    std::string text;
    if (pattern.passes_below) text += fmt::format("{} bytes", *pattern.passes_below);
    if (pattern.passes_above)
        text += fmt::format("{}{} bytes", text.empty() ? "" : " and ", *pattern.passes_above);
    return text.empty() ? "other sizes" : text;
}

std::vector<std::string> excluded(const SizePattern& pattern) {
    std::vector<std::string> ids{"peer-stall", "lossy-path"};
    // Larger ones pass.
    if (pattern.passes_above) ids.emplace_back("pmtu-black-hole");
    return ids;
}

double confidence_of(const SizePattern& pattern) {
    return std::min(confidence_cap, 1.0 - pattern.chance);
}

bool about_large_hellos(const SizePattern& pattern) {
    if (pattern.focus.kind != QuestionKind::client_hello) return false;
    return pattern.form == Form::above || pattern.form == Form::divided;
}

std::string counts(const SizePattern& pattern) {
    return fmt::format("{} of {} failed, {} others in between were answered", pattern.failures,
                       pattern.failures, pattern.passes);
}

// Segments that are not acknowledged may be too large for the path, unless as large ones pass.
bool may_be_path_mtu(const Evidence& evidence, const SizePattern& pattern) {
    if (pattern.how != Answer::dropped || pattern.form != Form::above) return false;
    if (pattern.focus.segments < 2) return true;
    const auto segment =
        (pattern.focus.bytes + pattern.focus.segments - 1) / pattern.focus.segments;
    const auto& questions = evidence.questions;
    return std::none_of(questions.begin(), questions.end(), [&](const Question& question) {
        return question.answered && question.bytes / question.segments + 1 >= segment;
    });
}

std::string hello_sizes(const SizePattern& pattern) {
    if (pattern.form == Form::divided) return "ClientHello in more than one segment";
    if (pattern.largest_pass && *pattern.largest_pass + 1 == pattern.sizes.front())
        return fmt::format("ClientHello above {} bytes", *pattern.largest_pass);
    return fmt::format("ClientHello of {} bytes or more", pattern.sizes.front());
}

std::string hello_summary(const SizePattern& pattern) {
    if (pattern.form == Form::divided)
        return fmt::format(
            "A ClientHello of {} bytes is answered in one segment and not in {}: it {} ({}). "
            "Whatever is larger than one segment fails the same way.",
            pattern.focus.bytes, pattern.focus.segments,
            pattern.how == Answer::ended       ? "makes the other side end the connection"
            : pattern.how == Answer::swallowed ? "is acknowledged and never answered"
                                               : "is not acknowledged",
            counts(pattern));
    const auto pass = pattern.largest_pass.value_or(0);
    return fmt::format(
        "ClientHellos of {} bytes {} ({}); up to {} bytes are answered, and none of the packets is "
        "too large for the path.",
        pattern.sizes.front(), what_happens(pattern.how), counts(pattern), pass);
}

}  // namespace

Finding size_specific_loss(const Evidence& evidence) {
    const auto pattern = find_size_pattern(all_questions(evidence));
    if (!pattern || about_large_hellos(*pattern) || may_be_path_mtu(evidence, *pattern))
        return std::nullopt;
    Diagnosis loss;
    loss.id = DiagnosisId::size_specific_loss;
    // A mail that has not met it yet may: its requests have other sizes.
    loss.severity = first_attempt_completed(evidence) ? Severity::warning : Severity::critical;
    loss.direction = Direction::outbound;
    loss.confidence = confidence_of(*pattern);
    const auto what = what_is_sent(*pattern);
    loss.sizes = fmt::format("{} of {}", what, sizes_in_words(*pattern, 0));
    const auto packets =
        pattern->focus.segments == 1
            ? fmt::format(" (packets of {})", sizes_in_words(*pattern, packet_overhead(evidence)))
            : std::string{};
    loss.summary = fmt::format("To the server, {} of {}{} {}; {}, among them {}.", what,
                               sizes_in_words(*pattern, 0), packets, what_happens(pattern->how),
                               counts(*pattern), edges(*pattern));
    if (pattern->of_segments == true)
        loss.summary += " The same bytes in two segments pass.";
    else if (pattern->of_segments == false)
        loss.summary += " The same bytes in two segments fail as well.";
    loss.ruled_out = excluded(*pattern);
    return loss;
}

Finding large_hello_intolerance(const Evidence& evidence) {
    const auto pattern = find_size_pattern(all_questions(evidence));
    if (!pattern || !about_large_hellos(*pattern) || may_be_path_mtu(evidence, *pattern))
        return std::nullopt;
    const bool ordinary_passes = first_attempt_completed(evidence);
    Diagnosis large;
    large.id = DiagnosisId::large_hello_intolerance;
    large.severity = ordinary_passes ? Severity::notice : Severity::critical;
    large.direction = Direction::outbound;
    large.confidence = confidence_of(*pattern);
    large.sizes = hello_sizes(*pattern);
    large.summary = hello_summary(*pattern);
    large.summary +=
        ordinary_passes
            ? " This host's own ClientHello still passes; one with a post-quantum key share, as "
              "newer TLS libraries send it (OpenSSL 3.5: about 1.5 to 1.8 KB), would not."
            : "";
    large.summary += " The other side's software has to be mended.";
    large.ruled_out = {"pmtu-black-hole", "peer-stall", "lossy-path"};
    return large;
}

std::vector<Note> question_notes(const Evidence& evidence) {
    const auto questions = all_questions(evidence);
    const QuestionTable table(questions);
    std::uint32_t failures = 0;
    std::uint32_t times = 0;
    for (const auto& question : questions) {
        if (table.of(shape_of(question)) != QuestionTable::Verdict::mixed) continue;
        ++times;
        const auto answer = answer_of(question);
        if (answer == Answer::swallowed || answer == Answer::ended) ++failures;
    }
    if (failures == 0) return {};
    return {{"answers-at-times",
             fmt::format("The same request was answered on some connections and not on others ({} "
                         "of {} failed): where several machines share this address, one of them "
                         "may hang",
                         failures, times)}};
}

bool any_question_answered(const Evidence& evidence) {
    return std::any_of(evidence.questions.begin(), evidence.questions.end(),
                       [](const Question& question) { return question.answered; });
}

std::string questions_in_words(const Evidence& evidence) {
    std::uint32_t least = 0;
    std::uint32_t most = 0;
    bool divided = false;
    for (const auto& question : evidence.questions) {
        if (!failed(answer_of(question)) || question.kind != QuestionKind::client_hello) continue;
        least = least == 0 ? question.bytes : std::min(least, question.bytes);
        most = std::max(most, question.bytes);
        divided = divided || question.segments > 1;
    }
    if (most == 0) return "";
    return fmt::format(" It was the same with ClientHellos of {} bytes{}.",
                       least == most ? fmt::format("{}", most) : fmt::format("{}-{}", least, most),
                       divided ? " and with one in two segments" : "");
}

}  // namespace postfathom::rules
