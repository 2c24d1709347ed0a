// SPDX-License-Identifier: Apache-2.0
#include "probes/socket_watch.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <tuple>

#include "lib/diagnosis/diagnose.hpp"

namespace postfathom {

namespace {

// Any size: IPv6 knows no larger packet without jumbograms.
constexpr PathMtu any_size{65'575};

std::uint32_t difference(std::uint32_t larger, std::uint32_t smaller) {
    return larger > smaller ? larger - smaller : 0;
}
std::uint64_t difference(std::uint64_t larger, std::uint64_t smaller) {
    return larger > smaller ? larger - smaller : 0;
}

// Segments whose first transmission is acknowledged, or a repeat of it.
std::uint32_t acked_segments(const SocketSample& sample) {
    return difference(sample.data_segments_out, sample.repeats + sample.unacked);
}

// The kernel counts our SYN among the acknowledged bytes.
std::uint64_t acked_data(const SocketSample& sample) {
    return difference(sample.bytes_acked, std::uint64_t{1});
}

PathMtu packet(std::uint64_t payload, const SocketSample& sample) {
    return {static_cast<std::uint32_t>(payload) + sample.options +
            header_bytes(sample.peer.family())};
}

bool window_open(const SocketSample& sample) {
    return !sample.send_window ||
           *sample.send_window >= std::min(sample.outstanding, sample.send_mss);
}

bool stalled_in_sending(const SocketSample& sample) {
    return sample.repeating && sample.timeouts >= SocketWatch::least_timeouts &&
           sample.unacked > 0 && sample.outstanding > 0 && window_open(sample);
}

// The size of the segment that the timer repeats, where it can be known to the byte.
std::uint32_t repeated_segment(const SocketSample& now, const SocketSample& before) {
    // No segment is larger than send_mss: together they can only be full ones.
    if (std::uint64_t{now.unacked} * now.send_mss == now.outstanding) return now.send_mss;
    if (now.cookie != before.cookie || now.bytes_acked != before.bytes_acked) return 0;
    const auto repeats = difference(now.repeats, before.repeats);
    const auto bytes = difference(now.bytes_repeated, before.bytes_repeated);
    // Repeats that the timer did not ask for may be of other segments.
    if (repeats == 0 || repeats != difference(now.timeouts, before.timeouts)) return 0;
    if (bytes % repeats != 0 || bytes / repeats > now.send_mss) return 0;
    return static_cast<std::uint32_t>(bytes / repeats);
}

// The largest segment that was shown to arrive since `before`. Of a body the kernel cuts full
// segments; of so many bytes in so few segments some were. To be generous here is to be careful
// with suspicions.
std::uint64_t shown_to_arrive(const SocketSample& now, const SocketSample& before) {
    const auto segments = difference(acked_segments(now), acked_segments(before));
    const auto bytes = difference(acked_data(now), acked_data(before));
    if (segments == 0 || bytes == 0) return 0;
    const bool first = now.cookie != before.cookie;
    const std::uint64_t full = first ? now.send_mss : std::min(now.send_mss, before.send_mss);
    if (bytes >= 4 * full && 2 * bytes > segments * full) return full;
    return std::min((bytes + segments - 1) / segments, full);
}

// Data waits behind a gap: it takes memory and nobody can read it.
bool gap_open(const SocketSample& sample) {
    return sample.established && sample.unread == 0 && sample.held.value_or(0) > 0 &&
           sample.out_of_order > 0;
}

MailSide side_of(const SocketSample& sample) {
    return SocketWatch::is_mail_port(sample.peer_port) ? MailSide::to_server
                                                       : MailSide::from_client;
}

std::uint16_t mail_port_of(const SocketSample& sample) {
    return side_of(sample) == MailSide::to_server ? sample.peer_port : sample.local_port;
}

}  // namespace

std::string_view to_string(FlowDirection direction) {
    return direction == FlowDirection::outbound ? "outbound" : "inbound";
}

std::string_view to_string(Certainty certainty) {
    switch (certainty) {
        case Certainty::possible:
            return "possible";
        case Certainty::likely:
            return "likely";
        case Certainty::convicted:
            return "convicted";
    }
    return "unknown";
}

std::string_view to_string(MailSide side) {
    return side == MailSide::to_server ? "to-server" : "from-client";
}

std::string summary(const PathSuspicion& suspicion) {
    const bool sure = suspicion.certainty == Certainty::convicted;
    auto text = fmt::format("{} {} black hole", to_string(suspicion.certainty),
                            to_string(suspicion.direction));
    if (sure) text = fmt::format("black hole {}", to_string(suspicion.direction));
    const auto connections = fmt::format("{} connection{}", suspicion.connections,
                                         suspicion.connections == 1 ? "" : "s");
    if (suspicion.fails)
        return text + fmt::format(
                          ": packets of {} bytes lost at least {} times on {}, {} smaller "
                          "ones arrived",
                          suspicion.fails->bytes, suspicion.losses, connections,
                          suspicion.arrivals);
    if (suspicion.at_most)
        return text + fmt::format(
                          ": a packet of at most {} bytes is missing on {} while later "
                          "ones arrived",
                          suspicion.at_most->bytes, connections);
    return text;
}

bool SocketWatch::is_mail_port(std::uint16_t port) {
    return std::find(mail_ports.begin(), mail_ports.end(), port) != mail_ports.end();
}

void SocketWatch::sample(std::span<const SocketSample> connections, Time now) {
    ++counters_.samples;
    counters_.connections = connections.size();
    for (const auto& seen : connections) {
        if (seen.peer.is_loopback() || seen.local == seen.peer) continue;
        if (connections_.size() >= max_connections && !connections_.contains(seen.cookie)) continue;
        const auto [entry, is_new] = connections_.try_emplace(seen.cookie);
        auto& known = entry->second;
        if (is_new) {
            known.opened = now;
            known.before_us = !last_sample_;
        }
        known.round = counters_.samples;
        look_at(seen, known, now);
        known.last = seen;
    }
    for (auto entry = connections_.begin(); entry != connections_.end();) {
        if (entry->second.round == counters_.samples) {
            ++entry;
            continue;
        }
        for (auto& [path, stalls] : paths_)
            for (auto& stall : stalls) stall.over |= stall.cookie == entry->first;
        entry = connections_.erase(entry);
    }
    last_sample_ = now;
    forget_old(now);
}

void SocketWatch::ended(const SocketSample& connection, Time now) {
    if (connection.peer.is_loopback() || connection.local == connection.peer) return;
    // A short one came and went between two samples; what it carried arrived all the same.
    const auto known = connections_.find(connection.cookie);
    Connection unknown;
    auto& last = known == connections_.end() ? unknown : known->second;
    look_at(connection, last, now);
    last.last = connection;
}

void SocketWatch::look_at(const SocketSample& seen, Connection& known, Time now) {
    look_outbound(seen, known, now);
    look_inbound(seen, known, now);
}

SocketWatch::Stall* SocketWatch::stall_of(const PathKey& path, std::uint64_t cookie) {
    const auto found = paths_.find(path);
    if (found == paths_.end()) return nullptr;
    for (auto& stall : found->second)
        if (stall.cookie == cookie && !stall.over) return &stall;
    return nullptr;
}

SocketWatch::Stall& SocketWatch::new_stall(const PathKey& path, const SocketSample& sample,
                                           const Connection& known, Time now) {
    auto& stalls = paths_[path];
    for (auto& earlier : stalls)
        if (!earlier.losses_before_next) earlier.losses_before_next = earlier.losses;
    if (stalls.size() >= max_stalls) stalls.erase(stalls.begin());
    Stall stall;
    stall.cookie = sample.cookie;
    stall.begun = now;
    stall.opened = known.opened;
    stall.before_us = known.before_us;
    stall.port = mail_port_of(sample);
    stall.owner = sample.owner;
    stalls.push_back(stall);
    return stalls.back();
}

// A packet of `size` got through: what was said of those that are no larger was loss or an outage.
void SocketWatch::arrived(const PathKey& path, PathMtu size) {
    const auto found = paths_.find(path);
    if (found == paths_.end()) return;
    std::erase_if(found->second, [&](const Stall& stall) {
        if (stall.size.value_or(stall.at_most) > size) return false;
        // What stands still only because its timer has yet to run has to lose anew.
        if (const auto known = connections_.find(stall.cookie); known != connections_.end()) {
            known->second.forgiven = known->second.last.timeouts;
            known->second.gap_since.reset();
        }
        return true;
    });
    if (found->second.empty()) paths_.erase(found);
}

void SocketWatch::look_outbound(const SocketSample& seen, Connection& known, Time now) {
    const PathKey path{seen.local, seen.peer, side_of(seen), FlowDirection::outbound};
    const auto& before = known.last;
    const bool first = before.cookie != seen.cookie;
    const bool progress = !first && acked_data(seen) > acked_data(before);
    if (!first && seen.route_mtu < before.route_mtu) {
        arrived(path, any_size);  // a router said "too big", and we heard it
        known.segment = 0;
    }
    auto* stall = stall_of(path, seen.cookie);
    if (progress && stall != nullptr) {
        // With a lowered segment size (tcp_mtu_probing) it is not the same segment that arrived.
        if (seen.send_mss >= known.segment) {
            arrived(path, packet(known.segment, seen));
        } else {
            stall->over = true;
        }
        stall = nullptr;
    }
    if (progress) known.segment = known.forgiven = 0;
    if (!paths_.empty())
        if (const auto payload = shown_to_arrive(seen, before); payload > 0)
            arrived(path, packet(payload, seen));
    if (seen.timeouts == 0) known.repeats_before = seen.repeats;
    if (seen.destroyed || !stalled_in_sending(seen)) return;

    ++stalled_now_;
    if (known.segment == 0) known.segment = repeated_segment(seen, before);
    const auto segments = acked_segments(seen);
    const auto data = acked_data(seen);
    if (known.segment == 0 || segments + seen.sacked < least_arrivals || segments == 0) return;
    const auto losses = difference(seen.timeouts, known.forgiven);
    if (losses < least_timeouts) return;
    const bool small_before = data < known.segment;
    // Where something as large may have arrived before, only full segments are worth a look, and
    // only when most of what arrived was small.
    const bool full = known.segment >= seen.send_mss;
    if (!small_before && (!full || 2 * data > std::uint64_t{segments} * known.segment)) return;

    stall = stall_of(path, seen.cookie);
    if (stall == nullptr) stall = &new_stall(path, seen, known, now);
    stall->size = packet(known.segment, seen);
    stall->at_most = *stall->size;
    stall->passed = packet((data + segments - 1) / segments, seen);
    stall->losses = std::max(stall->losses, losses);
    stall->arrivals = segments + seen.sacked;
    stall->small_lost = known.repeats_before;
    stall->small_before = small_before;
    stall->control |= seen.sacked > 0;
    stall->seen = now;
}

void SocketWatch::look_inbound(const SocketSample& seen, Connection& known, Time now) {
    const PathKey path{seen.local, seen.peer, side_of(seen), FlowDirection::inbound};
    const auto& before = known.last;
    const bool first = before.cookie != seen.cookie;
    auto* stall = stall_of(path, seen.cookie);
    if (!first && seen.bytes_received > before.bytes_received) {
        known.gap_since.reset();
        // What was missing has come, and with it a packet of any size that was suspected.
        if (stall != nullptr) arrived(path, stall->at_most);
        return;
    }
    if (seen.destroyed) return;
    if (!gap_open(seen)) {
        known.gap_since.reset();
        return;
    }
    if (!known.gap_since) known.gap_since = now;
    if (now - *known.gap_since < gap_stands) return;
    ++stalled_now_;
    if (stall == nullptr) stall = &new_stall(path, seen, known, now);
    stall->at_most = packet(seen.advertised_mss, seen);
    stall->seen = now;
}

void SocketWatch::forget_old(Time now) {
    counters_.stalled = std::exchange(stalled_now_, 0);
    for (auto entry = paths_.begin(); entry != paths_.end();) {
        std::erase_if(entry->second,
                      [&](const Stall& stall) { return now - stall.seen > remembered; });
        entry = entry->second.empty() ? paths_.erase(entry) : std::next(entry);
    }
    while (paths_.size() > max_paths) {
        const auto oldest =
            std::min_element(paths_.begin(), paths_.end(), [](const auto& a, const auto& b) {
                return a.second.back().seen < b.second.back().seen;
            });
        paths_.erase(oldest);
    }
    counters_.paths = paths_.size();
}

namespace {

template <typename Stall>
double chance_of(const Stall& stall) {
    return size_split_probability(stall.arrivals, stall.small_lost, stall.losses);
}

// See the top of the header: small segments between two bursts of losses, and a control behind
// each.
template <typename Stall>
bool convicts(const Stall& earlier, const Stall& later) {
    if (!earlier.small_before || !later.small_before || later.before_us) return false;
    if (later.opened <= earlier.begun) return false;
    constexpr std::uint32_t surely_sent_later = 2;
    const bool lost_on = earlier.losses_before_next &&
                         earlier.losses >= *earlier.losses_before_next + surely_sent_later;
    if (!(earlier.control && later.control) && !lost_on) return false;
    return chance_of(earlier) * chance_of(later) <= max_false_claim_probability;
}

}  // namespace

PathSuspicion SocketWatch::judge(const PathKey& path, const Stalls& stalls) {
    PathSuspicion found;
    found.side = path.side;
    found.direction = path.direction;
    found.local = path.local;
    found.peer = path.peer;
    found.port = stalls.back().port;
    found.owner = stalls.back().owner;
    found.connections = static_cast<std::uint32_t>(stalls.size());
    if (path.direction == FlowDirection::inbound) {
        for (const auto& stall : stalls)
            found.at_most = std::max(found.at_most, std::optional{stall.at_most});
        if (stalls.size() > 1) found.certainty = Certainty::likely;
        return found;
    }
    std::size_t strict = 0;
    double chance = 1;
    for (const auto& stall : stalls) {
        if (!found.fails || *stall.size < *found.fails) found.fails = stall.size;
        if (!found.passes || stall.passed > *found.passes) found.passes = stall.passed;
        found.losses += stall.losses;
        found.arrivals += stall.arrivals;
        chance *= chance_of(stall);
        if (!stall.small_before) continue;
        ++strict;
        if (stall.control || strict > 1) found.certainty = Certainty::likely;
    }
    found.chance = chance;
    for (auto earlier = stalls.begin(); earlier != stalls.end(); ++earlier)
        for (auto later = std::next(earlier); later != stalls.end(); ++later)
            if (convicts(*earlier, *later)) found.certainty = Certainty::convicted;
    return found;
}

std::vector<PathSuspicion> SocketWatch::suspicions() const {
    std::vector<PathSuspicion> found;
    for (const auto& [path, stalls] : paths_) found.push_back(judge(path, stalls));
    std::stable_sort(found.begin(), found.end(),
                     [](const auto& a, const auto& b) { return a.certainty > b.certainty; });
    return found;
}

}  // namespace postfathom
