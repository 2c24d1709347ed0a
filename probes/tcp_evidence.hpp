// SPDX-License-Identifier: Apache-2.0
// What the kernel knows of our own TCP socket (TCP_INFO, tcp(7)), as the counters of an Attempt.
#pragma once

#include <cstddef>
#include <optional>
#include <span>

#include "lib/diagnosis/evidence.hpp"

namespace postfathom {

// Nothing when the socket cannot be asked.
std::optional<TcpCounters> tcp_counters(int socket);

// From the bytes that the kernel returned. Kernels know more or fewer fields: what is beyond the
// end is 0.
TcpCounters tcp_counters_from(std::span<const std::byte> info);

// TCP options in every data segment.
constexpr std::uint32_t option_bytes(const TcpCounters& counters) {
    return counters.timestamps ? 12 : 0;
}

}  // namespace postfathom
