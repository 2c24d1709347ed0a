// SPDX-License-Identifier: Apache-2.0
// What no program that mail waits for may be: one that holds probing code and links OpenSSL. The
// self-test expects programs.sh to find both.
#include <openssl/ssl.h>

namespace postfathom {

class ProbeEngine {
  public:
    bool run() const;
};

bool ProbeEngine::run() const {
    SSL_CTX* context = SSL_CTX_new(TLS_client_method());
    SSL_CTX_free(context);
    return context != nullptr;
}

}  // namespace postfathom

int main() { return postfathom::ProbeEngine{}.run() ? 0 : 1; }
