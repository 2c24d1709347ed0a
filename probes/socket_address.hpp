// SPDX-License-Identifier: Apache-2.0
// Addresses in the form that the socket calls take.
#pragma once

#include <sys/socket.h>

#include <optional>

#include "lib/destination/ip_address.hpp"

namespace postfathom {

struct SocketAddress {
    sockaddr_storage storage{};
    socklen_t length = 0;
    const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

SocketAddress socket_address(const IpAddress& address, std::uint16_t port);

// The address a socket is bound to; nothing when the kernel does not tell.
std::optional<IpAddress> local_address_of(int socket);

}  // namespace postfathom
