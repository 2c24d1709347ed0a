// SPDX-License-Identifier: Apache-2.0
#include "probes/tlsa_record.hpp"

#include <fmt/format.h>

namespace postfathom {

TlsaUse use_of_tlsa(std::string_view rdata) {
    constexpr std::size_t fields = 3;
    if (rdata.size() <= fields) return TlsaUse::malformed;
    const auto field = [&](std::size_t at) {
        return static_cast<unsigned>(static_cast<unsigned char>(rdata[at]));
    };
    const unsigned usage = field(0);
    const unsigned selector = field(1);
    const unsigned matching = field(2);
    const auto length = rdata.size() - fields;
    if (usage != 2 && usage != 3) return TlsaUse::unusable;
    if (selector > 1) return TlsaUse::unusable;
    switch (matching) {
        case 0:  // the certificate or key itself
            return TlsaUse::usable;
        case 1:
            return length == 32 ? TlsaUse::usable : TlsaUse::malformed;
        case 2:
            return length == 64 ? TlsaUse::usable : TlsaUse::malformed;
        default:
            return TlsaUse::unusable;
    }
}

std::string tlsa_name(std::string_view host, unsigned port) {
    return fmt::format("_{}._tcp.{}", port, host);
}

}  // namespace postfathom
