// SPDX-License-Identifier: Apache-2.0
// Measures the outbound path MTU with real connections, after the inbound direction.
// probes/outbound_search decides what to send.
#pragma once

#include "probes/endpoint_run.hpp"

namespace postfathom {

// Fills evidence.flights and evidence.outbound when the first attempt got to the handshake.
asio::awaitable<void> measure_outbound(EndpointRun& run);

}  // namespace postfathom
