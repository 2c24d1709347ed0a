// SPDX-License-Identifier: Apache-2.0
// Whether somebody listens on a daemon's socket.
#pragma once

#include <string>

#include "lib/base/descriptor.hpp"

namespace postfathom {

struct DaemonSocket {
    Descriptor connection;
    int error = 0;  // errno of socket(2) or connect(2); 0: connected

    // A daemon that hangs has a full backlog (EAGAIN), and is there.
    bool listens() const;
};

// `type`: SOCK_STREAM or SOCK_DGRAM. Never waits. ENAMETOOLONG for a path that no socket can have.
DaemonSocket connect_to_daemon(const std::string& path, int type);

}  // namespace postfathom
