// SPDX-License-Identifier: Apache-2.0
// The words with which a recipient is refused until later; policyd and the milter use the same.
#pragma once

#include <string>
#include <string_view>

#include "lib/diagnosis/record.hpp"

namespace postfathom {

// RFC 3463 sections 3.5 and 3.8: "4.4.2".
std::string_view refusal_status(DiagnosisId id);

// What comes behind it. The sender reads it: the recipient's domain, which it knows, and nothing of
// our own network. One line.
std::string refusal_text(std::string_view recipient_domain, const KnownVerdict& verdict);

}  // namespace postfathom
