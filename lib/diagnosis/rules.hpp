// SPDX-License-Identifier: Apache-2.0
// The rules behind diagnose(), one per identifier, grouped by what they look at. Each says nothing
// when it does not apply. Which one wins is decided in diagnose.cpp alone.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/diagnosis/diagnose.hpp"
#include "lib/diagnosis/diagnosis.hpp"
#include "lib/diagnosis/evidence.hpp"
#include "lib/diagnosis/tls_floor.hpp"

namespace postfathom::rules {

using Finding = std::optional<Diagnosis>;

// The highest confidence we state: a probe can be mistaken in ways that no count shows.
inline constexpr double confidence_cap = 0.99;

// What a peer or the kernel said in so many words, as against what silence suggests.
Diagnosis stated(DiagnosisId id, Severity severity, std::string summary,
                 std::vector<std::string> ruled_out);
Diagnosis unsettled(std::string summary, std::string settles);

// dialog_rules.cpp: the conversation ended before the TLS handshake. Always finds something when
// the first attempt did not get to the handshake.
Finding before_tls(const Evidence& evidence, TlsLevel floor);
// The handshake completed, and the conversation inside it did not.
Finding after_tls(const Evidence& evidence);
std::vector<Note> dialog_notes(const Evidence& evidence);

// path_rules.cpp: stalls in the handshake, and what sizes have to do with them.
Finding black_hole(const Evidence& evidence);
Finding lossy_path(const Evidence& evidence);
Finding peer_stall(const Evidence& evidence);
// The first attempt stalled and none of the above holds.
Finding unexplained_stall(const Evidence& evidence);
Diagnosis healthy(const Evidence& evidence);
// The first attempt went through, at once or late.
bool first_attempt_completed(const Evidence& evidence);

// outbound_rules.cpp: flights of large packets to the server.
Finding outbound_black_hole(const Evidence& evidence);
Diagnosis black_hole_both_ways(const Evidence& evidence, const Diagnosis& inbound,
                               const Diagnosis& outbound);
Finding outbound_lossy(const Evidence& evidence);
// Some show a hole for certain and others none: several ways, or a path that changed.
Finding outbound_varies(const Evidence& evidence);
// Some flights look like a hole, and it is not proven.
Finding unexplained_outbound(const Evidence& evidence);
// In either direction.
Finding pmtu_reduced(const Evidence& evidence);
// For healthy(); empty when it is not known.
std::string outbound_sizes_in_words(const Evidence& evidence);
std::vector<Note> outbound_notes(const Evidence& evidence);

// question_rules.cpp: what the size and division of our requests have to do with their answers.
Finding size_specific_loss(const Evidence& evidence);
Finding large_hello_intolerance(const Evidence& evidence);
bool any_question_answered(const Evidence& evidence);
// What is answered at one time and not at another.
std::vector<Note> question_notes(const Evidence& evidence);
// A sentence on the questions that were not answered; empty when none was asked.
std::string questions_in_words(const Evidence& evidence);

// tls_rules.cpp: the TLS layer spoke, or the connection ended in the handshake or after.
Finding tls_trouble(const Evidence& evidence);
std::vector<Note> tls_notes(const Evidence& evidence);

// certificate_rules.cpp
std::vector<Diagnosis> certificate_faults(const Evidence& evidence, TlsLevel floor);

}  // namespace postfathom::rules
