// SPDX-License-Identifier: Apache-2.0
#include "lib/suggestion/plan.hpp"

#include <fmt/core.h>

#include <algorithm>

#include "lib/base/text.hpp"

namespace postfathom {
namespace {

constexpr std::string_view letters_and_digits =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

// Empty when it cannot be printed safely. An address without brackets is how a person types it;
// Postfix knows only the other.
std::string spelled_next_hop(const SuggestionContext& context) {
    const auto& verbatim = context.next_hop_verbatim;
    const bool bare = context.next_hop.literal && !verbatim.starts_with('[');
    auto spelled = verbatim.empty() || bare ? to_string(context.next_hop) : verbatim;
    return safe_word(spelled, "._:@[]-") ? spelled : std::string{};
}

std::string counted(std::size_t count, std::string_view what) {
    return fmt::format("{} {}{}", count, what, count == 1 ? "" : "s");
}

bool completed(const Attempt& attempt) { return attempt.outcome == Outcome::ok; }

// "a handshake with packets of at most 1400 bytes went through in 0.21 s, while 3 connections that
// allowed 1401 to 1500 did not"
std::string inbound_numbers(const Evidence& evidence, PathMtu size) {
    const Attempt* pass = nullptr;
    std::size_t stalls = 0;
    PathMtu least{UINT32_MAX};
    PathMtu most;
    for (const auto& attempt : evidence.attempts) {
        if (completed(attempt) && attempt.allowed == size) {
            pass = &attempt;
        } else if (!completed(attempt) && attempt.allowed > size) {
            ++stalls;
            least = std::min(least, attempt.allowed);
            most = std::max(most, attempt.allowed);
        }
    }
    if (pass == nullptr) return "";
    auto text = fmt::format("a handshake with packets of at most {} bytes went through",
                            pass->allowed.bytes);
    if (pass->seconds > 0) text += fmt::format(" in {:.2f} s", pass->seconds);
    if (stalls == 0) return text;
    const auto range = least == most ? std::to_string(least.bytes)
                                     : fmt::format("{} to {}", least.bytes, most.bytes);
    return text + fmt::format(", {} that allowed {} did not", counted(stalls, "other"), range);
}

std::string outbound_numbers(const Evidence& evidence, PathMtu size) {
    bool arrived = false;
    std::uint32_t lost = 0;
    for (const auto& flight : evidence.flights) {
        if (flight.passes && *flight.passes >= size) arrived = true;
        if (flight.fails && *flight.fails > size) lost += flight.large_lost;
    }
    if (!arrived) return "";
    auto text = fmt::format("packets of {} bytes reached the server", size.bytes);
    if (lost > 0) text += fmt::format(", {} larger ones did not", lost);
    return text;
}

std::string numbers(const Evidence& evidence, PathMtu size, Direction direction) {
    std::string text;
    if (direction != Direction::outbound) text = inbound_numbers(evidence, size);
    if (direction == Direction::inbound) return text;
    const auto more = outbound_numbers(evidence, size);
    return text + (text.empty() || more.empty() ? "" : "; ") + more;
}

}  // namespace

Plan make_plan(const Diagnosis& diagnosis, const SuggestionContext& context) {
    const auto size = diagnosis.path_mtu.value_or(PathMtu{});
    const auto mss = mss_for(size, context.host.destination.family());
    const auto direction = diagnosis.direction.value_or(Direction::both);
    const bool proven = diagnosis.path_mtu && diagnosis.usable_mss == mss;
    return {.context = context,
            .diagnosis = diagnosis,
            .mtu = size,
            .mss = mss,
            .proven = proven,
            .proof = proven ? numbers(context.evidence, size, direction) : "",
            .direction = direction,
            .destination = context.host.destination.to_string(),
            .next_hop = spelled_next_hop(context)};
}

Suggestion begin(const Plan& plan, SuggestionKind kind) {
    Suggestion suggestion;
    suggestion.kind = kind;
    suggestion.tls_floor = std::max<TlsLevel>(plan.context.floor, plan.context.published.level);
    suggestion.proof = "not tried: only what it rests on was measured";
    return suggestion;
}

void prove(Suggestion& suggestion, const Plan& plan) {
    suggestion.proven = plan.proven;
    if (!plan.proven)
        suggestion.proof = "no counter-probe under this limit has succeeded";
    else if (plan.proof.empty())
        suggestion.proof = fmt::format("a counter-probe with MSS {} succeeded", plan.mss.bytes);
    else
        suggestion.proof = plan.proof;
}

bool only_of(std::string_view text, std::string_view more) {
    return std::all_of(text.begin(), text.end(), [&](char c) {
        return letters_and_digits.find(c) != std::string_view::npos ||
               more.find(c) != std::string_view::npos;
    });
}

bool safe_word(std::string_view text, std::string_view more) {
    return !text.empty() && text.front() != '-' && only_of(text, more);
}

bool safe_interface(std::string_view name) {
    constexpr std::size_t longest = 15;  // IFNAMSIZ - 1
    return name.size() <= longest && safe_word(name, "._@-");
}

bool safe_path(std::string_view path) {
    return path.starts_with('/') && only_of(path, "/._@-") &&
           path.find("..") == std::string_view::npos;
}

// Brackets are patterns to the shell.
std::string shell_word(std::string_view text) {
    return only_of(text, "._:@/-") ? std::string{text} : shell_quoted(text);
}

bool sends_mail(Service service) {
    return service == Service::smtp || service == Service::submission || service == Service::smtps;
}

std::string probe_command(const Plan& plan) {
    return fmt::format("postfathom probe {}",
                       plan.next_hop.empty() ? plan.destination : shell_word(plan.next_hop));
}

std::string_view ip_command(const Plan& plan) { return plan.v6() ? "ip -6" : "ip"; }

std::string host_prefix(const Plan& plan) {
    return plan.destination + (plan.v6() ? "/128" : "/32");
}

std::string mss_in_words(const Plan& plan) {
    return fmt::format("{} ({} - {})", plan.mss.bytes, plan.mtu.bytes, header_bytes(plan.family()));
}

std::string in_a_name(std::string_view address) {
    std::string name(address);
    std::replace_if(name.begin(), name.end(), [](char c) { return c == '.' || c == ':'; }, '_');
    return name;
}

std::optional<std::string> postfix_value(const Plan& plan, const std::string& name) {
    const auto& postfix = plan.host().postfix;
    if (!postfix) return std::nullopt;
    const auto found = postfix->values.find(name);
    if (found == postfix->values.end()) return std::nullopt;
    return found->second;
}

}  // namespace postfathom
