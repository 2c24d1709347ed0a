// SPDX-License-Identifier: Apache-2.0
// Landlock by its system calls: libc has no wrappers, and the headers of Debian 12 know ABI 2 only,
// while its backported kernels know more.
#pragma once

#include "lib/base/result.hpp"
#include "lib/confine/needs.hpp"

namespace postfathom {

// The kernel's version of the interface, from 1; 0: it has none, or it is switched off.
int landlock_abi();

// Confines this thread, and those that it starts, to `needs`, as far as `abi` goes. Needs
// PR_SET_NO_NEW_PRIVS. The number of places that may be reached.
Result<std::size_t> restrict_files_and_ports(const Needs& needs, int abi);

}  // namespace postfathom
