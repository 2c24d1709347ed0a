// SPDX-License-Identifier: Apache-2.0
// Who may talk to which server, when and how much. The daemon answers for all its probes together;
// a person's own probe has no gate.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "lib/diagnosis/evidence.hpp"
#include "lib/diagnosis/report.hpp"
#include "lib/suggestion/suggest.hpp"

namespace postfathom {

struct Admission {
    // Set: not now. What for, and from when on asking again is of use.
    std::optional<HeldBack> held_back;
    // The endpoint is known to be ill, so the ones after it count too.
    bool known_ill = false;
    std::uint32_t max_connections = 0;
    std::uint32_t max_aborted = 0;
    // What earlier probes of the path found.
    InboundPath inbound_before{};
    OutboundPath outbound_before{};
    bool starttls_offered_before = false;
    // From other addresses of this host, measured not long ago.
    std::vector<CleanWay> other_ways{};
};

class EndpointGate {
  public:
    virtual ~EndpointGate() = default;
    // `source`: where the probe will look from, when that is known.
    virtual Admission enter(const Endpoint& endpoint, const std::optional<IpAddress>& source) = 0;
    // Once for every admission; without evidence when the probe was broken off.
    virtual void leave(const Endpoint& endpoint, const Evidence* evidence) = 0;
};

// An admission that is given back whatever happens.
class Turn {
  public:
    Turn(EndpointGate& gate, Endpoint endpoint) : gate_(&gate), endpoint_(std::move(endpoint)) {}
    ~Turn() {
        if (gate_ != nullptr) gate_->leave(endpoint_, nullptr);
    }
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;

    void end(const Evidence& evidence) {
        std::exchange(gate_, nullptr)->leave(endpoint_, &evidence);
    }

  private:
    EndpointGate* gate_;
    Endpoint endpoint_;
};

}  // namespace postfathom
