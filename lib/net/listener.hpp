// SPDX-License-Identifier: Apache-2.0
// Sockets we are asked on. A stale UNIX socket file is removed, a live one is respected.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "lib/base/result.hpp"
#include "lib/config/settings.hpp"
#include "lib/destination/ip_address.hpp"

namespace postfathom {

struct SocketPlace {
    std::string path;  // of the UNIX socket
    mode_t mode = 0660;
    std::string owner;  // user name; empty: as we are
    std::string group;  // group name; empty: as we are
    // Where the group cannot be given: our own has the bits of the mode that were for it, or none.
    bool own_group_will_do = false;
};

// "0660" -> 0660; octal digits only, at most 0777.
Result<mode_t> parse_socket_mode(const std::string& text);

// A socket whose rights the configuration has. ErrorCode::invalid_input for a mode that is none.
Result<SocketPlace> socket_place(const std::string& path, const SocketRights& rights);

// As above, for Postfix's processes, which ask as user and group postfix: that is the group where
// none is named.
Result<SocketPlace> socket_place_for_postfix(const std::string& path, const SocketRights& rights);

// The path as main.cf wants it: relative when it is below the queue directory, where Postfix's
// services find it with and without chroot; "run/postfathom/dsn.sock".
std::string as_postfix_writes(const std::string& path);

// A socket that the service manager has bound at the path is taken as it is (service_manager.hpp).

// A listening UNIX stream socket, non-blocking and close-on-exec, owned by the caller. The parent
// directory must exist. ErrorCode::refused when a live server has it; the message says what to do.
// An owner or group that it cannot be given to is a warning in the log: fewer may connect then than
// the place says, never others.
Result<int> listen_unix(const SocketPlace& place);

// A listening TCP socket, non-blocking and close-on-exec, owned by the caller.
Result<int> listen_tcp(const IpAddress& address, std::uint16_t port);

// Removes the file of a socket of ours, at the end; not that of one which the service manager keeps
// for the next of us.
void remove_socket(const std::string& path);

// Each connection costs a descriptor, and every smtpd(8) and smtp(8) process keeps one: raises the
// soft limit to the hard one.
void raise_descriptor_limit();

// A bound UNIX datagram socket, likewise.
Result<int> bind_unix_datagram(const SocketPlace& place);

}  // namespace postfathom
