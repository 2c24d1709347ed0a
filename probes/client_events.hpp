// SPDX-License-Identifier: Apache-2.0
// What a line of the log tells of the network that a client came from. Pure.
#pragma once

#include <optional>

#include "lib/diagnosis/client.hpp"
#include "lib/mail_log/server_lines.hpp"

namespace postfathom {

// Failed handshakes, and messages that did not arrive: of smtpd(8), of tlsproxy(8) for
// postscreen(8), and of Dovecot's login processes. A fault has several lines, of which one counts.
// Sessions that went well are the milter's to count.
std::optional<ClientSeen> client_seen(const ServerEvent& event);

}  // namespace postfathom
