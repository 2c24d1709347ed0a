// SPDX-License-Identifier: Apache-2.0
// What the owner of a mail domain publishes about TLS to it, DANE (RFC 7672) and MTA-STS (RFC
// 8461), and the level that follows for Postfix. Pure.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "lib/diagnosis/tls_floor.hpp"

namespace postfathom {

// TLSA records of the servers of a next hop. Only what DNSSEC proves counts.
struct DaneServers {
    std::uint32_t servers = 0;   // 0: who they are is not signed
    std::uint32_t usable = 0;    // with a record that a sender can use
    std::uint32_t unusable = 0;  // with records, none of which a sender can use
    bool operator==(const DaneServers&) const = default;
};

struct MtaStsPolicy {
    enum class Mode { none, testing, enforce };
    Mode mode = Mode::none;
    std::vector<std::string> mx;  // host names, or "*." and a domain; lower case
    std::chrono::seconds max_age{0};
    bool operator==(const MtaStsPolicy&) const = default;
};

struct PublishedTls {
    // What every sender may hold mail to; `may`: nothing is published.
    TlsLevel level = TlsLevel::may;
    std::vector<std::string> match{};  // of level secure: what smtp_tls_policy_maps takes as match=
    std::string says{};                // "TLSA records of 2 of 2 servers"; our own words
    bool operator==(const PublishedTls&) const = default;
};

// Nothing of `dane` or `policy`: it could not be told, which says as little as that there is none.
// DANE goes before MTA-STS (RFC 8461 section 2).
PublishedTls published_tls(const std::optional<DaneServers>& dane,
                           const std::optional<MtaStsPolicy>& policy);

}  // namespace postfathom
