// SPDX-License-Identifier: Apache-2.0
// The TLS level that this host's Postfix has for a next hop: postconf(1) and postmap(1) are asked.
#pragma once

#include <optional>
#include <string>

#include "lib/diagnosis/tls_floor.hpp"

namespace postfathom {

// Blocks while both programs run, some 10 ms each. Nothing where there is no Postfix, or a table
// cannot be asked: then nothing is known, rather than a level that may be too low.
std::optional<TlsLevel> postfix_tls_level(const std::string& next_hop,
                                          const std::string& own_tables_socket);

}  // namespace postfathom
