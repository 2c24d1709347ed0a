// SPDX-License-Identifier: Apache-2.0
// The daemon's say on which server is probed when: one probe of an address at a time, whatever next
// hops lead there, the budget of each, and the wish of a server to be left alone. One gate per
// probe; what they share outlives the daemon's coroutines.
#pragma once

#include <memory>
#include <optional>
#include <set>
#include <vector>

#include "lib/cache/probe_cache.hpp"
#include "lib/config/settings.hpp"
#include "probes/endpoint_gate.hpp"
#include "probes/probe_budget.hpp"

namespace postfathom {

// The servers that our probes talk to.
struct Servers {
    explicit Servers(const ProbeBudget::Limits& limits) : budget(limits) {}
    ProbeBudget budget;
    std::set<IpAddress> occupied;
};

ProbeBudget::Limits budget_limits(const Settings::Probe& settings);

class DaemonGate : public EndpointGate {
  public:
    using Time = ProbeBudget::Time;
    using Clock = std::chrono::steady_clock;

    // `for_person`: somebody waits for the answer; what it costs is booked, but does not stop it.
    // `cache` outlives the probe.
    DaemonGate(std::shared_ptr<Servers> servers, const CacheReader& cache, const Settings& settings,
               bool for_person);

    Admission enter(const Endpoint& endpoint, const std::optional<IpAddress>& source) override;
    void leave(const Endpoint& endpoint, const Evidence* evidence) override;

    // When the endpoints that were held back may be asked again.
    std::optional<Time> again() const { return again_; }
    // What was held back for longer than another probe takes, and not said of the server before.
    const std::vector<HeldBack>& news() const { return news_; }

  private:
    Admission hold_back(const Endpoint& endpoint, std::string why, Time until, bool news);
    void add_what_is_known(const Endpoint& endpoint, const std::optional<IpAddress>& source,
                           Admission& admission) const;

    std::shared_ptr<Servers> servers_;
    const CacheReader& cache_;
    Settings::Probe settings_;
    AgeLimits age_;
    bool for_person_;
    ProbeBudget::Left granted_;
    std::optional<Time> again_;
    std::vector<HeldBack> news_;
};

}  // namespace postfathom
