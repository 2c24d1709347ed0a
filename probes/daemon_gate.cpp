// SPDX-License-Identifier: Apache-2.0
#include "probes/daemon_gate.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "lib/config/duration.hpp"

namespace postfathom {

namespace {

using namespace std::chrono_literals;

// While another probe talks to the server. A person looks up more often.
constexpr auto busy_pause = 5s;
constexpr auto busy_pause_of_person = 1s;

// A way that carried more an hour ago may be as ill as this one by now.
constexpr auto same_conditions = 1h;

WallTime wall_time(ProbeBudget::Time time) {
    return wall_now() + std::chrono::duration_cast<std::chrono::milliseconds>(
                            time - std::chrono::steady_clock::now());
}

}  // namespace

ProbeBudget::Limits budget_limits(const Settings::Probe& settings) {
    ProbeBudget::Limits limits;
    limits.connections = settings.budget_connections;
    limits.aborted = settings.budget_aborted;
    limits.window = settings.budget_window;
    limits.back_off = settings.back_off;
    limits.longest_back_off = settings.longest_back_off;
    return limits;
}

DaemonGate::DaemonGate(std::shared_ptr<Servers> servers, const CacheReader& cache,
                       const Settings& settings, bool for_person)
    : servers_(std::move(servers)),
      cache_(cache),
      settings_(settings.probe),
      age_(settings.cache.age),
      for_person_(for_person) {}

Admission DaemonGate::hold_back(const Endpoint& endpoint, std::string why, Time until, bool news) {
    Admission admission;
    admission.held_back = HeldBack{endpoint, std::move(why), wall_time(until)};
    if (const auto known = cache_.endpoint(endpoint.address, endpoint.port))
        admission.known_ill = known->endpoint.name == endpoint.name && ill(known->verdict) &&
                              freshness(known->verdict, wall_now(), age_) != Freshness::expired;
    again_ = std::max(again_.value_or(until), until);
    if (news && servers_->budget.announce(endpoint.address, until))
        news_.push_back(*admission.held_back);
    return admission;
}

// The bounds from the same source are hints for the next search; STARTTLS that was offered for as
// long as a good verdict counts is missed when it is gone.
void DaemonGate::add_what_is_known(const Endpoint& endpoint, const std::optional<IpAddress>& source,
                                   Admission& admission) const {
    const auto now = wall_now();
    const auto known = cache_.endpoint(endpoint.address, endpoint.port);
    admission.starttls_offered_before =
        known && known->endpoint == endpoint && known->starttls_seen > now - age_.good_expire;
    const PathRecord* best = nullptr;
    const auto paths = cache_.paths(endpoint.address);
    for (const auto& path : paths) {
        if (source && path.source != *source && path.measured_at > now - same_conditions)
            admission.other_ways.push_back(
                {path.source, path.destination, path.inbound, path.outbound});
        if (source && path.source != *source) continue;
        if (path.measured_at <= now - age_.good_expire) continue;
        if (best == nullptr || path.measured_at > best->measured_at) best = &path;
    }
    if (best == nullptr) return;
    admission.inbound_before = {best->inbound, best->inbound_exact, best->inbound_fails};
    admission.outbound_before = {best->outbound, best->outbound_exact, best->outbound_fails};
}

Admission DaemonGate::enter(const Endpoint& endpoint, const std::optional<IpAddress>& source) {
    const auto now = Clock::now();
    servers_->budget.forget_what_is_over(now);
    const auto& budget = servers_->budget;
    const auto& address = endpoint.address;
    if (servers_->occupied.contains(address))
        return hold_back(endpoint, "is being probed for another destination",
                         now + (for_person_ ? busy_pause_of_person : busy_pause), false);
    Admission admission;
    admission.max_connections = settings_.max_connections;
    admission.max_aborted = settings_.max_connections;
    if (!for_person_) {
        if (const auto until = budget.backing_off(address, now))
            return hold_back(endpoint, "asked us to come again later", *until, true);
        const auto left = budget.left(address, now);
        if (!budget.enough(address, now))
            return hold_back(
                endpoint,
                fmt::format("has {} of {} connections and {} of {} unfinished handshakes left "
                            "within {}",
                            left.connections, settings_.budget_connections, left.aborted,
                            settings_.budget_aborted, render_duration(settings_.budget_window)),
                budget.enough_at(address, now), true);
        admission.max_connections = std::min(left.connections, settings_.max_connections);
        admission.max_aborted = std::min(left.aborted, settings_.max_connections);
    }
    add_what_is_known(endpoint, source, admission);
    granted_ = {admission.max_connections, admission.max_aborted};
    servers_->occupied.insert(address);
    return admission;
}

void DaemonGate::leave(const Endpoint& endpoint, const Evidence* evidence) {
    auto& budget = servers_->budget;
    const auto& address = endpoint.address;
    const auto now = Clock::now();
    servers_->occupied.erase(address);
    if (evidence == nullptr) {
        // Nobody knows what it did: the most it could.
        budget.book(address, granted_.connections, granted_.aborted, now);
        return;
    }
    budget.book(address, evidence->connections, evidence->aborted, now);
    if (!evidence->asked_to_wait.empty())
        budget.told_to_go(address, now);
    else if (evidence->reached > Phase::greeting)
        budget.welcomed(address);
}

}  // namespace postfathom
