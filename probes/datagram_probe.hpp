// SPDX-License-Identifier: Apache-2.0
// Datagrams of exact sizes that may not be fragmented, around what TCP found, as tracepath(8) sends
// them: UDP to a closed port and, where ping sockets are allowed (net.ipv4.ping_group_range), ICMP
// echo. They tell which router says "too big" and whether its word reaches us. They corroborate and
// never decide: many hosts answer none of them.
#pragma once

#include <sys/socket.h>

#include <optional>
#include <vector>

#include "probes/endpoint_run.hpp"

namespace postfathom {

// The sizes worth sending after what TCP found, the one that surely passes first; none when nothing
// was found ill or reduced.
std::vector<PathMtu> datagram_sizes(const Evidence& evidence);

// What an error queue's message says (recvmsg(2) with MSG_ERRQUEUE), or nothing when it is not
// about our datagram.
struct DatagramError {
    DatagramOutcome outcome = DatagramOutcome::silent;
    std::optional<PathMtu> reported;
    std::optional<IpAddress> router;
};
std::optional<DatagramError> datagram_error(const msghdr& message, const IpAddress& destination,
                                            std::optional<PathMtu> interface_mtu);

// Sends them, at most ten, and adds to evidence.datagrams. Does nothing where datagram_sizes() has
// nothing.
asio::awaitable<void> send_datagrams(EndpointRun& run);

}  // namespace postfathom
