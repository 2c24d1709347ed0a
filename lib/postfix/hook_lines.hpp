// SPDX-License-Identifier: Apache-2.0
// What stands in main.cf for our policy service and our milter, wherever it is said: mail goes on
// when they are down (default_action), and waits no longer for them than this when they hang.
#pragma once

#include <string>
#include <string_view>

namespace postfathom {

// One try: a second one would double what a client waits (smtpd_policy_service_try_limit).
inline std::string policy_check(std::string_view endpoint) {
    return "check_policy_service { " + std::string(endpoint) +
           ", timeout=3s, try_limit=1, default_action=DUNNO }";
}

// content_timeout, too: its default of 300 s holds the client up when we hang in a message.
inline std::string milter_entry(std::string_view endpoint) {
    return "{ " + std::string(endpoint) +
           ", connect_timeout=3s, command_timeout=5s, content_timeout=5s, default_action=accept }";
}

}  // namespace postfathom
