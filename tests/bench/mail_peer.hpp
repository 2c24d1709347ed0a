// SPDX-License-Identifier: Apache-2.0
// Both ends of the conversation that a probe has with a healthy server, with nothing but OpenSSL
// and epoll(7): greeting, EHLO, STARTTLS, handshake, EHLO, QUIT. What a probe costs is measured
// beside the one end, against the other.
#pragma once

#include <openssl/ssl.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "lib/base/descriptor.hpp"

namespace postfathom::bench {

struct FreeContext {
    void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
};
using Context = std::unique_ptr<SSL_CTX, FreeContext>;

// Null, with OpenSSL's words on standard error, when a file cannot be used.
Context server_context(const std::string& chain_file, const std::string& key_file);
Context client_context(const std::string& ca_file);

// On a free port of the loopback interface.
struct Listening {
    Descriptor socket;
    std::uint16_t port = 0;
};
Listening listen_on_loopback();

// Serves until the process is killed. `mute`: answers nothing after the reply to STARTTLS.
int serve(const Listening& listening, SSL_CTX& context, bool mute);

// Holds `at_a_time` conversations until `enough` says so after one; how many were completed, or -1
// when one failed.
int converse(std::uint16_t port, SSL_CTX& context, int at_a_time,
             const std::function<bool(int done)>& enough);

}  // namespace postfathom::bench
