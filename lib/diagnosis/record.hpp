// SPDX-License-Identifier: Apache-2.0
// What is remembered: the records of the probe cache as values, how they age, and how a new verdict
// joins what was known. Pure; lib/cache stores them.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "lib/destination/endpoint.hpp"
#include "lib/diagnosis/diagnosis.hpp"
#include "lib/diagnosis/tls_floor.hpp"

namespace postfathom {

// A failure that one probe found while good news is fresh. It is believed when a second probe, made
// at another time, finds one too.
struct Suspicion {
    DiagnosisId id = DiagnosisId::inconclusive;
    WallTime at{};
    bool operator==(const Suspicion&) const = default;
};

struct SizeRange {
    PathMtu low;
    PathMtu high;
    bool operator==(const SizeRange&) const = default;
};

// A verdict as the mail path needs it: small, no text from peers.
struct KnownVerdict {
    DiagnosisId id = DiagnosisId::inconclusive;
    Severity severity = Severity::unknown;
    std::optional<Direction> direction;
    std::optional<PathMtu> path_mtu;
    bool path_mtu_exact = false;
    std::optional<PathMtu> path_mtu_below{};  // see Diagnosis
    std::optional<Mss> usable_mss;
    std::string sizes{};  // see Diagnosis::sizes
    WallTime
        since{};  // when this identifier (with this direction) was first found, without a break
    WallTime measured_at{};  // when it was last confirmed
    std::optional<Suspicion> suspected{};
    // What was found over time, or from several sources, contradicts itself: see history.hpp.
    std::optional<SizeRange> varies{};
    bool comes_and_goes = false;

    bool operator==(const KnownVerdict&) const = default;
};

// Four times as in Postfix's verify(8): after `refresh` an entry is stale (still used, refreshed),
// after `expire` it says nothing any more.
struct AgeLimits {
    std::chrono::seconds good_refresh{std::chrono::hours{24}};
    std::chrono::seconds good_expire{std::chrono::hours{24 * 7}};
    std::chrono::seconds ill_refresh{std::chrono::minutes{30}};
    std::chrono::seconds ill_expire{std::chrono::hours{6}};
};

enum class Freshness { fresh, stale, expired };
std::string_view to_string(Freshness freshness);

// Measured more than an hour ahead of `now`: a clock was wrong then, or is now.
bool from_the_future(const KnownVerdict& verdict, WallTime now);
// Times in the future (the clock was set back) count as just measured up to one hour ahead, beyond
// that as expired.
Freshness freshness(const KnownVerdict& verdict, WallTime now, const AgeLimits& limits);

// A finding about a next hop that mail should know of: warning or critical. Whether it is expired
// is for freshness() to say.
bool ill(const KnownVerdict& verdict);

// Same text as brief(Diagnosis).
std::string brief(const KnownVerdict& verdict);

// Two probes count as independent when so much time lies between them: a burst of loss, or a
// restart of the server, is over by then.
inline constexpr std::chrono::seconds independent_after{30};
// A suspicion that nothing confirmed in this time is forgotten.
inline constexpr std::chrono::hours suspicion_lasts{1};

// Whether one probe is enough to convict: what was proven with a control, or said in so many words.
// What rests on silence, or on how one connection ended, may be a bad moment.
bool conclusive_alone(DiagnosisId id);

// The verdict to remember when `found` was just found and `known` is what we had:
// - an inconclusive probe does not erase a verdict that is not expired;
// - a failure does not erase fresh good news: it is suspected, and convicted by a second,
// independent
//   probe, unless it is conclusive alone. Success ends every suspicion, and every illness;
// - `since` stays while the identifier and the direction do, and so do tighter bounds of a size, as
//   long as what was found now does not contradict them.
KnownVerdict absorb(const std::optional<KnownVerdict>& known, const Diagnosis& found, WallTime now,
                    const AgeLimits& limits);

struct NextHopRecord {
    std::string next_hop;                      // canonical, the key
    KnownVerdict verdict;                      // the worst of its endpoints
    std::vector<Endpoint> endpoints;           // in MX order
    std::optional<WallTime> addresses_expire;  // the resolver's TTL
    // When Postfix last told of a TLS handshake with one of its servers that was completed
    // (TLSRPT).
    std::optional<WallTime> tls_seen{};
    // Only deliveries in the log speak for it, which name servers and no next hop: of those that
    // the name leads to, only the ones that Postfix was seen to use are probed, `endpoints`.
    bool seen_only = false;
    // The TLS level that Postfix had for it when it was probed, or tls.floor where that is higher;
    // nothing when it could not be learned.
    std::optional<TlsLevel> tls_floor{};
    bool operator==(const NextHopRecord&) const = default;
};

// What probes of an endpoint found from `since` to `at`, without another result between.
struct PastVerdict {
    WallTime since{};
    WallTime at{};
    IpAddress source;
    DiagnosisId id = DiagnosisId::inconclusive;
    bool ill = false;
    bool operator==(const PastVerdict&) const = default;
};

// Likewise the sizes of a path.
struct PastSizes {
    WallTime since{};
    WallTime at{};
    std::optional<PathMtu> inbound{};
    bool inbound_exact = false;
    std::optional<PathMtu> outbound{};
    bool outbound_exact = false;
    bool operator==(const PastSizes&) const = default;
};

inline constexpr std::size_t max_history = 8;

struct EndpointRecord {
    Endpoint endpoint;  // address, port and name are the key
    KnownVerdict verdict;
    std::vector<std::string> next_hops;       // canonical; whose mail goes here, at most 16
    std::vector<PastVerdict> history{};       // oldest first, at most max_history
    std::optional<WallTime> starttls_seen{};  // when STARTTLS was last offered there
    bool operator==(const EndpointRecord&) const = default;
};

struct PathRecord {
    IpAddress source;
    IpAddress destination;  // both are the key
    std::string interface;
    std::optional<PathMtu> interface_mtu;
    std::optional<PathMtu> inbound;
    bool inbound_exact = false;
    std::optional<PathMtu> inbound_fails{};  // smallest size above `inbound` shown to fail
    std::optional<PathMtu> outbound;
    bool outbound_exact = false;
    std::optional<PathMtu> outbound_fails{};
    WallTime measured_at{};
    std::vector<PastSizes> history{};  // oldest first, at most max_history
    bool operator==(const PathRecord&) const = default;
};

// Where Postfix sends mail for a recipient domain, learned from the milter's {rcpt_host} and the
// log.
struct RouteRecord {
    std::string domain;     // recipient domain, lower case, the key
    std::string next_hop;   // canonical
    std::string verbatim;   // as Postfix spelled it; the key of smtp_tls_policy_maps
    std::string transport;  // "smtp", "relay", ...; empty when unknown
    WallTime learned_at{};
    // Concluded from deliveries in the log: the server is certain, brackets are not.
    bool from_log = false;
    bool operator==(const RouteRecord&) const = default;
};

}  // namespace postfathom
