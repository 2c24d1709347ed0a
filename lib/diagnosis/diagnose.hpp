// SPDX-License-Identifier: Apache-2.0
// diagnose(evidence) -> findings. A function of values: no clock, no socket, no logger.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "lib/diagnosis/diagnosis.hpp"
#include "lib/diagnosis/evidence.hpp"
#include "lib/diagnosis/tls_floor.hpp"

namespace postfathom {

// The largest probability, that loss which ignores size made the same picture, at which a black
// hole is still claimed.
inline constexpr double max_false_claim_probability = 1e-4;

// Probability that `large_lost` large and no small of `small_received` small transmissions are the
// lost ones, when loss does not depend on size: 1 / C(small_received + large_lost, large_lost).
double size_split_probability(std::uint32_t small_received, std::uint32_t large_lost);

// With losses among the small ones: the tail of the hypergeometric distribution, C(n + s, s) /
// C(n + s + k, s + k).
double size_split_probability(std::uint32_t small_received, std::uint32_t small_lost,
                              std::uint32_t large_lost);

// Something worth knowing that is no verdict: a cause hint, a cached path MTU, a slow answer.
struct Note {
    std::string id;    // stable: "cached-path-mtu", "mss-clamped", "icmp-arrives", ...
    std::string text;  // one sentence with numbers
    bool operator==(const Note&) const = default;
};

struct EndpointVerdict {
    Diagnosis diagnosis;              // the worst of findings; healthy when there is none
    std::vector<Diagnosis> findings;  // worst first, without healthy
    std::vector<Note> notes{};
};

EndpointVerdict diagnose(const Evidence& evidence, TlsLevel floor);

// Whether path MTU discovery works from the server to us: true when larger packets gave way to
// smaller ones and the handshake went through, false in a black hole, unknown otherwise.
std::optional<bool> inbound_discovery_works(const Evidence& evidence);

// The same from us to the server: true when the kernel's path MTU fell in a flight of large packets
// and the rest of it arrived.
std::optional<bool> outbound_discovery_works(const Evidence& evidence);

// Both directions in one word: false when it fails in either, true when it was seen to work and
// nowhere to fail.
std::optional<bool> discovery_works(const Evidence& evidence);

// The inbound path MTU as far as the attempts show it, whatever the verdict is.
InboundPath inbound_path(const Evidence& evidence);

}  // namespace postfathom
