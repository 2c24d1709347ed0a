// SPDX-License-Identifier: Apache-2.0
// Evidence for tests, as a probe over a 30 ms path would bring it home.
#pragma once

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "lib/diagnosis/diagnose.hpp"

namespace postfathom::test {

inline bool mentions(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

inline IpAddress address(const std::string& text) { return IpAddress::parse(text).value(); }

inline Attempt attempt(std::uint32_t allowed, Outcome outcome, StallShape stall) {
    Attempt result;
    result.allowed = PathMtu{allowed};
    result.clamped = true;
    result.reached = Phase::handshake;
    result.outcome = outcome;
    result.stall = stall;
    result.small_received = 3;  // greeting, EHLO reply, STARTTLS reply
    result.largest_received = PathMtu{200};
    result.hello_bytes = 320;
    return result;
}

// The tail of the flight arrived, two full segments were sent twice each and did not.
inline Attempt gap(std::uint32_t allowed) {
    auto result = attempt(allowed, Outcome::timed_out, StallShape::gap);
    result.large_lost = 4;
    result.small_received = 4;
    result.largest_received = PathMtu{std::min(981U, allowed / 2)};
    return result;
}
inline Attempt lost_reply(std::uint32_t allowed) {
    auto result = attempt(allowed, Outcome::timed_out, StallShape::lost_reply);
    result.large_lost = 3;
    return result;
}
inline Attempt silent(std::uint32_t allowed) {
    return attempt(allowed, Outcome::timed_out, StallShape::silent_acked);
}
inline Attempt unacked(std::uint32_t allowed) {
    return attempt(allowed, Outcome::timed_out, StallShape::hello_unacked);
}
inline Attempt window_closed(std::uint32_t allowed) {
    return attempt(allowed, Outcome::timed_out, StallShape::window_closed);
}
// Full packets arrived, `bytes` in order, and some packet was lost on the way.
inline Attempt unfinished(std::uint32_t allowed, std::uint32_t bytes) {
    auto result = attempt(allowed, Outcome::timed_out, StallShape::unfinished);
    result.largest_received = PathMtu{allowed};
    result.counters.bytes_received = bytes;
    result.counters.out_of_order_segments = 1;
    return result;
}
inline Attempt cut_short(std::uint32_t allowed) {
    return attempt(allowed, Outcome::cancelled, StallShape::none);
}
inline Attempt pass(std::uint32_t allowed) {
    auto result = attempt(allowed, Outcome::ok, StallShape::none);
    result.reached = Phase::quit;
    result.small_received = 7;
    result.largest_received = PathMtu{allowed};
    return result;
}
// The handshake completed, and no packet of the flight was larger than `received`.
inline Attempt pass_with(std::uint32_t allowed, std::uint32_t received) {
    auto result = pass(allowed);
    result.largest_received = PathMtu{received};
    return result;
}

inline CertificateFacts good_certificate() {
    using namespace std::chrono_literals;
    CertificateFacts facts;
    facts.subject = "CN=mail.example.org";
    facts.issuer = "CN=Example Issuing CA 1";
    facts.names = {"mail.example.org"};
    facts.not_before = WallTime{1'760'000'000s};
    facts.not_after = WallTime{1'800'000'000s};
    facts.chain_length = 2;
    facts.chain_bytes = 3800;
    facts.key = "RSA 2048";
    facts.key_bits = 2048;
    facts.signature = "sha256WithRSAEncryption";
    facts.verify_text = "ok";
    return facts;
}

inline HandshakeFacts good_handshake() {
    HandshakeFacts facts;
    facts.protocol = "TLSv1.3";
    facts.cipher = "TLS_AES_256_GCM_SHA384";
    facts.key_exchange = "X25519";
    facts.certificate = good_certificate();
    return facts;
}

inline Evidence at_server(const std::string& ip = "192.0.2.1") {
    using namespace std::chrono_literals;
    Evidence evidence;
    evidence.endpoint = {address(ip), 25, Service::smtp, "mail.example.org"};
    evidence.measured_at = WallTime{1'780'000'000s};
    evidence.starttls_offered = true;
    return evidence;
}

// A conversation whose first attempt is attempts[0].
inline Evidence conversation(std::vector<Attempt> attempts, const std::string& ip = "192.0.2.1") {
    auto evidence = at_server(ip);
    attempts.front().clamped = false;
    evidence.reached = attempts.front().reached;
    evidence.outcome = attempts.front().outcome;
    for (const auto& one : attempts)
        if (one.outcome == Outcome::ok) evidence.handshake = good_handshake();
    evidence.connections = static_cast<std::uint32_t>(attempts.size());
    evidence.seconds = 1.3;
    evidence.attempts = std::move(attempts);
    return evidence;
}

inline Evidence ended(Phase reached, Outcome outcome, const std::string& reply = "") {
    auto evidence = at_server();
    evidence.reached = reached;
    evidence.outcome = outcome;
    evidence.reply = reply;
    if (reached > Phase::connect) {
        Attempt first;
        first.reached = reached;
        first.outcome = outcome;
        first.allowed = PathMtu{1500};
        evidence.attempts = {first};
    }
    return evidence;
}

inline Evidence recovered(Attempt first) {
    auto evidence = conversation({std::move(first)});
    evidence.first_attempt_recovered = true;
    evidence.outcome = Outcome::ok;
    evidence.reached = Phase::quit;
    evidence.handshake = good_handshake();
    return evidence;
}

inline Diagnosis diagnosis_of(const Evidence& evidence, TlsLevel floor = TlsLevel::may) {
    return diagnose(evidence, floor).diagnosis;
}

}  // namespace postfathom::test
