// SPDX-License-Identifier: Apache-2.0
// Asks the kernel for this host's TCP connections to and from mail ports (inet_diag over netlink).
// Needs no privilege; sees the network namespace it is opened in, and no other.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <set>
#include <span>
#include <vector>

#include "lib/base/descriptor.hpp"
#include "lib/base/result.hpp"
#include "probes/socket_watch.hpp"

namespace postfathom {

// Sockets with a mail port at either end, both families.
Result<std::vector<SocketSample>> sample_mail_sockets();

// What the kernel sends for one socket (struct inet_diag_msg and attributes).
std::optional<SocketSample> socket_sample_from(std::span<const std::byte> message);

// Inodes of this process's own sockets: its probes are no mail.
std::set<std::uint32_t> own_socket_inodes();

// A socket on which the kernel tells of mail connections that are destroyed, filtered by port
// before it reaches us.
Result<Descriptor> open_ended_sockets();
// What has come there; never waits.
void drain_ended_sockets(int socket, const std::function<void(const SocketSample&)>& sink);

}  // namespace postfathom
