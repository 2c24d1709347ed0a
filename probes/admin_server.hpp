// SPDX-License-Identifier: Apache-2.0
// The admin query socket: HTTP/1.1 with JSON over a UNIX socket, for the command line and for curl:
//   curl --unix-socket /run/postfathom/admin.sock http://localhost/v1/destinations
#pragma once

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <memory>

#include "probes/daemon.hpp"

namespace postfathom {

class AdminServer {
  public:
    struct Limits {
        std::chrono::milliseconds read{30'000};          // one whole request, or the wait for it
        std::chrono::milliseconds write{30'000};         // one whole answer
        std::chrono::milliseconds stream_write{10'000};  // one piece of an event stream
        std::chrono::milliseconds heartbeat{30'000};     // on a stream without events
    };

    // Takes over the listening socket. `io` and `daemon` outlive the server.
    AdminServer(boost::asio::io_context& io, Daemon& daemon, int listening, const Limits& limits);
    ~AdminServer();
    AdminServer(const AdminServer&) = delete;
    AdminServer& operator=(const AdminServer&) = delete;

    // Takes over a listening TCP socket on the loopback interface as well. There one may read only,
    // and a request has to call this host by a name of the loopback: a page of another site whose
    // name was made to lead here does not (DNS rebinding). Before start().
    void also_listen(int listening_tcp);

    void start();
    // After the settings were read again: admin.readers and admin.changers hold from the next
    // request on.
    void reload();
    // No new connections; those at hand end with the io_context.
    void stop();

    struct State;

  private:
    std::shared_ptr<State> state_;
};

}  // namespace postfathom
