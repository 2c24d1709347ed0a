// SPDX-License-Identifier: Apache-2.0
// Asks requests of chosen size and shape where a probe has found something that they can settle: a
// middlebox that drops or swallows requests of some sizes looks like a mute server to whoever asks
// with one size only.
#pragma once

#include "probes/endpoint_run.hpp"

namespace postfathom {

// Nothing is asked of an endpoint where the answer is known, unless the plan says so.
asio::awaitable<void> ask_questions(EndpointRun& run);

}  // namespace postfathom
