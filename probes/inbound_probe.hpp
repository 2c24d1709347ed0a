// SPDX-License-Identifier: Apache-2.0
// The search for the inbound path MTU with real connections, after the first attempt stalled.
// probes/path_mtu_search decides which sizes to try.
#pragma once

#include "probes/endpoint_run.hpp"
#include "probes/handshake_probe.hpp"
#include "probes/path_mtu_search.hpp"

namespace postfathom {

// What an attempt says about the size it was allowed.
SizeOutcome size_outcome(const HandshakeProbe& probe);

// `first`: the stalled first attempt, kept open meanwhile: when path MTU discovery works, or the
// loss was chance, it goes on and the search ends. Its attempt is evidence.attempts.front().
asio::awaitable<void> search_inbound(EndpointRun& run, HandshakeProbe& first);

}  // namespace postfathom
