// SPDX-License-Identifier: Apache-2.0
// The verdict on evidence. Identifiers are stable: they appear in logs, JSON, metrics and headers.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/units.hpp"

namespace postfathom {

enum class DiagnosisId {
    healthy,
    pmtu_reduced,
    pmtu_black_hole,
    size_specific_loss,
    large_hello_intolerance,
    peer_stall,
    reset_in_handshake,
    starttls_missing,
    starttls_stripped,
    tls_alert,
    tls_protocol_mismatch,
    tls_no_shared_cipher,
    tls_garbage,
    certificate_expired,
    certificate_not_yet_valid,
    certificate_self_signed,
    certificate_untrusted,
    certificate_incomplete_chain,
    certificate_name_mismatch,
    certificate_weak,
    unreachable,
    refused,
    no_route,
    greeting_timeout,
    greeting_rejected,
    name_error,
    lossy_path,
    inconclusive,
};

// "pmtu-black-hole", "certificate-self-signed", ...
std::string_view to_string(DiagnosisId id);
std::optional<DiagnosisId> parse_diagnosis_id(std::string_view text);
// Every identifier once, for tests that walk them all.
const std::vector<DiagnosisId>& all_diagnosis_ids();

// In rising order. A certificate fault is a notice where the TLS floor does not check certificates.
enum class Severity { ok, notice, unknown, warning, critical };
std::string_view to_string(Severity severity);
std::optional<Severity> parse_severity(std::string_view text);

enum class Direction { inbound, outbound, both };
std::string_view to_string(Direction direction);
std::optional<Direction> parse_direction(std::string_view text);

struct Diagnosis {
    DiagnosisId id = DiagnosisId::inconclusive;
    Severity severity = Severity::unknown;
    std::optional<Direction> direction;
    // Chance that the verdict is right as far as the evidence can say: 1 - p, where p bounds the
    // probability that plain loss made the same picture, at most 0.99. See docs/architecture.md.
    double confidence = 0;
    // One sentence for the operator, with numbers; text from peers in it is printable().
    std::string summary;
    std::vector<std::string> ruled_out;  // identifiers of what the evidence excludes
    // The size the verdict is about; of a black hole in both directions the smaller one.
    std::optional<PathMtu> path_mtu;
    bool path_mtu_exact = false;
    // Unless exact: the smallest size above path_mtu that was shown to fail.
    std::optional<PathMtu> path_mtu_below;
    std::optional<Mss> usable_mss;  // shown to work by a counter-probe
    // size_specific_loss and large_hello_intolerance: which sizes, in our own words, at most 64
    // bytes: "segments of 513 bytes", "requests of 256-511 bytes".
    std::string sizes;
    std::string settles;  // inconclusive only: what would settle it

    bool operator==(const Diagnosis&) const = default;
};

// The short form for a deferral, a header or a log line, without addresses or peer's text:
//   pmtu-black-hole inbound, path MTU 1400, MSS 1360 works
//   pmtu-black-hole inbound, path MTU at least 1280, below 1500, MSS 1240 works
//   size-specific-loss outbound, segments of 513 bytes
std::string brief(const Diagnosis& diagnosis);

// Groups of SMTP commands are lost for their size, so that commands sent one by one may pass.
// `sizes` as in Diagnosis; a ClientHello is no group of commands.
bool groups_of_commands_fail(DiagnosisId id, std::string_view sizes);

}  // namespace postfathom
