// SPDX-License-Identifier: Apache-2.0
#include "probes/tls_session.hpp"

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "lib/base/text.hpp"
#include "probes/certificate_facts.hpp"

namespace postfathom {

namespace {

struct FreeContext {
    void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
};
struct FreeTicket {
    void operator()(SSL_SESSION* session) const { SSL_SESSION_free(session); }
};
struct FreeSession {
    void operator()(SSL* session) const { SSL_free(session); }
};

std::string library_error() {
    const auto code = ERR_get_error();
    ERR_clear_error();
    if (code == 0) return "unknown error";
    if (ERR_SYSTEM_ERROR(code)) return std::strerror(ERR_GET_REASON(code));
    const char* reason = ERR_reason_error_string(code);
    return printable(reason == nullptr ? "unknown error" : reason);
}

// One of the code points that stand for extensions nobody knows and everybody has to ignore, with
// any contents (RFC 8701 section 3.1).
constexpr unsigned int filler_extension = 0x7a7a;

// OpenSSL asks for the extension's contents. The length is the session's application data.
int add_filler(SSL* session, unsigned int, unsigned int, const unsigned char** out, size_t* length,
               X509*, size_t, int*, void*) {
    static constexpr std::array<unsigned char, TlsSession::largest_hello> zeros{};
    const auto* wanted = static_cast<const std::uint32_t*>(SSL_get_ex_data(session, 0));
    if (wanted == nullptr || *wanted == 0) return 0;
    *out = zeros.data();
    *length = std::min<std::size_t>(*wanted, zeros.size());
    return 1;
}

// As Postfix 3.7 sets up its client (tls_client_init() and tls_client_start() in
// src/tls/tls_client.c, the defaults of postconf(5)): what it can talk to, and the size and
// contents of its ClientHello, have to be ours, or the probe would not see what mail sees.
// SSL_OP_ALL pads the ClientHello to 512 bytes (RFC 7685).
bool configure_as_postfix(SSL_CTX* context) {
    SSL_CTX_set_security_level(context, 0);
    SSL_CTX_set_options(context, SSL_OP_ALL);
    // Not Postfix's, and not to be seen in the ClientHello: one handshake is what we came for.
    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION);
    SSL_CTX_set_verify(context, SSL_VERIFY_NONE, nullptr);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    return SSL_CTX_set_min_proto_version(context, TLS1_VERSION) == 1 &&  // smtp_tls_protocols
           SSL_CTX_set_cipher_list(context,                              // tls_medium_cipherlist
                                   "aNULL:-aNULL:HIGH:MEDIUM:+RC4:@STRENGTH") == 1 &&
           SSL_CTX_set1_groups_list(context,  // tls_eecdh_auto_curves
                                    "X25519:X448:prime256v1:secp521r1:secp384r1") == 1 &&
           // Sent only by sessions that ask for it.
           SSL_CTX_add_custom_ext(context, filler_extension, SSL_EXT_CLIENT_HELLO, add_filler,
                                  nullptr, nullptr, nullptr, nullptr) == 1;
}

}  // namespace

struct TlsContext::Impl {
    std::unique_ptr<SSL_CTX, FreeContext> context;
};

struct TlsTicket::Impl {
    std::unique_ptr<SSL_SESSION, FreeTicket> session;
};

std::string_view to_string(TlsVersion version) {
    return version == TlsVersion::tls12 ? "TLSv1.2" : "TLSv1.3";
}

TlsContext TlsContext::only(TlsVersion version) const {
    auto restricted = *this;
    restricted.only_ = version;
    return restricted;
}

TlsContext TlsContext::resuming(TlsTicket ticket) const {
    auto returning = *this;
    returning.ticket_ = std::move(ticket);
    return returning;
}

Result<TlsContext> TlsContext::create(const std::string& ca_file) {
    TlsContext result;
    result.impl_ = std::make_shared<Impl>();
    auto& context = result.impl_->context;
    context.reset(SSL_CTX_new(TLS_client_method()));
    if (!context || !configure_as_postfix(context.get()))
        return postfathom::fail(ErrorCode::unsupported, "TLS library: " + library_error());
    const bool loaded = ca_file.empty()
                            ? SSL_CTX_set_default_verify_paths(context.get()) == 1
                            : SSL_CTX_load_verify_file(context.get(), ca_file.c_str()) == 1;
    if (!loaded && !ca_file.empty())
        return postfathom::fail(ErrorCode::invalid_input,
                                "CA file " + ca_file + ": no certificate can be read from it (" +
                                    library_error() + "); expected PEM");
    ERR_clear_error();
    return result;
}

struct TlsSession::Impl {
    std::unique_ptr<SSL, FreeSession> session;
    BIO* in = nullptr;  // owned by session
    BIO* out = nullptr;
    std::string match_name;
    std::uint32_t filler = 0;  // bytes of the extension
    bool padded = true;        // as OpenSSL does it, see configure_as_postfix()
    bool heard_tls = false;    // the first bytes looked like a TLS record
    std::string heard;         // the first bytes
    std::size_t received = 0;
};

TlsSession::TlsSession(const TlsContext& context, const std::string& server_name,
                       std::string match_name, std::uint32_t hello_bytes)
    : impl_(std::make_unique<Impl>()) {
    impl_->match_name = std::move(match_name);
    start(context, server_name);
    if (hello_bytes == 0) return;
    impl_->padded = false;
    impl_->filler = std::min(hello_bytes, largest_hello) / 2 + 1;
    start(context, server_name);
    handshake();
    const auto rest = static_cast<std::uint32_t>(BIO_ctrl_pending(impl_->out)) - impl_->filler;
    impl_->filler = hello_bytes > rest ? std::min(hello_bytes, largest_hello) - rest : 0;
    start(context, server_name);
}

void TlsSession::start(const TlsContext& context, const std::string& server_name) {
    impl_->session.reset(SSL_new(context.impl().context.get()));
    impl_->in = BIO_new(BIO_s_mem());
    impl_->out = BIO_new(BIO_s_mem());
    BIO_ctrl(impl_->in, BIO_C_SET_BUF_MEM_EOF_RETURN, -1, nullptr);  // empty is not the end
    SSL_set_bio(impl_->session.get(), impl_->in, impl_->out);
    if (!server_name.empty()) {
        // What the macro SSL_set_tlsext_host_name() does; OpenSSL copies the name.
        std::string name = server_name;
        SSL_ctrl(impl_->session.get(), SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
                 name.data());
    }
    if (context.only_) {
        const int version = *context.only_ == TlsVersion::tls12 ? TLS1_2_VERSION : TLS1_3_VERSION;
        SSL_set_min_proto_version(impl_->session.get(), version);
        SSL_set_max_proto_version(impl_->session.get(), version);
    }
    if (context.ticket_) SSL_set_session(impl_->session.get(), context.ticket_.impl->session.get());
    SSL_set_ex_data(impl_->session.get(), 0, &impl_->filler);
    if (!impl_->padded) SSL_clear_options(impl_->session.get(), SSL_OP_TLSEXT_PADDING);
    SSL_set_connect_state(impl_->session.get());
}

TlsSession::~TlsSession() = default;

void TlsSession::fail(int result) {
    switch (SSL_get_error(impl_->session.get(), result)) {
        case SSL_ERROR_WANT_READ:
        case SSL_ERROR_WANT_WRITE:
            return;
        default:
            break;
    }
    const auto code = ERR_peek_error();
    // Reasons from here on are alerts of the peer (SSL_AD_REASON_OFFSET).
    const bool alert =
        ERR_GET_LIB(code) == ERR_LIB_SSL && ERR_GET_REASON(code) >= SSL_AD_REASON_OFFSET;
    outcome_ = alert ? Outcome::tls_alert : Outcome::tls_error;
    error_ = library_error();
    if (alert || impl_->received == 0 || impl_->heard_tls) return;
    outcome_ = Outcome::garbled;
    error_ += ", it sends \"" + printable(impl_->heard, 80) + '"';
}

void TlsSession::handshake() {
    if (established_ || failed()) return;
    ERR_clear_error();
    const int result = SSL_do_handshake(impl_->session.get());
    if (result == 1)
        established_ = true;
    else
        fail(result);
}

void TlsSession::receive(std::string_view records) {
    if (records.empty()) return;
    if (impl_->received == 0) {
        impl_->heard = trim(records.substr(0, 100));
        // Content types of TLS records are 20 to 24 (RFC 8446 section 5.1).
        impl_->heard_tls = records.front() >= 20 && records.front() <= 24;
    }
    impl_->received += records.size();
    if (impl_->received > max_bytes && !failed()) {
        outcome_ = Outcome::garbled;
        error_ = "more than " + std::to_string(max_bytes / 1024) + " KB and no end";
    }
    if (failed()) return;
    BIO_write(impl_->in, records.data(), static_cast<int>(records.size()));
}

std::string TlsSession::take_output() {
    std::string result(BIO_ctrl_pending(impl_->out), '\0');
    if (!result.empty()) BIO_read(impl_->out, result.data(), static_cast<int>(result.size()));
    return result;
}

std::string TlsSession::read() {
    std::string result;
    std::array<char, 4096> buffer{};
    while (established_ && !failed()) {
        ERR_clear_error();
        const int length =
            SSL_read(impl_->session.get(), buffer.data(), static_cast<int>(buffer.size()));
        if (length > 0) {
            result.append(buffer.data(), static_cast<std::size_t>(length));
            continue;
        }
        if (SSL_get_error(impl_->session.get(), length) != SSL_ERROR_ZERO_RETURN) fail(length);
        break;
    }
    return result;
}

bool TlsSession::ended() const {
    return established_ && (SSL_get_shutdown(impl_->session.get()) & SSL_RECEIVED_SHUTDOWN) != 0;
}

void TlsSession::write(std::string_view text) {
    if (text.empty() || !established_ || failed()) return;
    ERR_clear_error();
    const int result = SSL_write(impl_->session.get(), text.data(), static_cast<int>(text.size()));
    if (result <= 0) fail(result);
}

void TlsSession::close() {
    if (established_ && !failed()) SSL_shutdown(impl_->session.get());
    ERR_clear_error();
}

HandshakeFacts TlsSession::facts() const {
    HandshakeFacts facts;
    facts.tls_error = error_;
    SSL* session = impl_->session.get();
    if (!established_) {
        if (const auto* chosen = SSL_get_pending_cipher(session))
            facts.cipher = SSL_CIPHER_get_name(chosen);
        return facts;
    }
    facts.protocol = SSL_get_version(session);
    facts.cipher = SSL_get_cipher_name(session);
    const auto group = SSL_get_negotiated_group(session);
    const char* name = group == 0 ? nullptr : SSL_group_to_name(session, static_cast<int>(group));
    facts.key_exchange = name == nullptr ? "" : name;
    facts.certificate = certificate_facts(session, impl_->match_name);
    return facts;
}

bool TlsSession::resumed() const {
    return established_ && SSL_session_reused(impl_->session.get()) == 1;
}

TlsTicket TlsSession::ticket() const {
    if (!established_) return {};
    std::unique_ptr<SSL_SESSION, FreeTicket> session(SSL_get1_session(impl_->session.get()));
    if (!session || SSL_SESSION_is_resumable(session.get()) != 1) return {};
    auto kept = std::make_shared<TlsTicket::Impl>();
    kept->session = std::move(session);
    return {std::move(kept)};
}

}  // namespace postfathom
