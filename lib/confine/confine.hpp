// SPDX-License-Identifier: Apache-2.0
// A daemon takes from itself what it does not need: files (Landlock, landlock(7)), TCP ports (from
// Landlock's ABI 4 on), system calls and socket families (seccomp(2), through libseccomp), and new
// privileges (PR_SET_NO_NEW_PRIVS). Programs that it starts are confined with it. Works inside the
// confinement of a service manager, which stays as it is.
#pragma once

#include <string>

#include "lib/base/result.hpp"
#include "lib/confine/needs.hpp"

namespace postfathom {

// PATH and OpenSSL's variables of this process.
Surroundings surroundings_of_process();

// Before the first thread, when sockets and the cache are open. Says in the log what was done.
// ErrorCode::unsupported only for ConfinementMode::required, when something cannot be done; else
// the daemon goes on with what can.
Result<void> confine(const Needs& needs, ConfinementMode mode);

// For what a reload names anew: whether a daemon that is confined can still read it. Says so in the
// log if not; `setting` is its name.
void warn_if_out_of_reach(const std::string& setting, const std::string& path);

}  // namespace postfathom
