// SPDX-License-Identifier: Apache-2.0
// What else a server's TLS layer can be asked, each time on a connection of its own: whether it
// takes one protocol version alone, after the usual handshake failed; whether it lets us come back
// without certificates, after one completed.
#pragma once

#include "probes/endpoint_run.hpp"

namespace postfathom {

// Only to tell the causes apart. What Postfix should offer is not in question.
asio::awaitable<void> try_protocols(EndpointRun& run);

asio::awaitable<void> try_resumption(EndpointRun& run);

}  // namespace postfathom
