// SPDX-License-Identifier: Apache-2.0
// Asks postconf(1) for Postfix's configuration. The only place that does.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "lib/postfix/configuration.hpp"

namespace postfathom {

enum class PostfixNames { expanded, as_written };  // "$myhostname" as its value, or as it is

// All parameters, and the services. `directory` as for `postconf -c`; empty: Postfix's own.
// ErrorCode::not_found where there is no Postfix.
Result<PostfixConfiguration> read_postfix(const std::string& directory, PostfixNames names);

// What `postconf [-c DIRECTORY] WORDS...` prints.
Result<std::string> postconf(const std::string& directory, const std::vector<std::string>& words);

// What `postmap [-c DIRECTORY] -q KEY TABLE` prints, in at most five seconds; nothing when the
// table does not have the key. Errors are the table's.
Result<std::optional<std::string>> postmap(const std::string& directory, const std::string& table,
                                           const std::string& key);

}  // namespace postfathom
