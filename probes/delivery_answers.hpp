// SPDX-License-Identifier: Apache-2.0
// GET /v1/deliveries/QUEUEID: what the log told of a message, and what is known of the places that
// it was to go to.
#pragma once

#include <string_view>

#include "probes/admin_answers.hpp"

namespace postfathom {

// `encoded` is the rest of the path, percent-encoded.
AdminReply answer_delivery(const Daemon& daemon, std::string_view encoded);

}  // namespace postfathom
