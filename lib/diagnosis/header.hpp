// SPDX-License-Identifier: Apache-2.0
// The header that tells a message's readers of a next hop with findings. policyd prepends it, the
// milter inserts it; both write it here.
//   X-Postfathom-Diagnosis: relay.example.net; next-hop=example.org; diagnosis=pmtu-black-hole;
//       direction=inbound; path-mtu=1400; mss=1360; since=2026-11-23T04:16:11Z
#pragma once

#include <string>
#include <string_view>

#include "lib/diagnosis/record.hpp"

namespace postfathom {

inline constexpr std::string_view diagnosis_header_name = "X-Postfathom-Diagnosis";

// A line of a message may have 998 bytes (RFC 5322 section 2.1.1); with the name this stays below.
inline constexpr std::size_t max_diagnosis_header_value = 900;

// The value in one line of printable ASCII without the name, as a policy server's PREPEND needs it.
// `host_token` says who wrote it, so that the milter knows its own; `next_hop` is shown as it is
// written, with its port. What is unknown is left out; a path MTU that is only a bound has
// "path-mtu-exact=no" after it.
std::string diagnosis_header_value(std::string_view host_token, std::string_view next_hop,
                                   const KnownVerdict& verdict);

// The host token at the start of such a value, without blanks around it; empty when there is none.
// Whose header it is, is decided by comparing it without case.
std::string_view host_token_of(std::string_view header_value);

// Folded before "; " parts so that lines stay within 78 columns (RFC 5322 section 2.1.1), the first
// one behind "name: ". Lines are joined by "\n\t", as libmilter wants them.
std::string fold_diagnosis_header(std::string_view value);

}  // namespace postfathom
