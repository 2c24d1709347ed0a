// SPDX-License-Identifier: Apache-2.0
// All connections of one probe to one endpoint: the ordinary first attempt, and, when its handshake
// stalls, the search for the size that passes. Gathers evidence and judges nothing.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <functional>
#include <optional>

#include "probes/handshake_probe.hpp"

namespace postfathom {

struct EndpointProgress {
    Phase phase = Phase::connect;
    std::optional<PathMtu> trying;
    std::optional<PathMtu> passes;
    std::optional<PathMtu> fails;
    std::uint32_t connections = 0;
};
using EndpointProgressSink = std::function<void(const EndpointProgress&)>;

// Never more than the kept first connection and one other at a time. `plan` and `tls` outlive the
// call.
asio::awaitable<Evidence> probe_endpoint(const ProbePlan& plan, const TlsContext& tls,
                                         std::uint32_t max_connections, EndpointProgressSink sink);

}  // namespace postfathom
