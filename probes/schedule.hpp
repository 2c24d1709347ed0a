// SPDX-License-Identifier: Apache-2.0
// Which place to probe when. Pure: requests, results and the time go in, what to start and when to
// look again come out. Keeps one probe per place at a time, a pace, a budget and a bounded queue.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "lib/destination/endpoint.hpp"
#include "lib/diagnosis/record.hpp"

namespace postfathom {

// Why somebody wants a probe, most important first.
enum class ProbeReason {
    operator_asked,  // a person waits for the answer
    recovered,       // mail got through to a place we call ill: is it mended?
    failure_seen,    // Postfix had trouble there
    confirmation,    // one probe found trouble where all was well: does a second one?
    verdict_wanted,  // asked about by the mail path, and we know nothing or too old
    next_round,      // the last probe's budget ended before its questions did
    refresh_due,     // what we know to be ill grows old
};
std::string_view to_string(ProbeReason reason);  // "operator-asked", ...

// What to probe. A next hop, or just one endpoint when nothing better is known.
struct ProbePlace {
    std::string next_hop;          // canonical; empty: only the endpoint is known
    std::string verbatim;          // as Postfix or the operator spelled it; empty: as next_hop
    std::optional<Endpoint> peer;  // the endpoint that was seen in the log or named in a notice
    // `next_hop` is only the recipient's domain, taken as Postfix does when no route says
    // otherwise. It holds when `peer` is among its addresses; else the peer alone is probed.
    bool assumed = false;
    // A route names `next_hop`: of the configuration, or told by Postfix itself, which by then
    // connects to any of its servers. Else only a recipient's domain, a log or a report speaks for
    // it.
    bool routed = false;
    // See NextHopRecord. Of the name's servers only the peer and those known are probed.
    bool seen_only = false;

    // One probe at a time per key.
    std::string key() const;
    bool operator==(const ProbePlace&) const = default;
};

// Whether a probe would tell anything new. `known` is the verdict on the peer, where one was seen,
// else on the next hop.
bool worth_probing(ProbeReason reason, const std::optional<KnownVerdict>& known, WallTime now,
                   const AgeLimits& limits);

class Schedule {
  public:
    using Time = std::chrono::steady_clock::time_point;
    using Duration = std::chrono::steady_clock::duration;

    struct Limits {
        std::uint32_t concurrent = 8;
        std::uint32_t per_hour = 600;
        Duration min_interval = std::chrono::seconds{60};
        std::size_t queue = 10'000;
    };
    // Longest pause between probes of a place that gives no answer.
    static constexpr Duration longest_pause = std::chrono::hours{1};
    // A failure told without its next hop waits so long for the log line that names it.
    static constexpr Duration grace = std::chrono::seconds{1};
    // Rounds in a row that go on with a search; after them it rests until the verdict is stale.
    static constexpr std::uint32_t max_rounds = 8;

    enum class Accepted {
        queued,   // will be started
        joined,   // one is queued or under way already
        no_room,  // the queue is full of more important ones
    };

    struct Job {
        ProbePlace place;
        ProbeReason reason = ProbeReason::verdict_wanted;
    };

    enum class Ending {
        conclusive,  // healthy, or ill with a cause found
        no_answer,   // inconclusive, unreachable, a name that cannot be resolved: asking again soon
                     // is no use
        unfinished,  // the budget ended before the questions did: another round follows
        suspected,   // trouble that a second, independent probe has to confirm
        told_to_go,  // the server asked us to come again later
        held_back,   // nothing was asked, to spare the servers: it is tried again
    };

    struct Counters {
        std::uint64_t queued = 0;   // now
        std::uint64_t running = 0;  // now
        std::uint64_t started = 0;
        std::uint64_t finished = 0;
        std::uint64_t joined = 0;
        std::uint64_t dropped = 0;    // for want of room in the queue
        std::uint64_t held_back = 0;  // to spare the servers
        std::uint64_t rounds = 0;     // that went on with a search
    };

    explicit Schedule(const Limits& limits, Time now);

    void set_limits(const Limits& limits) { limits_ = limits; }

    Accepted request(ProbePlace place, ProbeReason reason, Time now);

    // Places that have to wait for another probe's end, e.g. because a server they share is being
    // probed.
    using Occupied = std::function<bool(const ProbePlace&)>;

    // What to start now; each is under way until finished().
    std::vector<Job> start(Time now, const Occupied& occupied = {});

    // `ill`: the place was found ill. Makes us wait longer before believing the next sign of
    // recovery. `again`: from when on another probe is of use, where the ending knows one.
    void finished(const std::string& key, Ending ending, bool ill, Time now,
                  std::optional<Time> again = {});

    // When start() may have something to do again, without new requests or results. Nothing: not
    // before one of those.
    std::optional<Time> wake() const;

    // A person waits for a probe that has not been started yet.
    bool asked(const std::string& key) const;
    bool running(const std::string& key) const { return running_.contains(key); }
    Counters counters() const;

  private:
    struct Pending {
        Job job;
        std::uint64_t order = 0;
        Time not_before{};
        bool ready = false;
    };
    struct Running {
        Job job;
        std::optional<Job> again;  // what came while the probe was under way and it cannot answer
        bool asked = false;        // a person waits for it
        std::optional<Time> last_start;  // of the probe before
    };
    struct History {
        std::optional<Time> last_start;
        Time held_until = Time::min();      // not before, unless a person asks
        std::uint32_t rounds_run = 0;       // that went on with a search, in a row
        std::uint32_t no_answer_run = 0;    // results without an answer, in a row
        std::uint32_t false_hopes_run = 0;  // signs of recovery that were none, in a row
    };
    using Rank = std::pair<int, std::uint64_t>;  // reason, then order of arrival

    static Rank rank(const Pending& pending) {
        return {static_cast<int>(pending.job.reason), pending.order};
    }
    Time not_before(const std::string& key, ProbeReason reason) const;
    Duration pause_after(const History& history, ProbeReason reason) const;
    bool covered(const ProbePlace& place) const;
    void supersede_lone(const ProbePlace& place);
    void started(const std::string& key, const Job& job, Time now);
    void insert(const std::string& key, Pending pending, Time now);
    void plan(const std::string& key, Job job, Time earliest, Time now);
    void follow_up(const std::string& key, const Running& done, Ending ending, Time again,
                   Time now);
    void erase(std::unordered_map<std::string, Pending>::iterator entry);
    bool make_room(ProbeReason reason);
    void wake_waiting(Time now);
    void refill(Time now);
    void forget_old_history(Time now);
    double bucket_size() const;
    bool budget_left(ProbeReason reason) const;

    Limits limits_;
    std::unordered_map<std::string, Pending> pending_;
    std::map<Rank, std::string> all_;                 // pending, most important first
    std::map<Rank, std::string> ready_;               // pending and due
    std::set<std::pair<Time, std::string>> waiting_;  // pending and not due
    std::unordered_map<std::string, Running> running_;
    std::map<IpAddress, std::uint32_t> expected_;  // peers that a next hop's probe will come to
    std::map<IpAddress, std::string>
        lone_peers_;  // pending ones without a next hop, and their keys
    std::map<IpAddress, std::uint32_t> in_contact_;  // peers of running probes
    bool ready_waits_ = false;  // what is ready waits for the end of a probe of the same peer
    std::unordered_map<std::string, History> history_;
    std::uint64_t next_order_ = 0;
    double tokens_ = 0;
    Time refilled_{};
    Time swept_{};
    Counters counters_;
};

}  // namespace postfathom
