// SPDX-License-Identifier: Apache-2.0
#include "lib/diagnosis/diagnosis.hpp"

#include <fmt/core.h>

#include "lib/diagnosis/names.hpp"

namespace postfathom {
namespace {

constexpr NameTable<DiagnosisId, 28> diagnosis_names{{
    {DiagnosisId::healthy, "healthy"},
    {DiagnosisId::pmtu_reduced, "pmtu-reduced"},
    {DiagnosisId::pmtu_black_hole, "pmtu-black-hole"},
    {DiagnosisId::size_specific_loss, "size-specific-loss"},
    {DiagnosisId::large_hello_intolerance, "large-hello-intolerance"},
    {DiagnosisId::peer_stall, "peer-stall"},
    {DiagnosisId::reset_in_handshake, "reset-in-handshake"},
    {DiagnosisId::starttls_missing, "starttls-missing"},
    {DiagnosisId::starttls_stripped, "starttls-stripped"},
    {DiagnosisId::tls_alert, "tls-alert"},
    {DiagnosisId::tls_protocol_mismatch, "tls-protocol-mismatch"},
    {DiagnosisId::tls_no_shared_cipher, "tls-no-shared-cipher"},
    {DiagnosisId::tls_garbage, "tls-garbage"},
    {DiagnosisId::certificate_expired, "certificate-expired"},
    {DiagnosisId::certificate_not_yet_valid, "certificate-not-yet-valid"},
    {DiagnosisId::certificate_self_signed, "certificate-self-signed"},
    {DiagnosisId::certificate_untrusted, "certificate-untrusted"},
    {DiagnosisId::certificate_incomplete_chain, "certificate-incomplete-chain"},
    {DiagnosisId::certificate_name_mismatch, "certificate-name-mismatch"},
    {DiagnosisId::certificate_weak, "certificate-weak"},
    {DiagnosisId::unreachable, "unreachable"},
    {DiagnosisId::refused, "refused"},
    {DiagnosisId::no_route, "no-route"},
    {DiagnosisId::greeting_timeout, "greeting-timeout"},
    {DiagnosisId::greeting_rejected, "greeting-rejected"},
    {DiagnosisId::name_error, "name-error"},
    {DiagnosisId::lossy_path, "lossy-path"},
    {DiagnosisId::inconclusive, "inconclusive"},
}};

constexpr NameTable<Severity, 5> severity_names{{
    {Severity::ok, "ok"},
    {Severity::notice, "notice"},
    {Severity::unknown, "unknown"},
    {Severity::warning, "warning"},
    {Severity::critical, "critical"},
}};

constexpr NameTable<Direction, 3> direction_names{{
    {Direction::inbound, "inbound"},
    {Direction::outbound, "outbound"},
    {Direction::both, "both"},
}};

}  // namespace

std::string_view to_string(DiagnosisId id) { return name_in(diagnosis_names, id); }
std::optional<DiagnosisId> parse_diagnosis_id(std::string_view text) {
    return value_in(diagnosis_names, text);
}

const std::vector<DiagnosisId>& all_diagnosis_ids() {
    static const std::vector<DiagnosisId> ids = [] {
        std::vector<DiagnosisId> all;
        for (const auto& entry : diagnosis_names) all.push_back(entry.first);
        return all;
    }();
    return ids;
}

std::string_view to_string(Severity severity) { return name_in(severity_names, severity); }
std::optional<Severity> parse_severity(std::string_view text) {
    return value_in(severity_names, text);
}

std::string_view to_string(Direction direction) { return name_in(direction_names, direction); }
std::optional<Direction> parse_direction(std::string_view text) {
    return value_in(direction_names, text);
}

std::string brief(const Diagnosis& diagnosis) {
    std::string text{to_string(diagnosis.id)};
    if (diagnosis.direction) text += fmt::format(" {}", to_string(*diagnosis.direction));
    if (diagnosis.path_mtu)
        text += fmt::format(", path MTU {}{}", diagnosis.path_mtu_exact ? "" : "at least ",
                            diagnosis.path_mtu->bytes);
    if (diagnosis.path_mtu && diagnosis.path_mtu_below && !diagnosis.path_mtu_exact)
        text += fmt::format(", below {}", diagnosis.path_mtu_below->bytes);
    if (!diagnosis.sizes.empty()) text += ", " + diagnosis.sizes;
    if (diagnosis.usable_mss) text += fmt::format(", MSS {} works", diagnosis.usable_mss->bytes);
    return text;
}

bool groups_of_commands_fail(DiagnosisId id, std::string_view sizes) {
    return id == DiagnosisId::size_specific_loss &&
           (sizes.starts_with("segments") || sizes.starts_with("requests"));
}

}  // namespace postfathom
