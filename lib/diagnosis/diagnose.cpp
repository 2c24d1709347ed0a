// SPDX-License-Identifier: Apache-2.0
#include "lib/diagnosis/diagnose.hpp"

#include <algorithm>
#include <utility>

#include "lib/diagnosis/notes.hpp"
#include "lib/diagnosis/rules.hpp"
#include "lib/diagnosis/server_words.hpp"

namespace postfathom {
namespace rules {

Diagnosis stated(DiagnosisId id, Severity severity, std::string summary,
                 std::vector<std::string> ruled_out) {
    Diagnosis diagnosis;
    diagnosis.id = id;
    diagnosis.severity = severity;
    diagnosis.confidence = confidence_cap;
    diagnosis.summary = std::move(summary);
    diagnosis.ruled_out = std::move(ruled_out);
    return diagnosis;
}

Diagnosis unsettled(std::string summary, std::string settles) {
    Diagnosis diagnosis;
    diagnosis.id = DiagnosisId::inconclusive;
    diagnosis.severity = Severity::unknown;
    diagnosis.summary = std::move(summary);
    diagnosis.settles = std::move(settles);
    return diagnosis;
}

}  // namespace rules

namespace {

// The precedence, in one place. One cause is named for a conversation that did not go through:
//   1. what ended it before TLS: nothing after that was reached;
//      (only that a request's size decides is known better by then);
//   2. a black hole from the server to us, which needs the strongest evidence and explains every
//      stall;
//   3. sizes or divisions of our own requests that fail, between others that pass;
//   4. loss that does not depend on size, which excludes a black hole;
//   5. a mute peer, which needs silence at every size and shape;
//   6. what ended it inside TLS, what the TLS layer said, or how the connection ended;
//   7. else the stall stays unexplained, and the report says what would settle it.
// Certificate faults are found beside it, from the handshake that completed.
rules::Finding conversation_fault(const Evidence& evidence, TlsLevel floor) {
    if (evidence.reached < Phase::handshake)
        if (auto found = rules::size_specific_loss(evidence)) return found;
    if (auto found = rules::before_tls(evidence, floor)) return found;
    if (auto found = rules::black_hole(evidence)) return found;
    if (auto found = rules::size_specific_loss(evidence)) return found;
    if (auto found = rules::large_hello_intolerance(evidence)) return found;
    if (auto found = rules::lossy_path(evidence)) return found;
    if (auto found = rules::peer_stall(evidence)) return found;
    if (auto found = rules::after_tls(evidence)) return found;
    if (auto found = rules::tls_trouble(evidence)) return found;
    return rules::unexplained_stall(evidence);
}

// Beside the conversation stands what large packets to the server meet, whose fault a handshake
// does not show: a message stalls later. It is one finding with a black hole in the other
// direction. Without any black hole: a hole on some connections only; loss, once; a suspicion; a
// path that is smaller and works.
std::vector<Diagnosis> path_and_conversation(const Evidence& evidence, TlsLevel floor) {
    auto fault = conversation_fault(evidence, floor);
    const auto outbound = rules::outbound_black_hole(evidence);
    const bool inbound = fault && fault->id == DiagnosisId::pmtu_black_hole;
    if (inbound && outbound) return {rules::black_hole_both_ways(evidence, *fault, *outbound)};
    std::vector<Diagnosis> found;
    const bool lossy = fault && fault->id == DiagnosisId::lossy_path;
    const bool open = fault && fault->id == DiagnosisId::inconclusive;
    if (fault) found.push_back(std::move(*fault));
    if (outbound) {
        found.push_back(*outbound);
    } else if (auto varies = open || lossy ? std::nullopt : rules::outbound_varies(evidence)) {
        found.push_back(std::move(*varies));
    } else if (auto loss = lossy ? std::nullopt : rules::outbound_lossy(evidence)) {
        found.push_back(std::move(*loss));
    } else if (auto suspicion =
                   open || lossy ? std::nullopt : rules::unexplained_outbound(evidence)) {
        found.push_back(std::move(*suspicion));
    }
    if (!inbound && !outbound)
        if (auto reduced = rules::pmtu_reduced(evidence)) found.push_back(std::move(*reduced));
    return found;
}

}  // namespace

double size_split_probability(std::uint32_t small_received, std::uint32_t large_lost) {
    // 1 / C(n + k, k) as a product over the smaller of the two. Each factor is at most 1/2 or
    // shrinks fast, so huge counts end the loop early instead of overflowing.
    const std::uint64_t few = std::min(small_received, large_lost);
    const std::uint64_t many = std::max(small_received, large_lost);
    double probability = 1.0;
    for (std::uint64_t i = 1; i <= few && probability > 1e-300; ++i)
        probability *= static_cast<double>(i) / static_cast<double>(many + i);
    return probability;
}

double size_split_probability(std::uint32_t small_received, std::uint32_t small_lost,
                              std::uint32_t large_lost) {
    if (small_lost == 0) return size_split_probability(small_received, large_lost);
    // Smaller counts only make the claim weaker, and keep the loop short.
    constexpr std::uint32_t enough = 10'000;
    if (small_lost > enough) return 1.0;
    const double lost = small_lost;
    const double small = std::min(small_received, enough) + lost;
    double chance = 1.0;
    for (std::uint32_t i = 1; i <= std::min(large_lost, enough); ++i)
        chance *= (lost + i) / (small + i);
    return chance;
}

InboundPath inbound_path(const Evidence& evidence) {
    const auto hole = rules::black_hole(evidence);
    if (!hole && !rules::first_attempt_completed(evidence)) return evidence.inbound;
    const auto found = hole ? *hole : rules::healthy(evidence);
    return {
        .path_mtu = found.path_mtu, .exact = found.path_mtu_exact, .fails = found.path_mtu_below};
}

EndpointVerdict diagnose(const Evidence& evidence, TlsLevel floor) {
    EndpointVerdict verdict;
    verdict.findings = path_and_conversation(evidence, floor);
    for (auto& fault : rules::certificate_faults(evidence, floor))
        verdict.findings.push_back(std::move(fault));
    std::stable_sort(
        verdict.findings.begin(), verdict.findings.end(),
        [](const Diagnosis& a, const Diagnosis& b) { return a.severity > b.severity; });
    verdict.diagnosis =
        verdict.findings.empty() ? rules::healthy(evidence) : verdict.findings.front();
    for (auto& note : rules::dialog_notes(evidence)) verdict.notes.push_back(std::move(note));
    for (auto& note : rules::question_notes(evidence)) verdict.notes.push_back(std::move(note));
    for (auto& note : rules::tls_notes(evidence)) verdict.notes.push_back(std::move(note));
    for (auto& note : rules::outbound_notes(evidence)) verdict.notes.push_back(std::move(note));
    for (auto& note : server_notes(evidence)) verdict.notes.push_back(std::move(note));
    for (auto& note : path_notes(evidence)) verdict.notes.push_back(std::move(note));
    return verdict;
}

}  // namespace postfathom
