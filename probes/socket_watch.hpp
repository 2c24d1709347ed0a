// SPDX-License-Identifier: Apache-2.0
// What the kernel's counters of this host's own mail connections, looked at from time to time, tell
// of the path: a black hole shows in live traffic without a probe. Pure: samples and the time go
// in, suspicions come out. probes/socket_samples takes the samples.
//
// What samples can show, and what not:
//
// Outbound (we send). A connection is stalled when the retransmission timer has run several times
// without progress while the peer's window was open. Each run repeats the oldest missing segment
// and nothing else, so what the two counters of repeats (segments, bytes) gain in between is the
// exact size of that segment. It counts as large against what the connection sent before only if
// all that was acknowledged before amounts to less than its size: then each of those segments was
// smaller. Under "loss does not depend on size" the picture "a small ones all arrived, k
// transmissions of the large one all lost" has the probability 1 / C(a + k, k).
//
// That bound holds for losses in any order, but on one connection the small ones come first and the
// large ones last: an outage that begins with the first large segment looks the same. That a later
// segment of the same burst was selectively acknowledged shows that the path lived behind the loss,
// but not that it went on living, and its size is not known: it is a control, no evidence of size.
// So one connection gives a suspicion at best. A conviction takes two stalled connections between
// the same two addresses, the later one begun when the earlier one stood still: its small segments
// arrived between losses of large ones, which are losses in two bursts at least. Both have to have
// a control behind the loss (or the earlier one has to lose more after the later one's small
// segments arrived), and the product of the two probabilities has to be at most 1 in 10,000, as in
// a probe. A segment of that size that arrives, on any connection between the two addresses, ends
// it all: a stall that goes on, or a transfer whose segments must have been as large. So does a
// path MTU that the kernel lowered (discovery works).
//
// Nothing acknowledged behind the loss at all is silence: a dead peer looks like that. It is worth
// a probe when the size is known to be large, and no more.
//
// Inbound (the peer sends). Only gaps are seen: data behind a missing segment waits in the kernel
// (memory is charged though nothing can be read) and the missing one does not come although a
// sender repeats it after 1, 2, 4 seconds at the latest (RFC 6298). Neither sizes nor the number of
// lost copies are seen. So this is never more than a suspicion, stronger with several connections.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "lib/base/units.hpp"
#include "lib/destination/ip_address.hpp"

namespace postfathom {

// SMTP, submission and IMAP, with implicit TLS too.
inline constexpr std::array<std::uint16_t, 5> mail_ports{25, 465, 587, 143, 993};

// One TCP connection as the kernel tells it (inet_diag). Counts are since the connection began.
struct SocketSample {
    std::uint64_t cookie = 0;  // the kernel's name of the socket, never used twice
    IpAddress local;
    IpAddress peer;
    std::uint16_t local_port = 0;
    std::uint16_t peer_port = 0;
    std::uint32_t owner = 0;  // user id; 0 too when no process has it any more
    std::uint32_t inode = 0;

    bool established = false;           // neither side has closed
    bool destroyed = false;             // the last word of it
    bool repeating = false;             // the retransmission timer runs
    std::uint32_t timeouts = 0;         // of that timer in a row, without progress
    std::uint32_t unread = 0;           // bytes in order that no process has read
    std::optional<std::uint32_t> held;  // bytes of memory that received data take
    std::uint32_t outstanding = 0;      // bytes sent and not acknowledged
    std::uint32_t unacked = 0;          // segments of those
    std::uint32_t sacked = 0;           // and of these, selectively acknowledged
    std::uint32_t send_mss = 0;         // without TCP options
    std::uint32_t advertised_mss = 0;   // likewise
    std::uint32_t route_mtu = 0;        // what the kernel believes in
    std::uint32_t options = 0;          // bytes of TCP options in each data segment
    std::uint64_t bytes_acked = 0;
    std::uint32_t data_segments_out = 0;  // repeats included
    std::uint32_t repeats = 0;            // segments
    std::uint64_t bytes_repeated = 0;
    std::optional<std::uint32_t> send_window;  // older kernels do not tell
    std::uint64_t bytes_received = 0;
    std::uint32_t out_of_order = 0;  // segments that came behind a gap
    bool operator==(const SocketSample&) const = default;
};

enum class FlowDirection { outbound, inbound };
std::string_view to_string(FlowDirection direction);

enum class Certainty {
    possible,   // one connection, and other causes are near
    likely,     // one connection with a control, or several
    convicted,  // as good as a probe's answer, see above
};
std::string_view to_string(Certainty certainty);

// Which side of a mail connection we are.
enum class MailSide {
    to_server,    // we connected to a mail port: mail that leaves, mostly
    from_client,  // somebody connected to ours
};
std::string_view to_string(MailSide side);

struct PathSuspicion {
    MailSide side = MailSide::to_server;
    FlowDirection direction = FlowDirection::outbound;
    Certainty certainty = Certainty::possible;
    IpAddress local;
    IpAddress peer;
    std::uint16_t port = 0;          // the mail port
    std::optional<PathMtu> fails;    // smallest packet that was lost again and again
    std::optional<PathMtu> at_most;  // or it is not known, and this is the most that it can be
    std::optional<PathMtu> passes;   // a packet of at least this size arrived
    std::uint32_t connections = 0;   // that stalled
    std::uint32_t losses = 0;        // transmissions, all lost; inbound: unknown, 0
    std::uint32_t arrivals = 0;      // of smaller ones
    // That loss which ignores size did this; nothing where sizes are not known.
    std::optional<double> chance;
    std::uint32_t owner = 0;  // user id of a process that has such a connection
    bool operator==(const PathSuspicion&) const = default;
};

// "outbound black hole: packets of 1500 bytes lost 9 times on 2 connections, smaller ones arrived"
std::string summary(const PathSuspicion& suspicion);

class SocketWatch {
  public:
    using Time = std::chrono::steady_clock::time_point;
    // Runs of the retransmission timer before a stall is one: with usual timers 3 seconds.
    static constexpr std::uint32_t least_timeouts = 4;
    // Small transmissions that must have arrived before a size can be suspected at all.
    static constexpr std::uint32_t least_arrivals = 4;
    // A sender whose timer began with 1 second has repeated three times by then.
    static constexpr std::chrono::seconds gap_stands{10};
    static constexpr std::chrono::hours remembered{1};
    static constexpr std::size_t max_connections = 65'536;
    static constexpr std::size_t max_paths = 4096;
    static constexpr std::size_t max_stalls = 8;  // of one path

    static bool is_mail_port(std::uint16_t port);

    // All mail connections there are at `now`. Those that are missing have ended.
    void sample(std::span<const SocketSample> connections, Time now);
    // The last word of one, between two samples.
    void ended(const SocketSample& connection, Time now);

    // What is suspected now, strongest first.
    std::vector<PathSuspicion> suspicions() const;

    struct Counters {
        std::uint64_t samples = 0;
        std::uint64_t connections = 0;  // in the last sample
        std::uint64_t stalled = 0;      // in the last sample
        std::uint64_t paths = 0;        // suspected
    };
    const Counters& counters() const { return counters_; }

  private:
    // A large segment that did not arrive, or a gap.
    struct Stall {
        std::uint64_t cookie = 0;
        Time begun;   // seen to be stalled
        Time opened;  // the connection was first seen, at the earliest after the sample before
        bool before_us = false;       // the connection is older than our first sample
        std::optional<PathMtu> size;  // of the packet, exact
        PathMtu at_most;              // of the packet
        PathMtu passed;               // at least this much arrived before
        std::uint32_t losses = 0;
        std::uint32_t arrivals = 0;
        std::uint32_t small_lost = 0;  // repeats of what arrived before
        // When another connection between the two stood still as well.
        std::optional<std::uint32_t> losses_before_next;
        bool small_before = false;  // all that arrived before was smaller
        bool control = false;       // something behind the loss arrived
        bool over = false;          // the connection has ended
        std::uint16_t port = 0;
        std::uint32_t owner = 0;
        Time seen;
    };
    struct Connection {
        SocketSample last;
        Time opened;
        bool before_us = false;
        std::uint32_t segment = 0;  // bytes of the segment that is repeated, 0: not known yet
        std::uint32_t repeats_before = 0;  // when the timer last ran for nothing
        std::uint32_t forgiven = 0;     // runs of the timer before something as large got through
        std::optional<Time> gap_since;  // nothing was read and something is held
        std::uint64_t round = 0;
    };
    struct PathKey {
        IpAddress local;
        IpAddress peer;
        MailSide side = MailSide::to_server;
        FlowDirection direction = FlowDirection::outbound;
        auto operator<=>(const PathKey&) const = default;
    };
    using Stalls = std::vector<Stall>;

    void look_at(const SocketSample& now_seen, Connection& known, Time now);
    void look_outbound(const SocketSample& now_seen, Connection& known, Time now);
    void look_inbound(const SocketSample& now_seen, Connection& known, Time now);
    Stall* stall_of(const PathKey& path, std::uint64_t cookie);
    Stall& new_stall(const PathKey& path, const SocketSample& sample, const Connection& known,
                     Time now);
    void arrived(const PathKey& path, PathMtu size);
    void forget_old(Time now);
    static PathSuspicion judge(const PathKey& path, const Stalls& stalls);

    std::unordered_map<std::uint64_t, Connection> connections_;
    std::map<PathKey, Stalls> paths_;
    std::optional<Time> last_sample_;
    std::uint64_t stalled_now_ = 0;
    Counters counters_;
};

}  // namespace postfathom
