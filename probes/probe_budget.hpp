// SPDX-License-Identifier: Apache-2.0
// What each server has borne of our probes lately, and how long it asked to be left alone. Pure:
// the time goes in with every call. Bounded: a server that does not fit in any more has nothing
// left.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <unordered_map>
#include <vector>

#include "lib/destination/ip_address.hpp"

namespace postfathom {

class ProbeBudget {
  public:
    using Time = std::chrono::steady_clock::time_point;
    using Duration = std::chrono::steady_clock::duration;

    struct Limits {
        // To one address, on whatever port: the server counts by our address, not by its port.
        std::uint32_t connections = 8;
        std::uint32_t aborted = 4;  // of them, left in the middle of a handshake
        Duration window = std::chrono::minutes{10};
        Duration back_off = std::chrono::minutes{10};
        Duration longest_back_off = std::chrono::hours{4};
        std::size_t addresses = 20'000;
    };

    struct Left {
        std::uint32_t connections = 0;
        std::uint32_t aborted = 0;
        bool operator==(const Left&) const = default;
    };

    // What a probe needs to tell a black hole from chance: two that fail, one that passes. With
    // less it is not begun.
    static constexpr Left least{3, 2};

    explicit ProbeBudget(const Limits& limits) : limits_(limits) {}

    void set_limits(const Limits& limits) { limits_ = limits; }
    const Limits& limits() const { return limits_; }

    Left left(const IpAddress& address, Time now) const;
    bool enough(const IpAddress& address, Time now) const;
    // When enough() holds again, if nothing else is booked; `now` when it does already.
    Time enough_at(const IpAddress& address, Time now) const;
    // When nothing is booked any more.
    Time unused_at(const IpAddress& address, Time now) const;

    void book(const IpAddress& address, std::uint32_t connections, std::uint32_t aborted, Time now);

    // Servers of which nothing matters any more make room; once a minute, since it looks at all.
    void forget_what_is_over(Time now);

    // The server asked us to come again later. Each time in a row the pause is twice as long.
    void told_to_go(const IpAddress& address, Time now);
    // It talked to us: the next pause is the first one again.
    void welcomed(const IpAddress& address);
    // Until when it is to be left alone.
    std::optional<Time> backing_off(const IpAddress& address, Time now) const;

    // True once for each `until`: so that the log has one line for it, however many next hops share
    // the server.
    bool announce(const IpAddress& address, Time until);

    std::size_t addresses() const { return entries_.size(); }

  private:
    struct Booking {
        Time at;
        std::uint32_t connections = 0;
        std::uint32_t aborted = 0;
    };
    struct Entry {
        std::vector<Booking> bookings;  // oldest first
        Time alone_until{};
        std::uint32_t asked_in_a_row = 0;
        Time announced{};
    };
    struct Hash {
        std::size_t operator()(const IpAddress& address) const;
    };

    Left left(const Entry& entry, Time now) const;
    bool over(const Entry& entry, Time now) const;
    void sweep(Time now);
    Entry* entry_for(const IpAddress& address, Time now);

    Limits limits_;
    std::unordered_map<IpAddress, Entry, Hash> entries_;
    Time forgot_at_{};
};

}  // namespace postfathom
