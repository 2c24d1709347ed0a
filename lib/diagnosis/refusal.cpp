// SPDX-License-Identifier: Apache-2.0
#include "lib/diagnosis/refusal.hpp"

#include <fmt/format.h>

#include "lib/base/text.hpp"

namespace postfathom {

std::string_view refusal_status(DiagnosisId id) {
    using enum DiagnosisId;
    switch (id) {
        case unreachable:
        case refused:
        case no_route:
        case greeting_timeout:
        case greeting_rejected:
            return "4.4.1";  // no answer from host
        case name_error:
            return "4.4.4";  // unable to route
        case starttls_missing:
        case starttls_stripped:
            return "4.7.4";  // security features not supported
        case pmtu_black_hole:
        case size_specific_loss:
        case lossy_path:
        case peer_stall:
        case reset_in_handshake:
            return "4.4.2";  // bad connection
        default:
            return "4.7.5";  // cryptographic failure
    }
}

std::string refusal_text(std::string_view recipient_domain, const KnownVerdict& verdict) {
    constexpr std::size_t max_domain = 253;
    constexpr std::size_t max_words = 300;
    return fmt::format("mail for {} has to wait (path: {})",
                       printable(recipient_domain, max_domain),
                       printable(brief(verdict), max_words));
}

}  // namespace postfathom
