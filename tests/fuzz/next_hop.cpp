// SPDX-License-Identifier: Apache-2.0
// Next hops, addresses and recipients, as Postfix, operators and senders spell them.
#include "lib/destination/next_hop.hpp"

#include "lib/cache/json_fields.hpp"
#include "lib/destination/endpoint.hpp"
#include "tests/fuzz/target.hpp"

namespace postfathom::fuzz {

const bool takes_pieces = false;

std::string tell(const Input& input) {
    std::string told;
    const auto add = [&](NextHop next_hop) {
        // The default port is left out of the canonical spelling.
        if (next_hop.port == default_port(Service::smtp)) next_hop.port.reset();
        const auto spelled = to_string(next_hop);
        require(is_printable(spelled) && spelled.size() <= max_next_hop_text, "keys are bounded");
        const auto again = parse_next_hop(spelled);
        require(again && *again == next_hop, "the canonical spelling means the same");
        told += spelled + '\n';
    };
    input.pieces([&](std::string_view bytes) {
        if (const auto next_hop = parse_next_hop(bytes))
            add(*next_hop);
        else
            require(is_printable(next_hop.error().message), "errors are printable");
        for (const auto& next_hop : parse_next_hops(bytes)) add(next_hop);
        if (const auto address = IpAddress::parse(bytes))
            require(IpAddress::parse(address->to_string()) == address, "addresses read the same");
        const auto domain = domain_of_recipient(bytes);
        require(domain.empty() || parse_next_hop(domain), "a recipient's domain is a next hop");
        told += domain;
    });
    return told;
}

}  // namespace postfathom::fuzz
