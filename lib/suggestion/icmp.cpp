// SPDX-License-Identifier: Apache-2.0
// "Packet too big" is let through (RFC 1191, RFC 8201; RFC 4890 section 4.3.1 says that it must not
// be dropped). Only this message: other ICMP is not touched.
#include <fmt/core.h>

#include "lib/suggestion/families.hpp"

namespace postfathom {
namespace {

// The message goes to whoever sent the packet that is too big.
std::string reason(const Plan& plan) {
    const std::string message =
        plan.v6() ? "ICMPv6 type 2 (packet too big)" : "ICMP type 3 code 4 (fragmentation needed)";
    const std::string way = plan.direction == Direction::inbound    ? "towards the server"
                            : plan.direction == Direction::outbound ? "towards this host"
                                                                    : "to either side";
    return fmt::format(
        "Where packets are too big, the router there says so with {}. None of these messages has "
        "had an effect. If the firewall that drops them {} is yours, let them through, and both "
        "sides find the size by themselves. With the names of Debian's /etc/nftables.conf; with "
        "others, put in yours.",
        message, way);
}

}  // namespace

Suggestion let_icmp_through(const Plan& plan) {
    auto suggestion = begin(plan, SuggestionKind::let_icmp_through);
    suggestion.form = SuggestionForm::other_shell;
    suggestion.scope = "a firewall of yours on the path, with nftables";
    suggestion.why = reason(plan);
    // To us it ends in `input` of this host, or passes a router; to the server it only passes.
    constexpr std::string_view mark = "let packet-too-big through";
    const std::string_view match = plan.v6() ? "icmpv6 type packet-too-big"
                                             : "icmp type destination-unreachable icmp code "
                                               "frag-needed";
    suggestion.commands = {
        fmt::format("nft insert rule inet filter forward {} accept comment '\"{}\"'", match, mark)};
    suggestion.undo = {fmt::format(
        "nft delete rule inet filter forward handle $(nft -a list chain inet filter forward | sed "
        "-n '/{}/s/.*# handle //p')",
        mark)};
    suggestion.verify = {"nft list chain inet filter forward", probe_command(plan)};
    suggestion.expected = plan.inbound()
                              ? "the server's packets fit without a change on this host."
                              : fmt::format(
                                    "after a large message `{} route get {}` shows a learned MTU "
                                    "of {}.",
                                    ip_command(plan), plan.destination, plan.mtu.bytes);
    suggestion.risk =
        "None that is known: the message is about connections that exist. Lasts until the "
        "firewall's rules are loaded anew.";
    return suggestion;
}

}  // namespace postfathom
