// SPDX-License-Identifier: Apache-2.0
#include "probes/schedule.hpp"

#include <algorithm>
#include <utility>

namespace postfathom {

namespace {

// Ready probes that start() passes over because their peer is being probed, in one call.
constexpr std::size_t max_passed_over = 64;

// Doubles `pause` `times` times, up to the longest one.
Schedule::Duration doubled(Schedule::Duration pause, std::uint32_t times) {
    const auto longest = std::max(pause, Schedule::longest_pause);
    for (; times > 0 && pause < longest; --times) pause *= 2;
    return std::min(pause, longest);
}

bool lone(const ProbePlace& place) { return place.next_hop.empty() && place.peer; }

void count_down(std::map<IpAddress, std::uint32_t>& counts, const IpAddress& address) {
    const auto entry = counts.find(address);
    if (entry != counts.end() && --entry->second == 0) counts.erase(entry);
}

}  // namespace

std::string_view to_string(ProbeReason reason) {
    switch (reason) {
        case ProbeReason::operator_asked:
            return "operator-asked";
        case ProbeReason::recovered:
            return "recovered";
        case ProbeReason::failure_seen:
            return "failure-seen";
        case ProbeReason::confirmation:
            return "confirmation";
        case ProbeReason::verdict_wanted:
            return "verdict-wanted";
        case ProbeReason::next_round:
            return "next-round";
        case ProbeReason::refresh_due:
            return "refresh-due";
    }
    return "";
}

std::string ProbePlace::key() const {
    if (next_hop.empty() && peer) return to_string(*peer);
    return next_hop;
}

bool worth_probing(ProbeReason reason, const std::optional<KnownVerdict>& known, WallTime now,
                   const AgeLimits& limits) {
    if (reason == ProbeReason::operator_asked) return true;
    if (!known) return reason != ProbeReason::recovered;
    const auto age = freshness(*known, now, limits);
    switch (reason) {
        case ProbeReason::recovered:
            return ill(*known) && age != Freshness::expired;
        // A fresh verdict of ill health explains the failure already; a healthy one is now in
        // doubt.
        case ProbeReason::failure_seen:
            return !ill(*known) || age != Freshness::fresh;
        case ProbeReason::confirmation:
        case ProbeReason::next_round:
            return true;
        default:
            return age != Freshness::fresh;
    }
}

Schedule::Schedule(const Limits& limits, Time now) : limits_(limits), refilled_(now), swept_(now) {
    tokens_ = bucket_size();
}

// A tenth of the hour's budget may be spent at once, e.g. after a restart.
double Schedule::bucket_size() const { return std::max(1.0, limits_.per_hour / 10.0); }

void Schedule::refill(Time now) {
    const std::chrono::duration<double, std::ratio<3600>> hours = now - refilled_;
    refilled_ = now;
    tokens_ = std::min(bucket_size(), tokens_ + hours.count() * limits_.per_hour);
}

// A person's request does not wait for the budget, but is paid for from it: at most one bucket
// ahead.
bool Schedule::budget_left(ProbeReason reason) const {
    if (reason == ProbeReason::operator_asked) return tokens_ > -bucket_size();
    return limits_.per_hour > 0 && tokens_ >= 1.0;
}

Schedule::Duration Schedule::pause_after(const History& history, ProbeReason reason) const {
    if (reason == ProbeReason::operator_asked) return Duration::zero();
    // Mail that got through is news, whatever happened to our probes; unless it keeps being no
    // news.
    if (reason == ProbeReason::recovered)
        return doubled(limits_.min_interval, history.false_hopes_run);
    return doubled(limits_.min_interval, history.no_answer_run > 0 ? history.no_answer_run - 1 : 0);
}

Schedule::Time Schedule::not_before(const std::string& key, ProbeReason reason) const {
    const auto known = history_.find(key);
    if (known == history_.end()) return Time::min();
    const auto& history = known->second;
    auto earliest = Time::min();
    if (history.last_start) earliest = *history.last_start + pause_after(history, reason);
    if (reason != ProbeReason::operator_asked) earliest = std::max(earliest, history.held_until);
    return earliest;
}

Schedule::Accepted Schedule::request(ProbePlace place, ProbeReason reason, Time now) {
    const auto key = place.key();
    if (const auto under_way = running_.find(key); under_way != running_.end()) {
        // Its verdict may stem from before the mending.
        if (reason == ProbeReason::recovered) under_way->second.again = Job{place, reason};
        if (reason == ProbeReason::operator_asked) under_way->second.asked = true;
        // A person asks for the next hop itself, not for whether it is the one.
        if (reason == ProbeReason::operator_asked && under_way->second.job.place.assumed)
            under_way->second.again = Job{place, reason};
        ++counters_.joined;
        return Accepted::joined;
    }
    if (const auto queued = pending_.find(key); queued != pending_.end()) {
        ++counters_.joined;
        const auto& before = queued->second.job.place;
        const bool better = (before.assumed && !place.assumed) || (!before.routed && place.routed);
        if (reason >= queued->second.job.reason && !better) return Accepted::joined;
        auto pending = queued->second;
        erase(queued);
        pending.not_before = Time::min();
        if (better) pending.job.place = std::move(place);
        pending.job.reason = std::min(reason, pending.job.reason);
        pending.order = next_order_++;
        insert(key, std::move(pending), now);
        return Accepted::joined;
    }
    if (covered(place)) {
        ++counters_.joined;
        return Accepted::joined;
    }
    supersede_lone(place);
    if (!make_room(reason)) return Accepted::no_room;
    Pending pending;
    pending.job = Job{std::move(place), reason};
    pending.order = next_order_++;
    insert(key, std::move(pending), now);
    return Accepted::queued;
}

// A lone peer whose next hop is about to be probed, or being probed, needs no probe of its own.
bool Schedule::covered(const ProbePlace& place) const {
    return lone(place) && expected_.contains(place.peer->address);
}

void Schedule::supersede_lone(const ProbePlace& place) {
    if (lone(place) || !place.peer) return;
    const auto known = lone_peers_.find(place.peer->address);
    if (known != lone_peers_.end()) erase(pending_.find(known->second));
}

void Schedule::insert(const std::string& key, Pending pending, Time now) {
    pending.not_before = std::max(pending.not_before, not_before(key, pending.job.reason));
    const auto& place = pending.job.place;
    if (lone(place)) {
        pending.not_before = std::max(pending.not_before, now + grace);
        lone_peers_.emplace(place.peer->address, key);
    } else if (place.peer) {
        ++expected_[place.peer->address];
    }
    pending.ready = pending.not_before <= now;
    ready_waits_ = ready_waits_ && !pending.ready;
    all_.emplace(rank(pending), key);
    if (pending.ready)
        ready_.emplace(rank(pending), key);
    else
        waiting_.emplace(pending.not_before, key);
    pending_.emplace(key, std::move(pending));
}

void Schedule::erase(std::unordered_map<std::string, Pending>::iterator entry) {
    const auto& pending = entry->second;
    all_.erase(rank(pending));
    const auto& place = pending.job.place;
    if (lone(place))
        lone_peers_.erase(place.peer->address);
    else if (place.peer)
        count_down(expected_, place.peer->address);
    if (pending.ready)
        ready_.erase(rank(pending));
    else
        waiting_.erase({pending.not_before, entry->first});
    pending_.erase(entry);
}

// Drops the oldest of the least important, unless the newcomer is less important still.
bool Schedule::make_room(ProbeReason reason) {
    if (pending_.size() < limits_.queue) return true;
    ++counters_.dropped;
    if (all_.empty()) return false;
    const int least = all_.rbegin()->first.first;
    if (static_cast<int>(reason) > least || least == static_cast<int>(ProbeReason::operator_asked))
        return false;
    erase(pending_.find(all_.lower_bound({least, 0})->second));
    return true;
}

void Schedule::wake_waiting(Time now) {
    while (!waiting_.empty() && waiting_.begin()->first <= now) {
        auto& pending = pending_.at(waiting_.begin()->second);
        pending.ready = true;
        ready_.emplace(rank(pending), waiting_.begin()->second);
        waiting_.erase(waiting_.begin());
    }
}

std::vector<Schedule::Job> Schedule::start(Time now, const Occupied& occupied) {
    refill(now);
    wake_waiting(now);
    forget_old_history(now);
    std::vector<Job> jobs;
    bool budget = true;
    std::size_t passed_over = 0;
    for (auto at = ready_.begin(); at != ready_.end() && running_.size() < limits_.concurrent;) {
        const auto entry = pending_.find(at->second);
        const auto& place = entry->second.job.place;
        budget = budget_left(entry->second.job.reason);
        if (!budget) break;
        ++at;
        // One probe of an endpoint at a time, whatever next hops lead there.
        if ((place.peer && in_contact_.contains(place.peer->address)) ||
            (occupied && occupied(place))) {
            if (++passed_over == max_passed_over) break;
            continue;
        }
        jobs.push_back(entry->second.job);
        const auto key = entry->first;
        erase(entry);
        started(key, jobs.back(), now);
    }
    ready_waits_ = budget && !ready_.empty() && running_.size() < limits_.concurrent;
    return jobs;
}

void Schedule::started(const std::string& key, const Job& job, Time now) {
    tokens_ -= 1.0;
    auto& last_start = history_[key].last_start;
    Running running;
    running.job = job;
    running.asked = job.reason == ProbeReason::operator_asked;
    running.last_start = std::exchange(last_start, now);
    running_.emplace(key, std::move(running));
    if (job.place.peer) {
        ++in_contact_[job.place.peer->address];
        if (!lone(job.place)) ++expected_[job.place.peer->address];
    }
    ++counters_.started;
}

// A request of our own, which nobody may have room for.
void Schedule::plan(const std::string& key, Job job, Time earliest, Time now) {
    if (pending_.contains(key) || !make_room(job.reason)) return;
    Pending pending;
    pending.job = std::move(job);
    pending.order = next_order_++;
    pending.not_before = earliest;
    insert(key, std::move(pending), now);
}

// What the ending itself asks for.
void Schedule::follow_up(const std::string& key, const Running& done, Ending ending, Time again,
                         Time now) {
    auto& history = history_[key];
    auto job = done.job;
    if (ending != Ending::unfinished && ending != Ending::held_back) history.rounds_run = 0;
    switch (ending) {
        case Ending::conclusive:
        case Ending::no_answer:
            return;
        case Ending::told_to_go:
            history.held_until = again;
            return;
        case Ending::suspected:
            job.reason = ProbeReason::confirmation;
            return plan(key, std::move(job), again, now);
        case Ending::unfinished:
            if (done.asked && done.job.reason != ProbeReason::operator_asked) {
                // A person gets the whole answer, now.
                job.reason = ProbeReason::operator_asked;
                return plan(key, std::move(job), now, now);
            }
            if (history.rounds_run >= max_rounds) {
                history.rounds_run = 0;
                return;
            }
            ++history.rounds_run;
            ++counters_.rounds;
            job.reason = ProbeReason::next_round;
            return plan(key, std::move(job), again, now);
        case Ending::held_back:
            // It cost nobody anything.
            history.last_start = done.last_start;
            tokens_ = std::min(bucket_size(), tokens_ + 1.0);
            ++counters_.held_back;
            if (done.asked) {
                // A person waits for nothing but the end of another probe.
                const bool was_persons = done.job.reason == ProbeReason::operator_asked;
                job.reason = ProbeReason::operator_asked;
                return plan(key, std::move(job), was_persons ? again : now, now);
            }
            history.held_until = again;
            return plan(key, std::move(job), again, now);
    }
}

void Schedule::finished(const std::string& key, Ending ending, bool ill, Time now,
                        std::optional<Time> again) {
    const auto entry = running_.find(key);
    if (entry == running_.end()) return;
    const auto done = std::move(entry->second);
    running_.erase(entry);
    ++counters_.finished;
    if (const auto& peer = done.job.place.peer) {
        count_down(in_contact_, peer->address);
        if (!lone(done.job.place)) count_down(expected_, peer->address);
    }
    auto& history = history_[key];
    if (ending != Ending::held_back) {
        history.no_answer_run = ending == Ending::no_answer ? history.no_answer_run + 1 : 0;
        if (!ill)
            history.false_hopes_run = 0;
        else if (done.job.reason == ProbeReason::recovered)
            ++history.false_hopes_run;
    }
    follow_up(key, done, ending, again.value_or(now), now);
    if (done.again) request(done.again->place, done.again->reason, now);
}

// A place's history matters while it can still delay a probe, and as long again for the doubling.
void Schedule::forget_old_history(Time now) {
    if (now - swept_ < std::chrono::minutes{10}) return;
    swept_ = now;
    std::erase_if(history_, [&](const auto& entry) {
        const auto& [key, history] = entry;
        const auto matters = 2 * std::max(limits_.min_interval, longest_pause);
        return !running_.contains(key) && !pending_.contains(key) && history.held_until <= now &&
               (!history.last_start || now - *history.last_start > matters);
    });
}

bool Schedule::asked(const std::string& key) const {
    const auto entry = pending_.find(key);
    return entry != pending_.end() && entry->second.job.reason == ProbeReason::operator_asked;
}

std::optional<Schedule::Time> Schedule::wake() const {
    // A full house waits for a result, not for a time.
    if (running_.size() >= limits_.concurrent) return std::nullopt;
    std::optional<Time> when;
    if (!waiting_.empty()) when = waiting_.begin()->first;
    if (!ready_.empty() && !ready_waits_ && limits_.per_hour > 0) {
        const bool asked =
            ready_.begin()->first.first == static_cast<int>(ProbeReason::operator_asked);
        const double missing = (asked ? 1.0 - bucket_size() : 1.0) - tokens_;
        const std::chrono::duration<double, std::ratio<3600>> hours{std::max(0.0, missing) /
                                                                    limits_.per_hour};
        // A millisecond more, so that rounding never wakes us just before.
        const auto token =
            refilled_ + std::chrono::duration_cast<Duration>(hours) + std::chrono::milliseconds{1};
        when = when ? std::min(*when, token) : token;
    }
    return when;
}

Schedule::Counters Schedule::counters() const {
    auto counters = counters_;
    counters.queued = pending_.size();
    counters.running = running_.size();
    return counters;
}

}  // namespace postfathom
