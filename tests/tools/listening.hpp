// SPDX-License-Identifier: Apache-2.0
// A listening TCP socket for the programs of tests.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstdint>
#include <string>

// -1 with errno when it cannot be had.
inline int listen_on(const std::string& address, int port) {
    sockaddr_in6 v6{};
    sockaddr_in v4{};
    const bool six = ::inet_pton(AF_INET6, address.c_str(), &v6.sin6_addr) == 1;
    if (!six && ::inet_pton(AF_INET, address.c_str(), &v4.sin_addr) != 1) {
        errno = EINVAL;
        return -1;
    }
    const int listener = ::socket(six ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int on = 1;
    ::setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    v6.sin6_family = AF_INET6;
    v4.sin_family = AF_INET;
    v6.sin6_port = v4.sin_port = htons(static_cast<std::uint16_t>(port));
    const auto* where =
        six ? reinterpret_cast<const sockaddr*>(&v6) : reinterpret_cast<const sockaddr*>(&v4);
    if (::bind(listener, where, six ? sizeof v6 : sizeof v4) != 0 || ::listen(listener, 64) != 0)
        return -1;
    return listener;
}
