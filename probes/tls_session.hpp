// SPDX-License-Identifier: Apache-2.0
// The client side of TLS as Postfix's smtp(8) opens it, over memory: records in, records out. A
// certificate never ends the handshake; what is wrong with it is recorded.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "lib/base/result.hpp"
#include "lib/diagnosis/evidence.hpp"

namespace postfathom {

// Settings and trust store, shared by the sessions of one probe.
class TlsContext {
  public:
    // `ca_file` empty: the system's trust store.
    static Result<TlsContext> create(const std::string& ca_file);

    struct Impl;
    Impl& impl() const { return *impl_; }

  private:
    std::shared_ptr<Impl> impl_;
};

class TlsSession {
  public:
    // `server_name`: sent as SNI when not empty. `match_name`: held against the certificate; empty:
    // not.
    TlsSession(const TlsContext& context, const std::string& server_name, std::string match_name);
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
    void write(std::string_view text);  // clear text to the peer
    void close();                       // queues close_notify

    // What is known when established; after a failure only tls_error.
    HandshakeFacts facts() const;

  private:
    void fail(int result);

    struct Impl;
    std::unique_ptr<Impl> impl_;
    bool established_ = false;
    Outcome outcome_ = Outcome::ok;
    std::string error_;
};

}  // namespace postfathom
