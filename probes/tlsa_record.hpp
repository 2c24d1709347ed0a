// SPDX-License-Identifier: Apache-2.0
// TLSA records (RFC 6698 section 2.1) from their wire form, as mail senders see them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace postfathom {

enum class TlsaUse { malformed, unusable, usable };

// RFC 7672 section 3.1: DANE-TA(2) and DANE-EE(3) are usable in SMTP, the others are not; so are
// selectors and matching types that we do not know, and digests of another length than theirs.
TlsaUse use_of_tlsa(std::string_view rdata);

// "_25._tcp.mail.example.org" (RFC 6698 section 3).
std::string tlsa_name(std::string_view host, unsigned port);

}  // namespace postfathom
