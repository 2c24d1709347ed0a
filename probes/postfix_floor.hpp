// SPDX-License-Identifier: Apache-2.0
// What this host's Postfix has for its deliveries, its TLS level for a next hop and its protocols:
// postconf(1) and postmap(1) are asked.
#pragma once

#include <optional>
#include <string>

#include "lib/base/units.hpp"
#include "lib/diagnosis/tls_floor.hpp"

namespace postfathom {

// Blocks while both programs run, some 10 ms each. Nothing where there is no Postfix. Uncertain
// where main.cf cannot be read, or a table cannot be asked or says what is no level: the level is
// then smtp_tls_security_level's.
std::optional<TlsFloor> postfix_tls_level(const std::string& next_hop,
                                          const std::string& own_tables_socket);

// inet_protocols: the one family that Postfix uses; nothing where it uses both, or there is no
// Postfix. Blocks as the above.
std::optional<IpFamily> postfix_family();

}  // namespace postfathom
