// SPDX-License-Identifier: Apache-2.0
// When to call a handshake stalled, from snapshots of the socket's counters. Pure.
//
// A server's flight of certificates fills several packets. If those above some size vanish, its
// last, smaller one still arrives, out of order, one round trip after our ClientHello: a gap that
// shows long before any timer. Without such a tail only the repeats of the server's retransmission
// clock can be waited for.
#pragma once

#include <chrono>
#include <optional>

#include "lib/diagnosis/evidence.hpp"

namespace postfathom {

// Seconds after the acknowledgement of our data by which a Linux peer has sent `copies` copies of a
// segment that is lost each time while a later one arrives, and one copy fewer when nothing does
// (measured with round trips from 2 to 300 ms): the first repeat comes after 1.3 round trips or a
// timeout, and the timeout doubles. `timeout`: our own kernel's for this path, which knows more of
// how the round trip varies; 0: unknown.
double copies_sent_after(std::uint32_t copies, double round_trip, double timeout = 0);

class StallRule {
  public:
    using Time = std::chrono::steady_clock::time_point;

    // `before`: counters when the ClientHello is about to be sent. `allowed`: largest packet that
    // the server can send us. `patience`: never give up in silence before (a first attempt that is
    // alone has to allow for peers whose timer starts at one second, RFC 6298 section 2). `copies`:
    // so many of the missing head must have been sent before a gap counts.
    StallRule(const TcpCounters& before, Time now, PathMtu allowed, IpFamily family,
              std::chrono::duration<double> patience, std::uint32_t copies = 2);

    // A snapshot. Says when the flight has to be called stalled, and how it looks.
    std::optional<StallShape> observe(const TcpCounters& counters, Time now);

    // A packet as large as allowed arrived, in order or not: the path carries that size.
    bool full_size_arrived() const { return full_size_; }

    // Largest packet that was seen; 0 when no data came.
    PathMtu largest_received() const;

    std::uint32_t segments_in() const { return last_.data_segments_in - before_.data_segments_in; }

  private:
    double sent_after(std::uint32_t copies) const;
    void note_arrivals(const TcpCounters& counters, Time now);
    std::optional<StallShape> judge_gap(Time now) const;
    std::optional<StallShape> judge_silence(Time now) const;

    TcpCounters before_;
    TcpCounters last_;
    Time sent_;
    std::uint32_t full_payload_;
    std::uint32_t overhead_;
    std::chrono::duration<double> patience_;
    std::uint32_t copies_;
    std::uint32_t largest_payload_ = 0;
    std::optional<Time> gap_since_;
    std::optional<Time> acked_since_;
    Time progress_;
    bool full_size_ = false;
};

}  // namespace postfathom
