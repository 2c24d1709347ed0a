// SPDX-License-Identifier: Apache-2.0
// What ip, nft and iptables-save print of this host, for postfathom doctor.
#include "lib/doctor/links.hpp"
#include "lib/doctor/nft_ruleset.hpp"
#include "tests/fuzz/target.hpp"

namespace postfathom::fuzz {

const bool takes_pieces = false;

std::string tell(const Input& input) {
    std::string told;
    const auto add_fates = [&](const Firewall& firewall) {
        for (const auto family : {IpFamily::v4, IpFamily::v6}) {
            const auto fate = fate_of_too_big(firewall, family);
            told += std::to_string(static_cast<int>(fate.fate)) + fate.place + '\n';
        }
    };
    input.pieces([&](std::string_view bytes) {
        if (const auto links = parse_links(bytes))
            for (const auto& link : *links) told += link.name + std::to_string(link.mtu) + '\n';
        for (const auto& route : parse_routes(bytes))
            told += route.destination + route.interface + std::to_string(route.mtu) + '\n';
        if (const auto ruleset = parse_nft_ruleset(bytes)) add_fates(ruleset->firewall);
        add_fates(parse_iptables(bytes, IpFamily::v4));
        add_fates(parse_iptables(bytes, IpFamily::v6));
    });
    for (const unsigned char byte : told)
        require(byte == '\n' || (byte >= ' ' && byte <= '~'), "what is shown is printable");
    return told;
}

}  // namespace postfathom::fuzz
