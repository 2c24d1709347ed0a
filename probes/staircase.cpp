// SPDX-License-Identifier: Apache-2.0
#include "probes/staircase.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "probes/tls_session.hpp"

namespace postfathom {

namespace {

using Seconds = std::chrono::duration<double>;

// Every IPv4 host takes it (RFC 791 section 3.1); the MSS of an IPv6 path may be as small.
constexpr PathMtu lowest{576};
// Stands where a small size is wanted that surely passes: what every IPv6 link carries (RFC 8200
// section 5) and hardly an IPv4 path in use does not.
constexpr PathMtu ordinary{1280};
constexpr std::uint32_t control_payload = 100;
constexpr std::uint32_t largest_window = 10;

// Where paths commonly end, the most telling first: PPPoE, WireGuard, IPsec, IP in IP, ...
constexpr std::array common_sizes{PathMtu{1492}, PathMtu{1420}, PathMtu{1400}, PathMtu{1280},
                                  PathMtu{1480}, PathMtu{1454}, PathMtu{1440}, PathMtu{1460}};

bool is_plateau(PathMtu size) {
    return size == ethernet_mtu ||
           std::find(common_sizes.begin(), common_sizes.end(), size) != common_sizes.end();
}

// Takes sizes in order of importance as long as there is room.
class FlightSizes {
  public:
    FlightSizes(const FlightLimits& limits, std::uint32_t controls)
        : limits_(limits),
          control_{PathMtu{header_bytes(limits.family) + limits.option_bytes + control_payload},
                   true},
          slots_(std::min(limits.window, largest_window)),
          bytes_(controls * control_payload) {
        slots_ -= std::min(slots_, controls);
    }

    void want(PathMtu size, std::uint32_t times = 1) {
        if (size > limits_.largest) return;
        const auto payload = payload_of({size}, limits_);
        for (; times > 0; --times) {
            if (sizes_.size() >= slots_ || bytes_ + payload > TlsSession::largest_hello) return;
            sizes_.push_back(size);
            bytes_ += payload;
        }
    }

    std::uint32_t slots_left() const { return slots_ - static_cast<std::uint32_t>(sizes_.size()); }

    // Ascending, with one control behind all, and one in the middle when there is room for two: a
    // burst of losses takes a control along. `leading` controls come first.
    std::vector<Step> steps(std::uint32_t leading, bool in_the_middle) {
        std::sort(sizes_.begin(), sizes_.end());
        std::vector<Step> result(leading, control_);
        for (const auto size : sizes_) result.push_back({size});
        const auto upper_half = static_cast<std::ptrdiff_t>(leading + (sizes_.size() + 1) / 2);
        if (in_the_middle) result.insert(result.begin() + upper_half, control_);
        result.push_back(control_);
        return result;
    }

  private:
    const FlightLimits& limits_;
    Step control_;
    std::uint32_t slots_;
    std::uint32_t bytes_;
    std::vector<PathMtu> sizes_;
};

void want_first_look(FlightSizes& flight, const FlightLimits& limits, const StairKnown& known) {
    const auto top = limits.largest;
    flight.want(top);
    if (known.passes) flight.want(*known.passes);
    for (const auto hint : known.hints) {
        if (hint >= top) continue;
        flight.want(hint);
        flight.want(PathMtu{hint.bytes + 1});
    }
    if (top > ethernet_mtu) {
        // Jumbo frames end at Ethernet, where they end.
        flight.want(ethernet_mtu);
        flight.want(PathMtu{ethernet_mtu.bytes + 1});
    }
    if (known.passes && *known.passes > ordinary) {
        flight.want(top, 3);
        return;
    }
    std::size_t taken = 0;
    for (const auto plateau : common_sizes) {
        const bool repeat = taken++ == 4;
        if (repeat) flight.want(top);
        if (plateau < top) flight.want(plateau);
    }
    flight.want(top, 2);
}

// One byte decides: that size many times, and the one below it.
void want_boundary(FlightSizes& flight, PathMtu passes, PathMtu fails) {
    flight.want(fails, 2);
    flight.want(passes);
    flight.want(fails, 4);
    flight.want(std::min(ordinary, passes), 8);
}

// Sizes in between at equal distances, the middle first.
void want_between(FlightSizes& flight, PathMtu passes, PathMtu fails, std::uint32_t most) {
    const auto points = std::min(most, fails.bytes - passes.bytes - 1);
    std::vector<PathMtu> sizes;
    for (std::uint32_t i = 1; i <= points; ++i)
        sizes.push_back(PathMtu{passes.bytes + (fails.bytes - passes.bytes) * i / (points + 1)});
    const auto distance_from_middle = [&](PathMtu size) {
        const auto doubled = 2 * static_cast<std::int64_t>(size.bytes) - passes.bytes - fails.bytes;
        return doubled < 0 ? -doubled : doubled;
    };
    std::stable_sort(sizes.begin(), sizes.end(), [&](PathMtu a, PathMtu b) {
        return distance_from_middle(a) < distance_from_middle(b);
    });
    for (const auto size : sizes) flight.want(size);
}

void want_bisection(FlightSizes& flight, const StairKnown& known) {
    const auto fails = *known.fails;
    const auto passes = known.passes.value_or(lowest);
    if (!known.passes) flight.want(lowest, 2);
    const PathMtu next{passes.bytes + 1};
    // Of jumbo sizes few fit into one ClientHello: what divides the range best comes first.
    want_between(flight, passes, fails, 4);
    flight.want(passes);
    flight.want(next);
    // Where little is lost the repeats have to be waited for.
    flight.want(fails, 2);
    want_between(flight, next, fails, flight.slots_left());
    flight.want(fails, 2);
    flight.want(ordinary, 8);
}

// Whether the size that passes is probably the boundary.
bool likely(const StairKnown& known) {
    return known.passes && !known.tried_next &&
           (is_plateau(*known.passes) ||
            std::find(known.hints.begin(), known.hints.end(), *known.passes) != known.hints.end());
}

std::uint32_t choices(std::uint32_t from, std::uint32_t count) {
    double result = 1;
    for (std::uint32_t i = 0; i < std::min(count, from); ++i)
        result = result * (from - i) / (i + 1);
    return std::max(1U, static_cast<std::uint32_t>(std::llround(std::min(result, 4e9))));
}

}  // namespace

std::uint32_t hello_bytes_of(const std::vector<Step>& steps, const FlightLimits& limits) {
    std::uint32_t bytes = 0;
    for (const auto& step : steps) bytes += payload_of(step, limits);
    return bytes;
}

std::vector<Step> staircase(const FlightLimits& limits, const StairKnown& known) {
    const bool first_look = !known.fails || *known.fails > limits.largest;
    const bool adjacent =
        known.passes && known.fails && known.fails->bytes <= known.passes->bytes + 1;
    const bool boundary = !first_look && (adjacent || likely(known));
    if (limits.largest < lowest || (!first_look && !adjacent && *known.fails <= lowest)) return {};
    // A selective acknowledgement in the middle makes a near sender hold back what follows.
    const bool in_the_middle = first_look && !limits.near;
    const std::uint32_t leading = limits.first_words || boundary ? 2 : 0;
    const std::uint32_t controls = leading + (in_the_middle ? 2 : 1);
    if (limits.window < controls + 2) return {};
    FlightSizes flight(limits, controls);
    if (first_look)
        want_first_look(flight, limits, known);
    else if (boundary)
        want_boundary(flight, *known.passes, PathMtu{known.passes->bytes + 1});
    else
        want_bisection(flight, known);
    return flight.steps(leading, in_the_middle);
}

std::vector<Step> proof_steps(const FlightLimits& limits) {
    FlightSizes flight(limits, 1);
    flight.want(limits.largest, 3);
    return flight.steps(0, false);
}

FlightJudge::FlightJudge(std::vector<Step> steps, const FlightLimits& limits,
                         const TcpCounters& before, Time now, Small small)
    : steps_(std::move(steps)),
      limits_(limits),
      before_(before),
      last_(before),
      small_(small),
      sent_(now),
      progress_(now) {}

// By then an acknowledgement has had the time to come.
Seconds FlightJudge::aged() const { return Seconds(1.5 * last_.rtt_microseconds / 1e6 + 0.020); }

void FlightJudge::observe(const TcpCounters& counters, Time now) {
    shrunk_ = shrunk_ || counters.path_mtu < before_.path_mtu;
    const auto repeats = counters.retransmits_total - before_.retransmits_total;
    const auto out = counters.data_segments_out - before_.data_segments_out;
    originals_ = std::max<std::size_t>(originals_, out - std::min(out, repeats));
    // The kernel gave up large packets by itself (sysctl net.ipv4.tcp_mtu_probing), or cut
    // otherwise.
    torn_ =
        torn_ || (!shrunk_ && (counters.send_mss < before_.send_mss || originals_ > steps_.size()));
    auto bytes = counters.bytes_acked - std::min(counters.bytes_acked, before_.bytes_acked);
    std::size_t acked = 0;
    while (acked < steps_.size() && payload_of(steps_[acked], limits_) <= bytes)
        bytes -= payload_of(steps_[acked++], limits_);
    torn_ = torn_ || (bytes > 0 && !shrunk_);

    if (acked > acked_ || counters.sacked_segments != last_.sacked_segments) {
        progress_ = now;
        // Repeats that are not on the way any more were acknowledged, or given up.
        repaired_ = repeats - std::min(repeats, counters.retransmits_outstanding);
    }
    acked_ = std::max(acked_, acked);
    if (history_.empty() || history_.back().repeats.all != repeats)
        history_.push_back({now, {repeats, counters.timeouts}});
    last_ = counters;
}

std::vector<Step> FlightJudge::missing() const {
    const auto end = std::clamp(originals_, acked_, steps_.size());
    return {steps_.begin() + static_cast<std::ptrdiff_t>(acked_),
            steps_.begin() + static_cast<std::ptrdiff_t>(end)};
}

// Repeats of what is missing, old enough to have been answered.
FlightJudge::Repeats FlightJudge::repeats_aged(Time now) const {
    Repeats repeats;
    for (const auto& snapshot : history_)
        if (now - snapshot.time >= aged()) repeats = snapshot.repeats;
    repeats.all -= std::min(repeats.all, repaired_);
    repeats.of_first = std::min(repeats.of_first, repeats.all);
    return repeats;
}

FlightShape FlightJudge::shape(Time now) const {
    if (shrunk_) return FlightShape::shrunk;
    if (torn_) return FlightShape::unjudged;
    if (complete()) return FlightShape::complete;
    const auto rest = missing();
    // Not sent yet, or the connection is over.
    if (rest.empty() || last_.unacked_segments != rest.size()) return FlightShape::unjudged;
    const auto controls = static_cast<std::uint32_t>(
        std::count_if(rest.begin(), rest.end(), [](const Step& step) { return step.control; }));
    const bool repeated_size =
        acked_ > 0 && !steps_[acked_ - 1].control && steps_[acked_ - 1].size >= rest.front().size;
    if (last_.sacked_segments > controls || rest.front().control || repeated_size)
        return last_.sacked_segments > 0 ? FlightShape::scattered : FlightShape::unjudged;
    // Nothing at all behind what is missing shows nothing.
    if (last_.sacked_segments == 0 || now - progress_ < aged()) return FlightShape::unjudged;
    return FlightShape::hole;
}

OutboundFlight FlightJudge::flight(Time now) const {
    OutboundFlight flight;
    flight.shape = shape(now);
    for (const auto& step : steps_) flight.sent.push_back(step.size);
    for (std::size_t i = 0; i < acked_; ++i)
        if (!steps_[i].control)
            flight.passes = std::max(flight.passes, std::optional{steps_[i].size});
    flight.seconds = Seconds(now - sent_).count();
    flight.path_mtu_before = PathMtu{before_.path_mtu};
    flight.path_mtu_after = PathMtu{last_.path_mtu};
    flight.hello_bytes = hello_bytes_of(steps_, limits_);
    flight.counters = last_;
    flight.small_acked = small_.acked + static_cast<std::uint32_t>(acked_);
    flight.small_lost = small_.lost + repaired_;
    // What was sent after "too big" came was cut anew to the size that the kernel believes in.
    if (shrunk_) {
        flight.passes.reset();
        if (complete()) flight.passes = flight.path_mtu_after;
    }
    if (flight.shape != FlightShape::hole) return flight;

    const auto rest = missing();
    flight.fails = rest.front().size;
    std::uint32_t large = 0;
    std::uint32_t at_boundary = 0;
    std::uint32_t controls = 0;
    for (const auto& step : rest) {
        if (step.control)
            ++controls;
        else
            ++large;
        if (step.size == *flight.fails) ++at_boundary;
    }
    flight.small_acked += last_.sacked_segments;
    flight.small_lost += controls - last_.sacked_segments;
    const auto repeats = repeats_aged(now);
    flight.large_lost = large + repeats.all;
    flight.fails_lost =
        at_boundary * (1 + (repeats.all - repeats.of_first) / large) + repeats.of_first;
    flight.readings = choices(static_cast<std::uint32_t>(rest.size()) - 1, last_.sacked_segments);
    return flight;
}

bool FlightJudge::given_up(Time now) const {
    // Loss is repaired in the end, though the timer doubles each time.
    constexpr Seconds patience_with_loss{6};
    constexpr Seconds patience{2.5};
    const bool loss = shape(now) == FlightShape::scattered || shrunk_;
    const Seconds waited = now - progress_;
    return torn_ || waited > std::max(8 * aged(), loss ? patience_with_loss : patience);
}

}  // namespace postfathom
