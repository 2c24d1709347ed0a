// SPDX-License-Identifier: Apache-2.0
// Users and groups of this host by name (getpwnam(3), getgrnam(3)).
#pragma once

#include <sys/types.h>

#include <string>

#include "lib/base/result.hpp"

namespace postfathom {

// ErrorCode::not_found when there is none of that name; the message says what to do.
Result<uid_t> user_number(const std::string& name);
Result<gid_t> group_number(const std::string& name);

// The user's name, else its number.
std::string user_name(uid_t user);

}  // namespace postfathom
