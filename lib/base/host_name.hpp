// SPDX-License-Identifier: Apache-2.0
// What this host calls itself.
#pragma once

#include <string>

namespace postfathom {

// gethostname(2), printable; "localhost" when the host has no name.
std::string host_name();

}  // namespace postfathom
