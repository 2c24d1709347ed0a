// SPDX-License-Identifier: Apache-2.0
// The socket to which Postfix 3.10 and later sends its reports of TLS handshakes, as if we were the
// collector of a TLSRPT reporter. Postfix sends to one socket only: where there is such a
// collector, each datagram is passed on to it as it came.
#pragma once

#include <sys/un.h>
#include <boost/asio/io_context.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "lib/base/descriptor.hpp"
#include "probes/daemon.hpp"

namespace postfathom {

// Never waits: what the collector cannot take at once is lost, as it is when Postfix sends it.
class DatagramForwarder {
  public:
    explicit DatagramForwarder(const std::string& path);  // empty: passes nothing on
    // False when it was not taken. Says so in the log, at most once in ten minutes.
    bool pass_on(std::string_view datagram);

  private:
    std::string path_;
    Descriptor socket_;
    sockaddr_un address_{};
    std::uint64_t lost_ = 0;
    Pace complaints_;
};

// The socket that [tlsrpt] asks for, owned by the caller; nothing where it asks for none. One that
// cannot be had is an error in the log: the daemon goes on without it.
std::optional<int> open_tlsrpt_socket(const Settings::Tlsrpt& settings);
// Takes over the socket. `io` and `daemon` outlive it.
void start_tlsrpt_feed(boost::asio::io_context& io, Daemon& daemon, int socket);

}  // namespace postfathom
