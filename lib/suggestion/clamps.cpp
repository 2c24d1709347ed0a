// SPDX-License-Identifier: Apache-2.0
// The segment size in a SYN, lowered on its way. A SYN from us tells the server what to send, a SYN
// from the server tells us: only the ill direction is touched.
#include <fmt/core.h>

#include "lib/suggestion/families.hpp"

namespace postfathom {
namespace {

std::string router_reason(const Plan& plan) {
    const std::string whose =
        "For a router of yours on the path, whose hosts all have this trouble: it lowers the MSS "
        "in the SYN ";
    switch (plan.direction) {
        case Direction::inbound:
            return whose +
                   "that goes to the server, so the server does not send what does not fit. Our "
                   "own packets are not touched: they fit.";
        case Direction::outbound:
            return whose +
                   "that comes from the server, so nobody sends it what does not fit. Its own "
                   "packets are not touched: they fit.";
        case Direction::both:
            break;
    }
    return whose +
           "of both sides, so neither sends what does not fit. One direction, or a clamp in "
           "OUTPUT, mends one direction only.";
}

std::string host_reason(const Plan& plan) {
    const auto what = fmt::format(
        "Where a route cannot be set (a routing daemon owns it): this host's own firewall lowers "
        "the MSS to {} ",
        mss_in_words(plan));
    switch (plan.direction) {
        case Direction::inbound:
            return what + "in our SYN, in output, so the server does not send what does not fit.";
        case Direction::outbound:
            return what + "in the server's SYN, in input, so we do not send what does not fit.";
        case Direction::both:
            break;
    }
    return what + "in our SYN, in output, and in the server's, in input: each mends one direction.";
}

std::string expected_sizes(const Plan& plan) {
    return fmt::format("new connections have MSS {}; those that are open keep what they have.",
                       plan.mss.bytes);
}

// For each ill direction: on a router by the server's address in one chain, on this host in the
// chain that the SYN passes.
struct Side {
    std::string_view nft_chain;
    std::string_view iptables_chain;
    std::string_view nft_match;
    std::string_view iptables_match;
};
std::vector<Side> router_sides(const Plan& plan) {
    std::vector<Side> sides;
    if (plan.inbound()) sides.push_back({"forward", "FORWARD", "daddr", "-d"});
    if (plan.outbound()) sides.push_back({"forward", "FORWARD", "saddr", "-s"});
    return sides;
}
std::vector<Side> host_sides(const Plan& plan) {
    std::vector<Side> sides;
    if (plan.inbound()) sides.push_back({"output", "OUTPUT", "daddr", "-d"});
    if (plan.outbound()) sides.push_back({"input", "INPUT", "saddr", "-s"});
    return sides;
}

void clamp_with_nft(Suggestion& suggestion, const Plan& plan, const std::string& table,
                    const std::vector<Side>& sides) {
    suggestion.commands = {fmt::format("nft add table inet {}", table)};
    std::string_view made;
    for (const auto& side : sides) {
        if (side.nft_chain != made)
            suggestion.commands.push_back(
                fmt::format("nft add chain inet {} {} '{{ type filter hook {} priority mangle; }}'",
                            table, side.nft_chain, side.nft_chain));
        made = side.nft_chain;
    }
    for (const auto& side : sides)
        suggestion.commands.push_back(fmt::format(
            "nft add rule inet {} {} {} {} {} tcp flags syn / syn,rst tcp option maxseg size set "
            "{}",
            table, side.nft_chain, plan.v6() ? "ip6" : "ip", side.nft_match, plan.destination,
            plan.mss.bytes));
    suggestion.verify = {fmt::format("nft list table inet {}", table), probe_command(plan)};
    suggestion.undo = {fmt::format("nft delete table inet {}", table)};
}

void clamp_with_iptables(Suggestion& suggestion, const Plan& plan, const std::vector<Side>& sides) {
    const std::string_view program = plan.v6() ? "ip6tables" : "iptables";
    for (const auto& side : sides) {
        const auto rule = [&](char action) {
            return fmt::format(
                "{} -t mangle -{} {} {} {} -p tcp --tcp-flags SYN,RST SYN -j TCPMSS --set-mss {}",
                program, action, side.iptables_chain, side.iptables_match, plan.destination,
                plan.mss.bytes);
        };
        suggestion.commands.push_back(rule('A'));
        suggestion.undo.push_back(rule('D'));
        suggestion.verify.push_back(
            fmt::format("{} -t mangle -S {}", program, side.iptables_chain));
    }
    suggestion.verify.push_back(probe_command(plan));
}

Suggestion on_router(const Plan& plan, SuggestionKind kind, std::string_view tool) {
    auto suggestion = begin(plan, kind);
    prove(suggestion, plan);
    suggestion.form = SuggestionForm::other_shell;
    suggestion.scope = fmt::format("a router of yours with {}, this destination", tool);
    suggestion.why = router_reason(plan);
    suggestion.expected = expected_sizes(plan);
    suggestion.risk =
        "All hosts behind the router have smaller packets with this server. Lasts until the "
        "router's rules are loaded anew.";
    return suggestion;
}

}  // namespace

std::optional<Suggestion> host_clamp(const Plan& plan) {
    const auto& host = plan.host();
    if (!host.has_nft && !host.has_iptables) return std::nullopt;
    auto suggestion = begin(plan, SuggestionKind::host_clamp);
    prove(suggestion, plan);
    suggestion.scope = "this host, this destination";
    suggestion.why = host_reason(plan);
    suggestion.expected = expected_sizes(plan);
    suggestion.risk = "Lasts until the firewall's rules are loaded anew, unless they have it too.";
    const auto sides = host_sides(plan);
    if (host.has_nft)
        clamp_with_nft(suggestion, plan, "postfathom_host_" + in_a_name(plan.destination), sides);
    else
        clamp_with_iptables(suggestion, plan, sides);
    return suggestion;
}

Suggestion mss_clamp_nft(const Plan& plan) {
    auto suggestion = on_router(plan, SuggestionKind::mss_clamp_nft, "nftables");
    // A table for each destination, which can be taken away alone.
    clamp_with_nft(suggestion, plan, "postfathom_" + in_a_name(plan.destination),
                   router_sides(plan));
    return suggestion;
}

Suggestion mss_clamp_iptables(const Plan& plan) {
    auto suggestion = on_router(plan, SuggestionKind::mss_clamp_iptables, "iptables");
    clamp_with_iptables(suggestion, plan, router_sides(plan));
    return suggestion;
}

}  // namespace postfathom
