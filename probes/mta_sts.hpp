// SPDX-License-Identifier: Apache-2.0
// MTA-STS (RFC 8461): its TXT record and its policy file. Both come from strangers.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/result.hpp"
#include "lib/diagnosis/published_tls.hpp"

namespace postfathom {

inline constexpr std::size_t max_mta_sts_bytes = 64 * 1024;  // section 3.2's suggestion
inline constexpr std::size_t max_mta_sts_names = 64;

// The text of a TXT record from its wire form: its strings, joined (RFC 8461 section 3.1). Nothing
// for other bytes.
std::optional<std::string> text_of_txt(std::string_view rdata);

// The id of the one record that begins with "v=STSv1;"; nothing when there is none, or several
// (section 3.1), or it has no id.
std::optional<std::string> mta_sts_id(const std::vector<std::string>& texts);

// Section 3.2. A name that is not a host name, or "*." before one, refuses the policy: part of it
// would be a weaker one.
Result<MtaStsPolicy> parse_mta_sts_policy(std::string_view text);

}  // namespace postfathom
