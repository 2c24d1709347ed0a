// SPDX-License-Identifier: Apache-2.0
// Looks at this host's mail connections by the clock and tells the daemon.
#pragma once

#include <boost/asio/io_context.hpp>

#include "probes/daemon.hpp"

namespace postfathom {

// As [socket_watch] of the daemon's settings says, from now on and after each change. `io` and
// `daemon` outlive it.
void start_socket_feed(boost::asio::io_context& io, Daemon& daemon);

}  // namespace postfathom
