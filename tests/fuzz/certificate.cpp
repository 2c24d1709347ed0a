// SPDX-License-Identifier: Apache-2.0
// A server's certificate (DER), whose names are whatever somebody had signed.
#include <openssl/x509.h>

#include "lib/cache/json_fields.hpp"
#include "probes/certificate_facts.hpp"
#include "tests/fuzz/target.hpp"

namespace postfathom::fuzz {

const bool takes_pieces = false;

std::string tell(const Input& input) {
    std::string told;
    input.pieces([&](std::string_view bytes) {
        const auto* der = reinterpret_cast<const unsigned char*>(bytes.data());
        const std::unique_ptr<X509, decltype(&X509_free)> leaf(
            d2i_X509(nullptr, &der, static_cast<long>(bytes.size())), &X509_free);
        if (!leaf) return;
        const auto facts = facts_in(leaf.get(), "mail.example.org");
        told = facts.subject + '\n' + facts.issuer + '\n' + facts.key + '\n' + facts.signature +
               (facts.self_signed ? " self-signed" : "") + (facts.name_matches ? " matches" : "");
        for (const auto* text : {&facts.subject, &facts.issuer, &facts.key, &facts.signature})
            require(is_printable(*text) && text->size() <= 256, "texts are printable and bounded");
        require(facts.names.size() <= 32, "names are bounded");
        for (const auto& name : facts.names) {
            require(is_printable(name) && name.size() <= 256, "names are printable and bounded");
            told += ' ' + name;
        }
        told += std::to_string(facts.not_before.time_since_epoch().count()) + ' ' +
                std::to_string(facts.not_after.time_since_epoch().count());
    });
    return told;
}

}  // namespace postfathom::fuzz
