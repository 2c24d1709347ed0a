// SPDX-License-Identifier: Apache-2.0
#include "cli/daemon_socket.hpp"

#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>

namespace postfathom {

bool DaemonSocket::listens() const { return error == 0 || error == EAGAIN; }

DaemonSocket connect_to_daemon(const std::string& path, int type) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.empty()) return {Descriptor(), ENOENT};
    if (path.size() >= sizeof address.sun_path) return {Descriptor(), ENAMETOOLONG};
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    Descriptor connection(::socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    // The sockets API has one type for all addresses.
    const auto* generic = reinterpret_cast<const sockaddr*>(&address);
    const bool connected = connection && ::connect(connection.get(), generic, sizeof address) == 0;
    const int error = connected ? 0 : errno;
    return {std::move(connection), error};
}

}  // namespace postfathom
