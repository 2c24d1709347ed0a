// SPDX-License-Identifier: Apache-2.0
// What a completed handshake tells of the server's certificates.
#pragma once

#include <openssl/ssl.h>

#include <optional>
#include <string>

#include "lib/diagnosis/evidence.hpp"

namespace postfathom {

// What the certificate says of itself, without its chain.
CertificateFacts facts_in(X509* leaf, const std::string& match_name);

// Nothing when the server sent no certificate (an anonymous cipher).
std::optional<CertificateFacts> certificate_facts(const SSL* session,
                                                  const std::string& match_name);

}  // namespace postfathom
