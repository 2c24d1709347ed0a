// SPDX-License-Identifier: Apache-2.0
#include "probes/stall_rule.hpp"

#include <algorithm>

#include "probes/tcp_evidence.hpp"

namespace postfathom {

namespace {

using Seconds = std::chrono::duration<double>;

// Linux starts tcpi_rcv_mss here and raises it with the first larger segment.
constexpr std::uint32_t initial_received_mss = 536;

// What silence stands for: see copies_sent() in path_mtu_search.hpp.
constexpr std::uint32_t silent_copies = 3;

}  // namespace

double copies_sent_after(std::uint32_t copies, double round_trip, double timeout) {
    const auto first_timeout = std::max({round_trip + 0.2, 3 * round_trip, timeout});
    const auto timeouts = copies < 2 ? 0 : (1U << std::min(copies - 2, 16U)) - 1;
    return 1.3 * round_trip + 1.1 * timeouts * first_timeout;
}

StallRule::StallRule(const TcpCounters& before, Time now, PathMtu allowed, IpFamily family,
                     std::chrono::duration<double> patience, std::uint32_t copies)
    : before_(before),
      last_(before),
      sent_(now),
      full_payload_(mss_for(allowed, family).bytes -
                    std::min(mss_for(allowed, family).bytes - 1, option_bytes(before))),
      overhead_(header_bytes(family) + option_bytes(before)),
      patience_(patience),
      copies_(copies),
      progress_(now) {
    note_arrivals(before, now);
}

namespace {

double round_trip(const TcpCounters& counters) {
    return static_cast<double>(counters.rtt_microseconds) / 1e6;
}

}  // namespace

// The timeout as it was before anything could stall: while ours runs, it doubles.
double StallRule::sent_after(std::uint32_t copies) const {
    return copies_sent_after(
        copies, round_trip(last_),
        static_cast<double>(before_.retransmission_timeout_microseconds) / 1e6);
}

void StallRule::note_arrivals(const TcpCounters& counters, Time now) {
    if (counters.received_mss > initial_received_mss)
        largest_payload_ = std::max(largest_payload_, counters.received_mss);
    if (counters.data_segments_in > 0 && counters.bytes_received > 0) {
        // At least one segment in order was as large as the average.
        const auto average = static_cast<std::uint32_t>(std::min<std::uint64_t>(
            (counters.bytes_received + counters.data_segments_in - 1) / counters.data_segments_in,
            full_payload_));
        largest_payload_ = std::max(largest_payload_, average);
    }
    const auto flight = counters.bytes_received - before_.bytes_received;
    // Below the kernel's initial value tcpi_rcv_mss proves nothing, but that many bytes in order
    // do.
    full_size_ =
        full_size_ || (full_payload_ > initial_received_mss ? counters.received_mss >= full_payload_
                                                            : flight >= full_payload_);
    if (full_size_) largest_payload_ = std::max(largest_payload_, full_payload_);

    if (counters.bytes_received > last_.bytes_received) {
        progress_ = now;
        // What was missing may have come; a gap that stays shows itself again in new segments or
        // in silence.
        gap_since_.reset();
    }
    if (counters.out_of_order_segments > last_.out_of_order_segments) gap_since_ = now;
    if (!acked_since_ && counters.unacked_segments == 0 &&
        counters.bytes_acked > before_.bytes_acked)
        acked_since_ = now;
    last_ = counters;
}

std::optional<StallShape> StallRule::judge_gap(Time now) const {
    if (!gap_since_) return std::nullopt;
    const Seconds waited = now - std::max(*gap_since_, progress_);
    // By then a peer with selective acknowledgements (RFC 2018, RFC 8985) has repeated the head
    // once.
    const double once_more = 1.5 * round_trip(last_) + 0.020;
    if (waited.count() < (copies_ > 2 ? sent_after(copies_) : once_more)) return std::nullopt;
    return StallShape::gap;
}

std::optional<StallShape> StallRule::judge_silence(Time now) const {
    const auto since = std::max(acked_since_.value_or(sent_), progress_);
    const Seconds waited = now - since;
    const Seconds limit = std::max(Seconds(sent_after(silent_copies + 1)), patience_);
    if (waited < limit) return std::nullopt;
    if (!acked_since_)
        return last_.window_closed ? StallShape::window_closed : StallShape::hello_unacked;
    if (last_.out_of_order_segments > before_.out_of_order_segments) return StallShape::gap;
    if (last_.dsack_duplicates > before_.dsack_duplicates) return StallShape::lost_reply;
    // Part of the flight came in order and the rest did not: nothing shows what happened to it.
    return StallShape::silent_acked;
}

std::optional<StallShape> StallRule::observe(const TcpCounters& counters, Time now) {
    note_arrivals(counters, now);
    if (full_size_) return std::nullopt;
    if (const auto gap = judge_gap(now)) return gap;
    return judge_silence(now);
}

PathMtu StallRule::largest_received() const {
    return PathMtu{largest_payload_ == 0 ? 0 : largest_payload_ + overhead_};
}

}  // namespace postfathom
