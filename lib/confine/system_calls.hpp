// SPDX-License-Identifier: Apache-2.0
// The system calls of a confined daemon (seccomp(2)), by way of libseccomp.
#pragma once

#include <string_view>
#include <vector>

#include "lib/base/result.hpp"
#include "lib/confine/needs.hpp"

namespace postfathom {

// Names of those that are allowed, without conditions on their arguments: all of them are in the
// SystemCallFilter= of contrib/systemd's units. A name may be unknown on this architecture.
std::vector<std::string_view> allowed_system_calls(const Needs& needs);

// Filters those of all threads of this process, and of programs that it starts: EPERM for what is
// not allowed, ENOSYS for what this libseccomp does not know, so that libc takes an older way.
// Besides: no socket families but those of `needs`, no memory that is writable and executable, no
// namespaces.
Result<void> restrict_system_calls(const Needs& needs);

}  // namespace postfathom
