// SPDX-License-Identifier: Apache-2.0
// What a service manager that speaks systemd's protocols is told and asked (sd_notify(3),
// sd_listen_fds(3), sd_watchdog_enabled(3)). Without one, all of it does nothing.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace postfathom {

// `status` is one line, for `systemctl status`.
void tell_ready(std::string_view status);
// From now until tell_ready() settings are read again.
void tell_reloading();
void tell_stopping();
// "I am alive": at least as often as watchdog_interval() says, or the manager ends us.
void tell_alive();
// Half of the manager's patience, as sd_watchdog_enabled(3) advises; nothing when it has no
// watchdog.
std::optional<std::chrono::milliseconds> watchdog_interval();

// The socket that the manager has bound at `path` and passed to us: SOCK_STREAM and listening, or
// SOCK_DGRAM; non-blocking and close-on-exec, owned by the caller. Its file is the manager's and
// is not to be removed. At the start of a program, before there are threads.
std::optional<int> passed_socket(const std::string& path, int type);
// Where sockets are bound that were passed and that no setting of ours names.
std::vector<std::string> unclaimed_sockets();

}  // namespace postfathom
