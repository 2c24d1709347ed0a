// SPDX-License-Identifier: Apache-2.0
// A path for the inbound search to be tried on, without sockets: packets above its MTU vanish,
// others are lost by chance, singly or in bursts. A server sends a flight of certificates over it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <random>
#include <vector>

#include "lib/diagnosis/evidence.hpp"
#include "probes/path_mtu_search.hpp"
#include "probes/stall_rule.hpp"

namespace postfathom {

// Loss in bursts after Gilbert: in the bad state nearly everything is lost.
struct Bursts {
    double begin = 0;  // probability per packet
    double end = 1;
    double loss = 0;  // of a packet within
};

struct SimulatedPath {
    std::uint32_t mtu = 1500;
    double loss = 0;
    Bursts bursts{};
    std::uint32_t flight = 3825;  // bytes of the server's certificates
    std::uint32_t options = 12;   // TCP options of every segment
    double round_trip = 0.03;
    IpFamily family = IpFamily::v4;
    std::mt19937 random{1};
    bool in_burst = false;

    bool chance(double probability) {
        return static_cast<double>(random()) < probability * 4294967296.0;
    }

    bool arrives(std::uint32_t size) {
        in_burst = in_burst ? !chance(bursts.end) : chance(bursts.begin);
        const bool lost = chance(loss) || (in_burst && chance(bursts.loss));
        return size <= mtu && !lost;
    }

    struct Handshake {
        SizeResult result;
        StallShape stall = StallShape::none;
        double seconds = 0;  // from the ClientHello to the verdict
    };

    // One handshake as the server's kernel plays it: the flight at once, what is missing again when
    // something behind it was acknowledged or the timer says so. `copies` of it are waited for when
    // there is a gap.
    Handshake attempt(PathMtu allowed, std::uint32_t copies = copies_sent(SizeOutcome::gap)) {
        Handshake handshake;
        auto& result = handshake.result;
        result.allowed = allowed;
        result.small_received = 3;
        result.copies = copies;
        // Ours, at its first sending and two repeats.
        if (!arrives(400) && !arrives(400) && !arrives(400)) {
            handshake.stall = StallShape::hello_unacked;
            handshake.seconds = copies_sent_after(4, round_trip);
            return handshake;
        }
        const auto overhead = header_bytes(family) + options;
        const auto payload = allowed.bytes - overhead;
        const auto full = flight / payload;
        const auto tail = flight % payload;
        bool full_came = false;
        bool tail_came = false;
        std::uint32_t sent = 1;
        for (; sent <= std::max(copies, copies_sent(SizeOutcome::silent)); ++sent) {
            for (std::uint32_t i = 0; i < full; ++i)
                full_came = arrives(allowed.bytes) || full_came;
            if (tail > 0 && !tail_came) tail_came = arrives(tail + overhead);
            if (full_came || (full == 0 && tail_came)) break;
            if (sent >= (tail_came ? copies : copies_sent(SizeOutcome::silent))) break;
        }
        handshake.seconds = full_came     ? 2 * round_trip
                            : !tail_came  ? copies_sent_after(4, round_trip)
                            : copies == 2 ? 2.5 * round_trip + 0.02
                                          : copies_sent_after(copies, round_trip);
        if (tail_came) ++result.small_received;
        if (full_came || (full == 0 && tail_came)) {
            result.outcome = full > 0 ? SizeOutcome::passed : SizeOutcome::short_flight;
            result.largest = full > 0 ? allowed : PathMtu{tail + overhead};
            result.flight_bytes = flight;
            result.small_received += full;
        } else {
            result.outcome = tail_came ? SizeOutcome::gap : SizeOutcome::silent;
            // What was lost bore the acknowledgement of our ClientHello.
            handshake.stall = tail_came ? StallShape::gap : StallShape::lost_reply;
        }
        return handshake;
    }
};

struct Hint {
    std::uint32_t passes = 0;  // 0: no hint
    std::optional<PathMtu> fails = std::nullopt;
};

struct Found {
    InboundPath path;
    std::uint32_t connections = 0;
    std::uint32_t failing = 0;
    std::uint32_t silent = 0;  // of them, waited out instead of seen by a gap
    Evidence evidence;
};

// The connection that stalled first goes on: when its server has sent the next copies.
class StuckConnection {
  public:
    explicit StuckConnection(const SimulatedPath& path) : round_trip_(path.round_trip) {}

    // True when it got through by `now`, seconds after its ClientHello.
    bool heals_by(double now, SimulatedPath& path, PathMtu size) {
        while (copies_sent_after(next_copy_, round_trip_) <= now) {
            ++next_copy_;
            if (path.arrives(size.bytes)) return true;
        }
        return false;
    }

  private:
    double round_trip_;
    std::uint32_t next_copy_ = 3;
};

// The whole search, as inbound_probe.cpp runs it, and the evidence that it leaves.
inline Found search(SimulatedPath& path, std::uint32_t upper, const Hint& hint = {},
                    std::uint32_t most_connections = 32) {
    PathMtuSearch search(path.family, path.options);
    if (hint.passes > 0) search.hint(PathMtu{hint.passes}, hint.fails);
    Found found;
    auto& evidence = found.evidence;
    evidence.endpoint.address =
        *IpAddress::parse(path.family == IpFamily::v4 ? "192.0.2.1" : "2001:db8::1");
    std::vector<SizeResult> results;
    StuckConnection first(path);
    double now = 0;
    std::optional<PathMtu> size = PathMtu{upper};
    while (size && found.connections < most_connections) {
        const auto handshake = path.attempt(*size, search.copies_wanted(*size));
        const auto& result = handshake.result;
        constexpr double dialog = 5;  // round trips before the ClientHello
        now += handshake.seconds + (found.connections == 0 ? 0 : dialog * path.round_trip);
        ++found.connections;
        if (copies_sent(result.outcome) > 0) ++found.failing;
        if (result.outcome == SizeOutcome::silent) ++found.silent;
        search.told(result);
        results.push_back(result);
        Attempt attempt;
        attempt.allowed = *size;
        attempt.clamped = found.connections > 1;
        attempt.stall = handshake.stall;
        attempt.reached = handshake.stall == StallShape::none ? Phase::quit : Phase::handshake;
        attempt.outcome = handshake.stall == StallShape::none ? Outcome::ok : Outcome::timed_out;
        attempt.largest_received = result.largest;
        attempt.small_received = result.small_received;
        evidence.attempts.push_back(attempt);
        size = search.next();
        if (first.heals_by(now, path, PathMtu{upper})) evidence.first_attempt_recovered = true;
        if (evidence.first_attempt_recovered) break;
    }
    // Nothing certain was found: a slow server still may answer.
    constexpr double handshake_timeout = 10;
    const auto patience = search.result().exact
                              ? copies_sent_after(search.copies_of_first(), path.round_trip)
                              : handshake_timeout;
    if (found.connections > 1 && first.heals_by(std::max(now, patience), path, PathMtu{upper}))
        evidence.first_attempt_recovered = true;
    for (std::size_t i = 0; i < results.size(); ++i)
        evidence.attempts[i].large_lost = search.large_lost(results[i]);
    evidence.reached = evidence.attempts.front().reached;
    evidence.outcome = evidence.attempts.front().outcome;
    evidence.inbound = found.path = search.result();
    evidence.connections = found.connections;
    return found;
}

}  // namespace postfathom
