// SPDX-License-Identifier: Apache-2.0
// The process at the other end of the admin socket, and the accounts of this host that the
// configuration lets in.
#pragma once

#include "lib/config/settings.hpp"
#include "probes/admin_request.hpp"

namespace postfathom {

// As the kernel noted it at connect(2): SO_PEERCRED, SO_PEERGROUPS (unix(7)). Where it does not
// tell, nobody.
AdminPeer peer_of(int socket);

// The numbers of admin.readers and admin.changers; one that this host does not have lets nobody in.
AdminRights admin_rights(const Settings::Admin& settings);

}  // namespace postfathom
