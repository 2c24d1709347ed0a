// SPDX-License-Identifier: Apache-2.0
// The client side of TLS as Postfix's smtp(8) opens it, over memory: records in, records out. A
// certificate never ends the handshake; what is wrong with it is recorded.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "lib/base/result.hpp"
#include "lib/diagnosis/evidence.hpp"

namespace postfathom {

// What a server gave us to come back with without a new exchange of certificates.
struct TlsTicket {
    struct Impl;
    std::shared_ptr<Impl> impl;  // empty: it gave nothing

    explicit operator bool() const { return impl != nullptr; }
};

enum class TlsVersion { tls12, tls13 };
std::string_view to_string(TlsVersion version);  // "TLSv1.2", as OpenSSL calls it

// Settings and trust store, shared by the sessions of many probes.
class TlsContext {
  public:
    // `ca_file` empty: the system's trust store.
    static Result<TlsContext> create(const std::string& ca_file);

    // The same for sessions that offer one version only, or to resume.
    TlsContext only(TlsVersion version) const;
    TlsContext resuming(TlsTicket ticket) const;

    struct Impl;
    Impl& impl() const { return *impl_; }

  private:
    friend class TlsSession;
    std::shared_ptr<Impl> impl_;
    std::optional<TlsVersion> only_;
    TlsTicket ticket_;
};

class TlsSession {
  public:
    // No ClientHello may be larger in the one TLS record that every server can read (RFC 8446
    // section 5.1).
    static constexpr std::uint32_t largest_hello = 16384;
    // Of one connection, from the peer. OpenSSL takes certificates up to 100 KB by itself.
    static constexpr std::size_t max_bytes = 512 * 1024;

    // `server_name`: sent as SNI when not empty. `match_name`: held against the certificate; empty:
    // not. `hello_bytes`: the ClientHello, record header included, is filled up to exactly so many
    // bytes with an extension that servers ignore, in place of the padding that OpenSSL adds to 512
    // bytes (RFC 7685); fewer than it has anyway: just not padded; 0: as Postfix sends it.
    TlsSession(const TlsContext& context, const std::string& server_name, std::string match_name,
               std::uint32_t hello_bytes = 0);
    ~TlsSession();
    TlsSession(const TlsSession&) = delete;
    TlsSession& operator=(const TlsSession&) = delete;

    // Goes on with the handshake as far as the bytes allow; then established() or failed() may
    // hold.
    void handshake();
    bool established() const { return established_; }
    bool failed() const { return outcome_ != Outcome::ok; }
    Outcome outcome() const { return outcome_; }  // ok, tls_alert, tls_error, garbled

    void receive(std::string_view records);  // from the network
    std::string take_output();               // for the network

    std::string read();                 // clear text from the peer
    bool ended() const;                 // it said so (close_notify), and read() has all it sent
    void write(std::string_view text);  // clear text to the peer
    void close();                       // queues close_notify

    // What is known when established; after a failure only tls_error.
    HandshakeFacts facts() const;

    // The server took the ticket and sent no certificates.
    bool resumed() const;
    // TLS 1.3 sends tickets behind the handshake: ask when the conversation is over.
    TlsTicket ticket() const;

  private:
    void start(const TlsContext& context, const std::string& server_name);
    void fail(int result);

    struct Impl;
    std::unique_ptr<Impl> impl_;
    bool established_ = false;
    Outcome outcome_ = Outcome::ok;
    std::string error_;
};

}  // namespace postfathom
