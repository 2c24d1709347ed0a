// SPDX-License-Identifier: Apache-2.0
// A TCP sender with selective acknowledgements over a path that loses packets by size and by
// chance, as far as its counters show it: RFC 2018, 8985 (RACK) and 6298, the way Linux does them.
#pragma once

#include <algorithm>
#include <chrono>
#include <map>
#include <random>
#include <vector>

#include "probes/outbound_search.hpp"

namespace postfathom::test {

struct LossyPath {
    std::uint32_t mtu = 1500;
    double loss = 0;  // in each direction
    // Bursts: with `into_bad` per packet the path turns bad and loses nearly everything, until
    // `out_of_bad`.
    double into_bad = 0;
    double out_of_bad = 0.2;
    bool bad = false;
    std::mt19937 random{1};
    // A sender whose congestion control lets it repeat only one segment per acknowledgement.
    bool sparing = false;

    bool chance(double p) { return p > 0 && static_cast<double>(random()) < p * 4294967296.0; }
    bool loses() {
        bad = bad ? !chance(out_of_bad) : chance(into_bad);
        return chance(bad ? 0.9 : loss);
    }

    // Small segments of a conversation, repeated until they arrive.
    FlightJudge::Small conversation(std::uint32_t segments) {
        FlightJudge::Small small;
        for (std::uint32_t i = 0; i < segments; ++i) {
            while (loses() && small.lost < 20) ++small.lost;
            ++small.acked;
        }
        return small;
    }
};

class SimulatedSender {
  public:
    using Time = FlightJudge::Time;

    SimulatedSender(LossyPath& path, double round_trip, const FlightLimits& limits)
        : path_(path), rtt_(round_trip), limits_(limits) {}

    OutboundFlight fly(const OutboundSearch& search, FlightJudge::Small small) {
        const auto steps = search.next(limits_);
        segments_.clear();
        for (const auto& step : steps) segments_.push_back({step.size, payload_of(step, limits_)});
        FlightJudge judge(steps, limits_, counters(), at(0), small);
        for (std::size_t i = 0; i < segments_.size(); ++i) send(i, 0);
        judge.observe(counters(), at(0));
        double now = 0;
        timer_ = first_timeout();
        probe_ = 2 * rtt_;
        while (true) {
            now += std::clamp(std::max(rtt_ / 4, now / 8), 0.001, 0.1);
            run_until(now);
            judge.observe(counters(), at(now));
            const auto flight = judge.flight(at(now));
            if (search.enough(flight) || judge.given_up(at(now)) || now > 20) {
                seconds_ += now;
                return flight;
            }
        }
    }

    double seconds() const { return seconds_; }

  private:
    struct Segment {
        PathMtu size;
        std::uint32_t payload = 0;
        bool received = false;
        bool sacked = false;
        bool acked = false;
        bool lost = false;
        bool repeat_outstanding = false;
        double sent = 0;
    };
    struct Event {
        bool ack = false;
        std::size_t segment = 0;
        std::vector<bool> received{};
    };

    static Time at(double seconds) {
        return Time{} + std::chrono::duration_cast<Time::duration>(
                            std::chrono::duration<double>(seconds + 100));
    }
    double first_timeout() const { return std::max(rtt_ + 0.2, 3 * rtt_); }

    void send(std::size_t i, double now) {
        auto& segment = segments_[i];
        segment.sent = now;
        ++sent_;
        if (segment.size.bytes <= path_.mtu && !path_.loses())
            events_.insert({now + rtt_ / 2, Event{false, i}});
    }

    void repeat(std::size_t i, double now) {
        auto& segment = segments_[i];
        segment.lost = false;
        segment.repeat_outstanding = true;
        ++repeats_;
        send(i, now);
    }

    void run_until(double now) {
        while (true) {
            const auto due = events_.empty() ? 1e9 : events_.begin()->first;
            const auto next = std::min({due, timer_, reorder_, probe_});
            if (next > now) return;
            if (next == due) {
                const auto event = events_.begin()->second;
                events_.erase(events_.begin());
                event.ack ? acknowledged(event.received, due) : arrived(event.segment, due);
            } else if (next == reorder_) {
                reorder_ = 1e9;
                repeat_overtaken(next);
            } else if (next == probe_) {
                probe_ = 1e9;
                probe_tail(next);
            } else {
                timed_out(next);
            }
        }
    }

    void arrived(std::size_t i, double now) {
        segments_[i].received = true;
        if (path_.loses()) return;
        Event ack{true, i, {}};
        for (const auto& segment : segments_) ack.received.push_back(segment.received);
        events_.insert({now + rtt_ / 2, ack});
    }

    void acknowledged(const std::vector<bool>& received, double now) {
        bool in_order = true;
        bool news = false;
        for (std::size_t i = 0; i < segments_.size(); ++i) {
            auto& segment = segments_[i];
            in_order = in_order && received[i];
            if (!received[i]) continue;
            news = news || (!segment.sacked && !segment.acked);
            newest_ = std::max(newest_, segment.sent);
            segment.acked = segment.acked || in_order;
            segment.sacked = !segment.acked;
            segment.repeat_outstanding = false;
            segment.lost = false;
        }
        if (!news) return;
        probe_ = 1e9;
        backoff_ = 1;
        timeouts_ = 0;
        timer_ = now + first_timeout();
        if (std::any_of(segments_.begin(), segments_.end(),
                        [](const Segment& segment) { return segment.sacked; }))
            reorder_ = now + rtt_ / 4;
        else
            probe_ = now + 2 * rtt_;
        for (std::size_t i = 0; i < segments_.size(); ++i)
            if (segments_[i].lost) {
                repeat(i, now);
                if (path_.sparing) break;
            }
    }

    // What was sent before something that arrived is lost by now.
    void repeat_overtaken(double now) {
        bool repeated = false;
        for (std::size_t i = 0; i < segments_.size(); ++i) {
            const auto& segment = segments_[i];
            if (segment.acked || segment.sacked || segment.sent > newest_) continue;
            if (path_.sparing && repeated)
                segments_[i].lost = true;
            else
                repeat(i, now);
            repeated = true;
        }
    }

    // The tail loss probe.
    void probe_tail(double now) {
        if (!segments_.back().acked && !segments_.back().sacked) repeat(segments_.size() - 1, now);
    }

    void timed_out(double now) {
        probe_ = 1e9;
        bool first = true;
        for (std::size_t i = 0; i < segments_.size(); ++i) {
            auto& segment = segments_[i];
            if (segment.acked || segment.sacked) continue;
            segment.lost = true;
            segment.repeat_outstanding = false;
            if (first) repeat(i, now);
            first = false;
        }
        backoff_ *= 2;
        ++timeouts_;
        timer_ = first ? 1e9 : now + first_timeout() * backoff_;
    }

    TcpCounters counters() const {
        TcpCounters counters;
        counters.rtt_microseconds = static_cast<std::uint32_t>(rtt_ * 1e6);
        counters.path_mtu = limits_.largest.bytes;
        counters.send_mss = limits_.largest.bytes - header_bytes(limits_.family) - 12;
        counters.bytes_acked = 1000;
        for (const auto& segment : segments_) {
            if (segment.acked) {
                counters.bytes_acked += segment.payload;
                continue;
            }
            ++counters.unacked_segments;
            counters.sacked_segments += segment.sacked;
            counters.retransmits_outstanding += segment.repeat_outstanding;
        }
        counters.retransmits_total = repeats_;
        counters.timeouts = timeouts_;
        counters.data_segments_out = sent_;
        return counters;
    }

    LossyPath& path_;
    double rtt_;
    FlightLimits limits_;
    std::vector<Segment> segments_;
    std::multimap<double, Event> events_;
    double timer_ = 1e9;
    double reorder_ = 1e9;
    double probe_ = 1e9;
    double backoff_ = 1;
    double newest_ = -1;
    std::uint32_t repeats_ = 0;
    std::uint32_t timeouts_ = 0;
    std::uint32_t sent_ = 0;
    double seconds_ = 0;
};

struct FoundOutbound {
    OutboundPath path;
    OutboundPicture picture;
    std::uint32_t connections = 0;
    double seconds = 0;
    std::vector<OutboundFlight> flights;
};

// All flights of one probe; `first_words` as with implicit TLS.
inline FoundOutbound search_outbound(LossyPath& path, FlightLimits limits, double round_trip,
                                     std::vector<PathMtu> hints = {}) {
    OutboundSearch search(std::move(hints));
    FoundOutbound found;
    while (search.wants_more()) {
        SimulatedSender sender(path, round_trip, limits);
        auto small = path.conversation(limits.first_words ? 0 : 2);
        if (found.connections == 0) {
            const auto ordinary = path.conversation(limits.first_words ? 4 : 6);
            small.acked += ordinary.acked;
            small.lost += ordinary.lost;
        }
        ++found.connections;
        search.told(sender.fly(search, small), limits.largest);
        found.seconds += sender.seconds();
    }
    found.path = search.result();
    found.picture = search.picture();
    found.flights = search.flights();
    return found;
}

}  // namespace postfathom::test
