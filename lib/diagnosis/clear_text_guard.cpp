// SPDX-License-Identifier: Apache-2.0
#include "lib/diagnosis/clear_text_guard.hpp"

#include <algorithm>

namespace postfathom {
namespace {

// Verdicts that rest on a handshake that was completed.
bool tells_of_handshake(DiagnosisId id) {
    using enum DiagnosisId;
    switch (id) {
        case healthy:
        case pmtu_reduced:
        case certificate_expired:
        case certificate_not_yet_valid:
        case certificate_self_signed:
        case certificate_untrusted:
        case certificate_incomplete_chain:
        case certificate_name_mismatch:
            return true;
        default:
            return false;
    }
}

bool transport_ill(const KnownVerdict& verdict, WallTime now, const AgeLimits& limits) {
    return ill(verdict) && fails_for_transport(verdict.id) &&
           freshness(verdict, now, limits) != Freshness::expired;
}

}  // namespace

bool fails_for_transport(DiagnosisId id) {
    using enum DiagnosisId;
    switch (id) {
        case pmtu_black_hole:
        case size_specific_loss:
        case large_hello_intolerance:
        case lossy_path:
        case peer_stall:
        case reset_in_handshake:
        case starttls_stripped:
            return true;
        default:
            return false;
    }
}

bool handshake_was_completed(const EndpointRecord& endpoint) {
    return tells_of_handshake(endpoint.verdict.id) || endpoint.verdict.usable_mss ||
           std::any_of(endpoint.history.begin(), endpoint.history.end(),
                       [](const PastVerdict& past) { return tells_of_handshake(past.id); });
}

TlsFloor floor_by(const NextHopRecord* next_hop, TlsLevel least) {
    if (next_hop == nullptr || !next_hop->tls_floor) return TlsFloor::uncertain(least);
    return highest(least, *next_hop->tls_floor);
}

std::optional<SuggestedLevel> guard_level(const NextHopRecord& next_hop,
                                          const std::vector<EndpointRecord>& endpoints,
                                          TlsLevel floor, WallTime now, const AgeLimits& limits) {
    if (!transport_ill(next_hop.verdict, now, limits)) return std::nullopt;
    bool had_tls = false;
    for (const auto& endpoint : endpoints) {
        if (endpoint.verdict.id == DiagnosisId::starttls_missing) return std::nullopt;
        // Postfix tells of the next hop only: this server is known to have offered STARTTLS.
        const bool told = next_hop.tls_seen > now - limits.good_expire && endpoint.starttls_seen;
        had_tls = had_tls || (transport_ill(endpoint.verdict, now, limits) &&
                              (told || handshake_was_completed(endpoint)));
    }
    if (!had_tls) return std::nullopt;
    return SuggestedLevel::raise(floor_by(&next_hop, floor), TlsLevel::encrypt);
}

}  // namespace postfathom
