// SPDX-License-Identifier: Apache-2.0
// What the families of suggestions share: the case at hand, and words that a shell cannot misread.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/suggestion/suggest.hpp"

namespace postfathom {

struct Plan {
    const SuggestionContext& context;
    const Diagnosis& diagnosis;
    PathMtu mtu;  // what the path carries
    Mss mss;
    bool proven;              // a counter-probe under this limit succeeded
    std::string proof;        // its numbers
    Direction direction;      // which is ill
    std::string destination;  // address
    std::string next_hop;     // as Postfix spells it; empty when it cannot be printed safely

    const HostFacts& host() const { return context.host; }
    IpFamily family() const { return context.host.destination.family(); }
    bool v6() const { return family() == IpFamily::v6; }
    bool inbound() const { return direction != Direction::outbound; }
    bool outbound() const { return direction != Direction::inbound; }
};
Plan make_plan(const Diagnosis& diagnosis, const SuggestionContext& context);

// With what holds for every suggestion of this plan.
Suggestion begin(const Plan& plan, SuggestionKind kind);
// `proven` and `proof` as the counter-probe has them.
void prove(Suggestion& suggestion, const Plan& plan);

// Letters and digits, and the characters of `more`.
bool only_of(std::string_view text, std::string_view more);
// Likewise, and no option: not empty, without a leading '-'.
bool safe_word(std::string_view text, std::string_view more);
bool safe_interface(std::string_view name);
bool safe_path(std::string_view path);  // absolute
// In quotes where a shell would read more than letters in it.
std::string shell_word(std::string_view text);

bool sends_mail(Service service);
std::string probe_command(const Plan& plan);
std::string_view ip_command(const Plan& plan);
std::string host_prefix(const Plan& plan);   // "192.0.2.1/32"
std::string mss_in_words(const Plan& plan);  // "1360 (1400 - 40)"
// "192_0_2_1": what may stand in a name.
std::string in_a_name(std::string_view address);

// A parameter of Postfix in force; nothing when it is not known.
std::optional<std::string> postfix_value(const Plan& plan, const std::string& name);

}  // namespace postfathom
