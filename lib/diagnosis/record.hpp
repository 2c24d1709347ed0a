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

namespace postfathom {

// A verdict as the mail path needs it: small, no text from peers.
struct KnownVerdict {
    DiagnosisId id = DiagnosisId::inconclusive;
    Severity severity = Severity::unknown;
    std::optional<Direction> direction;
    std::optional<PathMtu> path_mtu;
    bool path_mtu_exact = false;
    std::optional<Mss> usable_mss;
    std::string sizes{};  // see Diagnosis::sizes
    WallTime
        since{};  // when this identifier (with this direction) was first found, without a break
    WallTime measured_at{};  // when it was last confirmed

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

// Times in the future (the clock was set back) count as just measured up to one hour ahead, beyond
// that as expired.
Freshness freshness(const KnownVerdict& verdict, WallTime now, const AgeLimits& limits);

// A finding about a next hop that mail should know of: warning or critical. Whether it is expired
// is for freshness() to say.
bool ill(const KnownVerdict& verdict);

// Same text as brief(Diagnosis).
std::string brief(const KnownVerdict& verdict);

// The verdict to remember when `fresh` was just found and `known` is what we had: keeps `since`
// when the identifier and direction are unchanged. An inconclusive probe does not erase a verdict
// that is not expired.
KnownVerdict absorb(const std::optional<KnownVerdict>& known, const Diagnosis& found, WallTime now,
                    const AgeLimits& limits);

struct NextHopRecord {
    std::string next_hop;                      // canonical, the key
    KnownVerdict verdict;                      // the worst of its endpoints
    std::vector<Endpoint> endpoints;           // in MX order
    std::optional<WallTime> addresses_expire;  // the resolver's TTL
    bool operator==(const NextHopRecord&) const = default;
};

struct EndpointRecord {
    Endpoint endpoint;  // address, port and name are the key
    KnownVerdict verdict;
    std::vector<std::string> next_hops;  // canonical; whose mail goes here, at most 16
    bool operator==(const EndpointRecord&) const = default;
};

struct PathRecord {
    IpAddress source;
    IpAddress destination;  // both are the key
    std::string interface;
    std::optional<PathMtu> interface_mtu;
    std::optional<PathMtu> inbound;
    bool inbound_exact = false;
    std::optional<PathMtu> outbound;
    bool outbound_exact = false;
    WallTime measured_at{};
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
    bool operator==(const RouteRecord&) const = default;
};

}  // namespace postfathom
