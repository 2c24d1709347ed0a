// SPDX-License-Identifier: Apache-2.0
#include "probes/certificate_facts.hpp"

#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <ctime>
#include <memory>

#include "lib/base/text.hpp"

namespace postfathom {

namespace {

constexpr std::size_t max_names = 32;

struct FreeNames {
    void operator()(GENERAL_NAMES* names) const { GENERAL_NAMES_free(names); }
};

std::string in_words(X509_NAME* name) {
    char buffer[512] = "";
    // With escapes for control bytes and what is not ASCII; long names are cut.
    std::unique_ptr<BIO, decltype(&BIO_free)> out(BIO_new(BIO_s_mem()), &BIO_free);
    if (!out || X509_NAME_print_ex(out.get(), name, 0, XN_FLAG_RFC2253) < 0) return {};
    const auto length = BIO_read(out.get(), buffer, sizeof buffer);
    return length > 0 ? printable({buffer, static_cast<std::size_t>(length)}) : std::string{};
}

WallTime to_wall_time(const ASN1_TIME* time) {
    std::tm parts{};
    if (time == nullptr || ASN1_TIME_to_tm(time, &parts) != 1) return {};
    return std::chrono::floor<std::chrono::milliseconds>(
        std::chrono::system_clock::from_time_t(::timegm(&parts)));
}

std::vector<std::string> dns_names(const X509* leaf) {
    std::vector<std::string> result;
    const std::unique_ptr<GENERAL_NAMES, FreeNames> names(static_cast<GENERAL_NAMES*>(
        X509_get_ext_d2i(leaf, NID_subject_alt_name, nullptr, nullptr)));
    const int count = names ? sk_GENERAL_NAME_num(names.get()) : 0;
    for (int i = 0; i < count && result.size() < max_names; ++i) {
        const auto* name = sk_GENERAL_NAME_value(names.get(), i);
        if (name->type != GEN_DNS) continue;
        const auto* text = name->d.dNSName;
        result.push_back(printable({reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
                                    static_cast<std::size_t>(ASN1_STRING_length(text))}));
    }
    return result;
}

void add_key(CertificateFacts& facts, const X509* leaf) {
    const EVP_PKEY* key = X509_get0_pubkey(leaf);
    if (key == nullptr) return;
    facts.key_bits = static_cast<std::uint32_t>(std::max(EVP_PKEY_get_bits(key), 0));
    char group[64] = "";
    std::size_t length = 0;
    if (EVP_PKEY_get_base_id(key) == EVP_PKEY_EC &&
        EVP_PKEY_get_group_name(key, group, sizeof group, &length) == 1) {
        facts.key = std::string{"EC "} + group;
    } else {
        const char* type = OBJ_nid2sn(EVP_PKEY_get_base_id(key));
        if (EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA) type = "RSA";
        facts.key =
            std::string{type == nullptr ? "unknown" : type} + ' ' + std::to_string(facts.key_bits);
    }
}

void add_chain(CertificateFacts& facts, STACK_OF(X509) * chain) {
    for (int i = 0; i < sk_X509_num(chain); ++i) {
        const int bytes = i2d_X509(sk_X509_value(chain, i), nullptr);
        if (bytes > 0) facts.chain_bytes += static_cast<std::uint32_t>(bytes);
        ++facts.chain_length;
    }
}

bool issuer_not_found(int code) {
    return code == X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT ||
           code == X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY ||
           code == X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE;
}

}  // namespace

CertificateFacts facts_in(X509* leaf, const std::string& match_name) {
    CertificateFacts facts;
    facts.subject = in_words(X509_get_subject_name(leaf));
    facts.issuer = in_words(X509_get_issuer_name(leaf));
    facts.names = dns_names(leaf);
    facts.not_before = to_wall_time(X509_get0_notBefore(leaf));
    facts.not_after = to_wall_time(X509_get0_notAfter(leaf));
    add_key(facts, leaf);
    const char* signature = OBJ_nid2sn(X509_get_signature_nid(leaf));
    facts.signature = signature == nullptr ? "" : signature;
    facts.self_signed = X509_self_signed(leaf, 1) == 1;
    facts.name_matches = match_name.empty() || X509_check_host(leaf, match_name.data(),
                                                               match_name.size(), 0, nullptr) == 1;
    return facts;
}

std::optional<CertificateFacts> certificate_facts(const SSL* session,
                                                  const std::string& match_name) {
    X509* leaf = SSL_get0_peer_certificate(session);
    if (leaf == nullptr) return std::nullopt;
    auto facts = facts_in(leaf, match_name);
    facts.verify_code = static_cast<int>(SSL_get_verify_result(session));
    facts.verify_text = X509_verify_cert_error_string(facts.verify_code);
    STACK_OF(X509)* chain = SSL_get_peer_cert_chain(session);
    if (chain == nullptr || sk_X509_num(chain) == 0) return facts;
    add_chain(facts, chain);
    X509* last = sk_X509_value(chain, sk_X509_num(chain) - 1);
    if (issuer_not_found(facts.verify_code) && X509_self_signed(last, 0) != 1)
        facts.missing_issuer = in_words(X509_get_issuer_name(last));
    return facts;
}

}  // namespace postfathom
