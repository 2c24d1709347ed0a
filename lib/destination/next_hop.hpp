// SPDX-License-Identifier: Apache-2.0
// The place Postfix routes to, in Postfix's own syntax (transport(5), smtp(8) "SMTP DESTINATION
// SYNTAX"):
//   example.org                 MX lookup, port 25
//   example.org:587             MX lookup, another port (a number or a service name)
//   [mail.example.org]          no MX lookup
//   [192.0.2.1]:587  [2001:db8::1]  [IPv6:2001:db8::1]:25   address literals
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/result.hpp"
#include "lib/destination/ip_address.hpp"

namespace postfathom {

struct NextHop {
    std::string host;                   // lower case, without brackets, dots at the end or "IPv6:"
    bool mx_lookup = true;              // false when written in brackets
    std::optional<IpAddress> literal;   // set when `host` is an address
    std::optional<std::uint16_t> port;  // as written; the service's default otherwise

    bool operator==(const NextHop&) const = default;
};

// One next hop. A bare address (192.0.2.1, 2001:db8::1) is taken as a literal, as an operator types
// it. Known service names: smtp, submission, smtps, submissions, imap, imaps. Names longer than 253
// bytes, empty labels and bytes outside letters, digits, '-', '_' and '.' are refused;
// ErrorCode::invalid_input says what was found.
Result<NextHop> parse_next_hop(std::string_view text);

// The canonical spelling, which is the key in the cache and on the admin socket. The default port
// of SMTP is left out: "[mail.example.org]:25" becomes "[mail.example.org]"; IPv6 literals get
// "IPv6:". parse_next_hop(to_string(n)) == n for a parsed n without port 25.
std::string to_string(const NextHop& next_hop);

// A transport's next hop may list several, separated by blanks or commas. Those that do not parse
// are left out. At most 20 are taken.
std::vector<NextHop> parse_next_hops(std::string_view text);

// The domain of an address for routing: what follows the last '@', lower case, without angle
// brackets;
// "[192.0.2.1]" stays bracketed. Empty when there is none.
std::string domain_of_recipient(std::string_view recipient);

}  // namespace postfathom
