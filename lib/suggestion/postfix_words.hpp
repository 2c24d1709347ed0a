// SPDX-License-Identifier: Apache-2.0
// Words of Postfix's configuration, as types that hold nothing weaker than what is safe to say.
#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>
#include <vector>

#include "lib/diagnosis/tls_floor.hpp"

namespace postfathom {

// What we ever ask Postfix to leave out of a server's EHLO reply. STARTTLS is no such word.
enum class DiscardedKeyword { pipelining };
constexpr std::string_view to_string(DiscardedKeyword) { return "pipelining"; }

// The oldest protocol that we ever ask for as the least: RFC 8996 deprecates what is older.
enum class LeastProtocol { tls12 };
constexpr std::string_view to_string(LeastProtocol) { return ">=TLSv1.2"; }

// "example.org encrypt" of smtp_tls_policy_maps. Only a raised level fits in. `match`: the names of
// level secure; none: Postfix's own (smtp_tls_secure_cert_match).
inline std::string policy_line(std::string_view next_hop, SuggestedLevel raised,
                               const std::vector<std::string>& match) {
    auto line = fmt::format("{} {}", next_hop, to_string(raised.level()));
    if (!match.empty()) line += fmt::format(" match={} servername=hostname", fmt::join(match, ":"));
    return line;
}

// "192.0.2.1 pipelining" of smtp_discard_ehlo_keyword_address_maps.
inline std::string discard_line(std::string_view address, DiscardedKeyword keyword) {
    return fmt::format("{} {}", address, to_string(keyword));
}

}  // namespace postfathom
