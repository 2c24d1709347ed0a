// SPDX-License-Identifier: Apache-2.0
// All of one probe of one endpoint, step by step: the ordinary first attempt, and what its outcome
// asks for. Gathers evidence and judges nothing.
#pragma once

#include <boost/asio/awaitable.hpp>

#include "probes/endpoint_run.hpp"

namespace postfathom {

// `plan` and `tls` outlive the call.
asio::awaitable<Evidence> probe_endpoint(const ProbePlan& plan, const TlsContext& tls,
                                         EndpointProgressSink sink);

}  // namespace postfathom
