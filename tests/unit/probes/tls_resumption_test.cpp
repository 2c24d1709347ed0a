// SPDX-License-Identifier: Apache-2.0
// Coming back with a session, and offering one version alone, against a server in memory.
#include <doctest/doctest.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <memory>
#include <string>

#include "probes/tls_session.hpp"

using namespace postfathom;

namespace {

template <auto Free>
struct Freed {
    template <typename T>
    void operator()(T* object) const {
        Free(object);
    }
};
using ServerContext = std::unique_ptr<SSL_CTX, Freed<SSL_CTX_free>>;

ServerContext server_context(int least, int most) {
    ServerContext context(SSL_CTX_new(TLS_server_method()));
    const std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY_free>> key(EVP_EC_gen("P-256"));
    const std::unique_ptr<X509, Freed<X509_free>> certificate(X509_new());
    X509_gmtime_adj(X509_getm_notBefore(certificate.get()), -60);
    X509_gmtime_adj(X509_getm_notAfter(certificate.get()), 3600);
    X509_set_pubkey(certificate.get(), key.get());
    REQUIRE(X509_sign(certificate.get(), key.get(), EVP_sha256()) > 0);
    REQUIRE(SSL_CTX_use_certificate(context.get(), certificate.get()) == 1);
    REQUIRE(SSL_CTX_use_PrivateKey(context.get(), key.get()) == 1);
    SSL_CTX_set_min_proto_version(context.get(), least);
    SSL_CTX_set_max_proto_version(context.get(), most);
    return context;
}

// A handshake and a greeting inside it, after which tickets have arrived.
void talk(SSL_CTX* context, TlsSession& client) {
    const std::unique_ptr<SSL, Freed<SSL_free>> server(SSL_new(context));
    BIO* in = BIO_new(BIO_s_mem());
    BIO* out = BIO_new(BIO_s_mem());
    SSL_set_bio(server.get(), in, out);
    SSL_set_accept_state(server.get());
    bool greeted = false;
    for (int round = 0; round < 10; ++round) {
        client.handshake();
        const auto sent = client.take_output();
        if (!sent.empty()) BIO_write(in, sent.data(), static_cast<int>(sent.size()));
        if (SSL_do_handshake(server.get()) == 1 && !greeted)
            greeted = SSL_write(server.get(), "220 x\r\n", 7) == 7;
        std::string received(BIO_ctrl_pending(out), '\0');
        if (!received.empty()) BIO_read(out, received.data(), static_cast<int>(received.size()));
        client.receive(received);
        client.handshake();
        client.read();
    }
    client.close();
}

}  // namespace

TEST_CASE("a session is taken up again, in either version of TLS") {
    const auto context = TlsContext::create("");
    REQUIRE(context.has_value());
    for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
        CAPTURE(version);
        const auto server = server_context(version, version);
        TlsSession first(*context, "", "");
        CHECK_FALSE(first.ticket());
        talk(server.get(), first);
        REQUIRE(first.established());
        CHECK_FALSE(first.resumed());
        REQUIRE(first.ticket());
        const auto returning = context->resuming(first.ticket());
        TlsSession second(returning, "", "");
        talk(server.get(), second);
        CHECK(second.established());
        CHECK(second.resumed());
        // Another server does not know the ticket, and the handshake is a whole one.
        const auto stranger = server_context(version, version);
        TlsSession third(returning, "", "");
        talk(stranger.get(), third);
        CHECK(third.established());
        CHECK_FALSE(third.resumed());
    }
}

TEST_CASE("one version alone is offered when asked for") {
    const auto context = TlsContext::create("");
    REQUIRE(context.has_value());
    const auto both = server_context(TLS1_2_VERSION, TLS1_3_VERSION);
    for (const auto version : {TlsVersion::tls12, TlsVersion::tls13}) {
        const auto restricted = context->only(version);
        TlsSession session(restricted, "", "");
        talk(both.get(), session);
        REQUIRE(session.established());
        CHECK(session.facts().protocol == to_string(version));
    }
    const auto newest = server_context(TLS1_3_VERSION, TLS1_3_VERSION);
    const auto older = context->only(TlsVersion::tls12);
    TlsSession refused(older, "", "");
    talk(newest.get(), refused);
    CHECK_FALSE(refused.established());
}
