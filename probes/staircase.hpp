// SPDX-License-Identifier: Apache-2.0
// One flight towards the server to learn the outbound path MTU: a long ClientHello, cut into
// segments of rising size with small control segments behind the large ones. Which segments to
// send, and what the socket's counters say of them. Pure.
//
// Behind a hole the small prefix is acknowledged, of the rest the controls alone are selectively
// acknowledged, and the repeats of the large ones do not help. Loss looks different: something
// larger is acknowledged too, or a repeat gets through.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <vector>

#include "lib/base/units.hpp"
#include "lib/diagnosis/evidence.hpp"

namespace postfathom {

struct Step {
    PathMtu size;  // of the whole packet
    bool control = false;
    bool operator==(const Step&) const = default;
};

// What a connection allows.
struct FlightLimits {
    IpFamily family = IpFamily::v4;
    std::uint32_t option_bytes = 12;  // TCP options in every data segment
    PathMtu largest;                  // packet that the route and the server's MSS let us send
    std::uint32_t window = 10;        // segments that may be sent at once (RFC 6928)
    // Nothing was sent on this connection before, as with implicit TLS: small segments go first.
    bool first_words = false;
    // Acknowledgements come while we still send.
    bool near = false;
};

// What is known when a flight is planned.
struct StairKnown {
    std::optional<PathMtu> passes;  // largest packet that arrived
    std::optional<PathMtu> fails;   // smallest above it that did not
    // Where the boundary is likely: the other direction's, or what an earlier probe found.
    std::vector<PathMtu> hints;
    bool tried_next = false;  // passes + 1 was sent already
};

constexpr std::uint32_t payload_of(const Step& step, const FlightLimits& limits) {
    const auto overhead = header_bytes(limits.family) + limits.option_bytes;
    return step.size.bytes > overhead ? step.size.bytes - overhead : 0;
}

// Bytes of the ClientHello that the steps carry.
std::uint32_t hello_bytes_of(const std::vector<Step>& steps, const FlightLimits& limits);

// Without a known failure the plateaus that occur in practice up to the largest packet; with one
// the sizes in between, the known boundary among them; when only one byte is between, that one
// many times. Empty when there is nothing to send.
std::vector<Step> staircase(const FlightLimits& limits, const StairKnown& known);

// The largest size several times: to show that a handshake completes under this limit.
std::vector<Step> proof_steps(const FlightLimits& limits);

// What becomes of the segments of one flight, from snapshots of the counters.
class FlightJudge {
  public:
    using Time = std::chrono::steady_clock::time_point;

    // Segments that were acknowledged and lost before, which speak for what small packets meet.
    struct Small {
        std::uint32_t acked = 0;
        std::uint32_t lost = 0;
    };

    // `before`: counters when the first segment is about to be sent.
    FlightJudge(std::vector<Step> steps, const FlightLimits& limits, const TcpCounters& before,
                Time now, Small small);

    void observe(const TcpCounters& counters, Time now);

    // What there is to say at `now`, as far as the steps go: shape, passes, fails, the counts.
    // `hole` is said only when what is missing has been missing for long enough.
    OutboundFlight flight(Time now) const;

    // All of it was acknowledged.
    bool complete() const { return acked_ == steps_.size(); }
    // Nothing has changed for so long that waiting on gains nothing.
    bool given_up(Time now) const;

  private:
    std::chrono::duration<double> aged() const;
    struct Repeats {
        std::uint32_t all = 0;
        std::uint32_t of_first = 0;  // by the retransmission timer, which repeats the first missing
    };
    Repeats repeats_aged(Time now) const;
    FlightShape shape(Time now) const;
    std::vector<Step> missing() const;  // of those that are on their way

    struct Snapshot {
        Time time;
        Repeats repeats;
    };

    std::vector<Step> steps_;
    FlightLimits limits_;
    TcpCounters before_;
    TcpCounters last_;
    Small small_;
    std::size_t acked_ = 0;      // steps
    std::size_t originals_ = 0;  // steps that were sent; loss can hold back the rest
    Time sent_;
    Time progress_;  // when an acknowledgement last said something new
    // Repeats up to then that may have been of segments that arrived in the end.
    std::uint32_t repaired_ = 0;
    std::vector<Snapshot> history_;
    bool shrunk_ = false;  // the kernel believes in a smaller path MTU now
    bool torn_ = false;    // the segments are not what was sent
};

}  // namespace postfathom
