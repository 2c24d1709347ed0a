// SPDX-License-Identifier: Apache-2.0
// What tunnels add to a packet, each as the sum of its headers.
#include "lib/suggestion/overhead.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cctype>

using namespace postfathom;

namespace {

// "IPv4 20 + UDP 8 + padding up to 3" is 31.
std::uint32_t sum_of(const std::string& parts) {
    std::uint32_t sum = 0;
    for (std::size_t at = 0; at < parts.size(); ++at) {
        const bool number = std::isdigit(static_cast<unsigned char>(parts[at])) != 0 && at > 0 &&
                            parts[at - 1] == ' ';
        if (number) sum += static_cast<std::uint32_t>(std::stoul(parts.substr(at)));
    }
    return sum;
}

}  // namespace

TEST_CASE("each overhead is the sum of its parts") {
    for (const auto* kind :
         {"wireguard", "ppp", "gre", "gretap", "ip6gre", "ip6gretap", "ipip", "sit", "ip6tnl",
          "vxlan", "geneve", "vti", "vti6", "xfrm", "bareudp", "gtp"}) {
        CAPTURE(kind);
        CHECK_FALSE(overheads(kind).empty());
        for (const auto& one : overheads(kind)) {
            CAPTURE(one.parts);
            CHECK(sum_of(one.parts) == one.bytes);
        }
    }
    CHECK(overheads("").empty());
    CHECK(overheads("tun").empty());
}

TEST_CASE("the arithmetic of a tunnel is shown") {
    CHECK(overhead_in_words("wireguard", PathMtu{1400}) ==
          "WireGuard over IPv4 adds 60 bytes (IPv4 20 + UDP 8 + WireGuard 32): 1400 inside are "
          "1460 outside; WireGuard over IPv6 adds 80 bytes (IPv6 40 + UDP 8 + WireGuard 32): 1400 "
          "inside are 1480 outside.");
    CHECK(overhead_in_words("ppp", PathMtu{1492}) ==
          "PPPoE adds 8 bytes (PPPoE 6 + PPP 2): 1492 inside are 1500 outside.");
    CHECK(overhead_in_words("tap", PathMtu{1400}).empty());
}
