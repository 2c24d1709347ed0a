// SPDX-License-Identifier: Apache-2.0
// Evidence without sense, the same in every run: what a broken probe or a hostile server could
// bring.
#pragma once

#include <limits>
#include <random>

#include "tests/unit/diagnosis/evidence_builder.hpp"

namespace postfathom::test {

class RandomEvidence {
  public:
    explicit RandomEvidence(std::uint32_t seed) : random_(seed) {}

    std::uint32_t below(std::uint32_t limit) {
        return static_cast<std::uint32_t>(random_() % limit);
    }
    bool one_in(std::uint32_t n) { return below(n) == 0; }

    std::uint32_t size() {
        static constexpr std::uint32_t sizes[] = {0,    1,    68,   576,  1280, 1380,
                                                  1399, 1400, 1401, 1420, 1500, 9000};
        if (one_in(40)) return std::numeric_limits<std::uint32_t>::max() - below(2);
        return sizes[below(12)];
    }
    std::uint32_t count() {
        if (one_in(40)) return std::numeric_limits<std::uint32_t>::max() - below(2);
        return below(12);
    }

    Attempt attempt() {
        Attempt result;
        result.allowed = PathMtu{size()};
        result.clamped = one_in(2);
        result.reached = one_in(4) ? static_cast<Phase>(below(8)) : Phase::handshake;
        result.outcome = one_in(3) ? static_cast<Outcome>(below(15))
                                   : (one_in(2) ? Outcome::ok : Outcome::timed_out);
        result.stall = static_cast<StallShape>(below(5));
        result.largest_received = PathMtu{one_in(3) ? result.allowed.bytes : size()};
        result.large_lost = count();
        result.small_received = count();
        result.counters.out_of_order_segments = below(2);
        return result;
    }

    OutboundFlight flight() {
        OutboundFlight result;
        result.shape = static_cast<FlightShape>(below(5));
        result.outcome = static_cast<Outcome>(below(15));
        for (std::uint32_t i = below(11); i > 0; --i) result.sent.push_back(PathMtu{size()});
        if (!one_in(4)) result.passes = PathMtu{size()};
        if (!one_in(4)) result.fails = PathMtu{size()};
        result.small_acked = count();
        result.small_lost = one_in(2) ? 0 : count();
        result.large_lost = count();
        result.fails_lost = count();
        result.readings = one_in(3) ? count() : 1;
        result.path_mtu_before = PathMtu{size()};
        result.path_mtu_after = one_in(2) ? result.path_mtu_before : PathMtu{size()};
        result.answered = one_in(2);
        result.counters.retransmits_total = count();
        result.counters.dsack_duplicates = count();
        result.counters.advertised_mss = size();
        return result;
    }

    Evidence evidence() {
        auto result = at_server(one_in(2) ? "192.0.2.1" : "2001:db8::1");
        const auto attempts = below(9);
        for (std::uint32_t i = 0; i < attempts; ++i) result.attempts.push_back(attempt());
        const bool as_first = !result.attempts.empty() && !one_in(4);
        result.reached = as_first ? result.attempts.front().reached : static_cast<Phase>(below(8));
        result.outcome =
            as_first ? result.attempts.front().outcome : static_cast<Outcome>(below(15));
        result.first_attempt_recovered = one_in(6);
        if (result.reached >= Phase::handshake)
            for (std::uint32_t i = below(5); i > 0; --i) result.flights.push_back(flight());
        if (one_in(3)) result.outbound = {PathMtu{size()}, one_in(2)};
        if (one_in(3)) result.reply = "421 4.7.0 try later";
        if (one_in(3)) result.inbound = {PathMtu{size()}, one_in(2)};
        if (one_in(2)) result.handshake = handshake();
        result.seconds = one_in(30) ? std::numeric_limits<double>::infinity() : 1.5;
        result.timings = {
            {Phase::handshake, one_in(30) ? std::numeric_limits<double>::quiet_NaN() : 4}};
        return result;
    }

  private:
    HandshakeFacts handshake() {
        auto facts = good_handshake();
        if (one_in(4)) facts.certificate.reset();
        if (one_in(3))
            facts.tls_error = "error:0A000410:SSL routines::sslv3 alert handshake failure";
        if (!facts.certificate) return facts;
        auto& certificate = *facts.certificate;
        certificate.verify_code = one_in(2) ? 0 : static_cast<int>(below(80));
        certificate.self_signed = one_in(5);
        certificate.name_matches = !one_in(5);
        certificate.chain_bytes = count() * 700U;
        if (one_in(6)) certificate.missing_issuer = "CN=Missing CA";
        if (one_in(9)) certificate.not_after = WallTime::min();
        return facts;
    }

    std::mt19937 random_;
};

}  // namespace postfathom::test
