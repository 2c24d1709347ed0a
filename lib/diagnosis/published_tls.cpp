// SPDX-License-Identifier: Apache-2.0
#include "lib/diagnosis/published_tls.hpp"

#include <fmt/format.h>

namespace postfathom {
namespace {

// Postfix's spelling of a pattern (smtp_tls_secure_cert_match): ".example.org" is any host below.
std::string match_of(const std::string& pattern) {
    return pattern.starts_with("*.") ? pattern.substr(1) : pattern;
}

PublishedTls enforced(const MtaStsPolicy& policy) {
    PublishedTls published{.level = TlsLevel::secure,
                           .match = {},
                           .says = fmt::format("an MTA-STS policy to enforce, with {} name{}",
                                               policy.mx.size(), policy.mx.size() == 1 ? "" : "s")};
    for (const auto& pattern : policy.mx) published.match.push_back(match_of(pattern));
    return published;
}

}  // namespace

PublishedTls published_tls(const std::optional<DaneServers>& dane,
                           const std::optional<MtaStsPolicy>& policy) {
    const auto found = dane.value_or(DaneServers{});
    if (found.usable > 0) {
        const bool all = found.usable == found.servers;
        return {.level = all ? TlsLevel::dane_only : TlsLevel::dane,
                .match = {},
                .says = fmt::format("TLSA records of {} of {} server{}", found.usable,
                                    found.servers, found.servers == 1 ? "" : "s")};
    }
    if (policy && policy->mode == MtaStsPolicy::Mode::enforce && !policy->mx.empty())
        return enforced(*policy);
    // RFC 7672 section 2.2: TLS without a check of the peer, and not clear text.
    if (found.unusable > 0)
        return {
            .level = TlsLevel::encrypt, .match = {}, .says = "TLSA records that no sender can use"};
    return {};
}

}  // namespace postfathom
