// SPDX-License-Identifier: Apache-2.0
// Faults of the certificate chain that the completed handshake showed.
#include <fmt/core.h>

#include "lib/base/text.hpp"
#include "lib/diagnosis/certificate_time.hpp"
#include "lib/diagnosis/rules.hpp"

namespace postfathom::rules {
namespace {

// X509_V_ERR_* of openssl/x509_vfy.h. The numbers are part of OpenSSL's ABI; this library stays
// free of it.
enum VerifyCode {
    verified = 0,
    issuer_not_found = 2,
    not_yet_valid = 9,
    has_expired = 10,
    self_signed_leaf = 18,
    self_signed_in_chain = 19,
    issuer_not_found_locally = 20,
    leaf_not_verifiable = 21,
    hostname_mismatch = 62,
    leaf_key_too_small = 66,
    ca_key_too_small = 67,
    digest_too_weak = 68,
};

struct Fault {
    DiagnosisId id;
    std::string what;
};

std::string shown(const std::string& text) {
    return text.empty() ? std::string{"(no name)"} : printable(text, 120);
}

std::optional<Fault> expired(const CertificateFacts& facts, WallTime now) {
    const bool leaf = facts.not_after != WallTime{} && now != WallTime{} && now > facts.not_after;
    if (!leaf && facts.verify_code != has_expired) return std::nullopt;
    return Fault{DiagnosisId::certificate_expired,
                 leaf ? fmt::format("The certificate of {} expired on {}", shown(facts.subject),
                                    certificate_time(facts.not_after))
                      : "A certificate of the server's chain has expired"};
}

std::optional<Fault> not_yet(const CertificateFacts& facts, WallTime now) {
    const bool leaf = facts.not_before != WallTime{} && now != WallTime{} && now < facts.not_before;
    if (!leaf && facts.verify_code != not_yet_valid) return std::nullopt;
    return Fault{DiagnosisId::certificate_not_yet_valid,
                 leaf ? fmt::format("The certificate of {} is valid only from {}",
                                    shown(facts.subject), certificate_time(facts.not_before))
                      : "A certificate of the server's chain is not valid yet"};
}

std::optional<Fault> self_signed(const CertificateFacts& facts) {
    if (!facts.self_signed && facts.verify_code != self_signed_leaf) return std::nullopt;
    // One that the operator put into the trust store is as good as any.
    if (facts.verify_code == verified) return std::nullopt;
    return Fault{DiagnosisId::certificate_self_signed,
                 fmt::format("The certificate of {} is signed by itself", shown(facts.subject))};
}

std::optional<Fault> incomplete_chain(const CertificateFacts& facts) {
    if (facts.missing_issuer.empty()) return std::nullopt;
    return Fault{DiagnosisId::certificate_incomplete_chain,
                 fmt::format("The server sends {} certificate{} and leaves out the issuer \"{}\"",
                             facts.chain_length, facts.chain_length == 1 ? "" : "s",
                             shown(facts.missing_issuer))};
}

bool told_otherwise(const CertificateFacts& facts) {
    switch (facts.verify_code) {
        case verified:
        case not_yet_valid:
        case has_expired:
        case self_signed_leaf:
        case hostname_mismatch:
        case leaf_key_too_small:
        case ca_key_too_small:
        case digest_too_weak:
            return true;
        default:
            return facts.self_signed || !facts.missing_issuer.empty();
    }
}

std::optional<Fault> untrusted(const CertificateFacts& facts) {
    if (told_otherwise(facts)) return std::nullopt;
    const bool issuer_unknown =
        facts.verify_code == issuer_not_found || facts.verify_code == issuer_not_found_locally ||
        facts.verify_code == leaf_not_verifiable || facts.verify_code == self_signed_in_chain;
    if (issuer_unknown)
        return Fault{
            DiagnosisId::certificate_untrusted,
            fmt::format("The trust store does not know who issued the certificate of {} (\"{}\")",
                        shown(facts.subject), shown(facts.issuer))};
    return Fault{DiagnosisId::certificate_untrusted,
                 fmt::format("The certificate of {} does not verify: {}", shown(facts.subject),
                             shown(facts.verify_text))};
}

std::optional<Fault> name_mismatch(const CertificateFacts& facts, const std::string& name) {
    if (facts.name_matches && facts.verify_code != hostname_mismatch) return std::nullopt;
    std::string names;
    constexpr std::size_t shown_names = 4;
    for (std::size_t i = 0; i < facts.names.size() && i < shown_names; ++i)
        names += (i ? ", " : "") + printable(facts.names[i], 80);
    if (facts.names.size() > shown_names) names += ", ...";
    return Fault{DiagnosisId::certificate_name_mismatch,
                 fmt::format("The certificate is for {}, not for {}",
                             names.empty() ? shown(facts.subject) : names, shown(name))};
}

// Below what OpenSSL takes at security level 2, Debian's default: 112 bits.
std::optional<Fault> weak(const CertificateFacts& facts) {
    const auto key = to_lower(facts.key);
    const auto signature = to_lower(facts.signature);
    constexpr std::uint32_t smallest_rsa = 2048;
    constexpr std::uint32_t smallest_ec = 224;
    const bool factoring = key.starts_with("rsa") || key.starts_with("dsa");
    const auto smallest = factoring ? smallest_rsa : smallest_ec;
    if (facts.key_bits != 0 && facts.key_bits < smallest)
        return Fault{DiagnosisId::certificate_weak,
                     fmt::format("The certificate's key is too small: {}", shown(facts.key))};
    // A self-signed certificate's signature protects nothing, so it cannot be too weak.
    const bool old_digest =
        signature.find("md5") != std::string::npos || signature.find("sha1") != std::string::npos;
    if (old_digest && !facts.self_signed)
        return Fault{DiagnosisId::certificate_weak,
                     fmt::format("The certificate is signed with {}", shown(facts.signature))};
    if (facts.verify_code == leaf_key_too_small || facts.verify_code == ca_key_too_small ||
        facts.verify_code == digest_too_weak)
        return Fault{
            DiagnosisId::certificate_weak,
            fmt::format("The certificate chain is too weak: {}", shown(facts.verify_text))};
    return std::nullopt;
}

Diagnosis weighed(const Fault& fault, const Evidence& evidence, TlsLevel floor) {
    const bool stops_mail = checks_certificate(floor);
    const auto effect = speaks_imap(evidence.endpoint.service)
                            ? std::string{"; clients that check certificates refuse it."}
                        : stops_mail
                            ? fmt::format("; at level {} mail waits.", to_string(floor))
                            : std::string{
                                  "; the TLS level in force does not ask the trust store, so this "
                                  "alone stops no mail."};
    return stated(fault.id, stops_mail ? Severity::critical : Severity::notice, fault.what + effect,
                  {});
}

}  // namespace

std::vector<Diagnosis> certificate_faults(const Evidence& evidence, TlsLevel floor) {
    if (!evidence.handshake || !evidence.handshake->certificate) return {};
    const auto& facts = *evidence.handshake->certificate;
    std::vector<Diagnosis> found;
    for (auto& fault : {expired(facts, evidence.measured_at), not_yet(facts, evidence.measured_at),
                        self_signed(facts), incomplete_chain(facts), untrusted(facts),
                        name_mismatch(facts, evidence.endpoint.name), weak(facts)})
        if (fault) found.push_back(weighed(*fault, evidence, floor));
    return found;
}

}  // namespace postfathom::rules
