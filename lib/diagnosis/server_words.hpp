// SPDX-License-Identifier: Apache-2.0
// What a server's words and pace say about itself: that we should come again later, that it takes
// its time. Pure.
#pragma once

#include <string_view>
#include <vector>

#include "lib/diagnosis/diagnose.hpp"

namespace postfathom {

// The reply asks us to come again later: 421 (RFC 5321 section 3.8), or a refusal that speaks of
// rates, of too many connections or of trying again.
bool asks_to_wait(std::string_view reply);

// A server that lets us wait before it answers, as a tarpit does, is waited for, and it is said.
std::vector<Note> server_notes(const Evidence& evidence);

}  // namespace postfathom
