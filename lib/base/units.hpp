// SPDX-License-Identifier: Apache-2.0
// Numbers with a meaning. A packet size, a segment size and a port cannot be mixed up.
#pragma once

#include <chrono>
#include <compare>
#include <cstdint>
#include <limits>
#include <string>

namespace postfathom {

enum class IpFamily { v4, v6 };

// Size in bytes of a whole IP packet: IPv4 total length, IPv6 payload length + 40.
struct PathMtu {
    std::uint32_t bytes = 0;
    auto operator<=>(const PathMtu&) const = default;
};

// TCP maximum segment size in bytes, without IP and TCP headers and without options (RFC
// 9293 3.7.1).
struct Mss {
    std::uint32_t bytes = 0;
    auto operator<=>(const Mss&) const = default;
};

// IP header plus TCP header, without options: 40 for IPv4, 60 for IPv6.
constexpr std::uint32_t header_bytes(IpFamily family) { return family == IpFamily::v4 ? 40 : 60; }

constexpr Mss mss_for(PathMtu mtu, IpFamily family) {
    const auto headers = header_bytes(family);
    return Mss{mtu.bytes > headers ? mtu.bytes - headers : 0};
}

constexpr PathMtu path_mtu_for(Mss mss, IpFamily family) {
    return PathMtu{mss.bytes + header_bytes(family)};
}

// What Ethernet carries without jumbo frames (RFC 894).
inline constexpr PathMtu ethernet_mtu{1500};

static_assert(mss_for(PathMtu{1500}, IpFamily::v4) == Mss{1460});
static_assert(mss_for(PathMtu{1500}, IpFamily::v6) == Mss{1440});

// Counters that are summed stay at the largest rather than begin anew.
constexpr std::uint32_t saturating_add(std::uint32_t a, std::uint32_t b) {
    const auto limit = std::numeric_limits<std::uint32_t>::max();
    return b > limit - a ? limit : a + b;
}

// Wall-clock time, for records and reports. Deadlines use std::chrono::steady_clock.
using WallTime = std::chrono::sys_time<std::chrono::milliseconds>;

// Durations in evidence and reports.
using Millis = std::chrono::milliseconds;

WallTime wall_now();

// RFC 3339 in UTC with whole seconds: 2026-11-23T04:16:11Z.
std::string to_rfc3339(WallTime time);

}  // namespace postfathom
