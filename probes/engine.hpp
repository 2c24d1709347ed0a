// SPDX-License-Identifier: Apache-2.0
// Runs one probe of a destination: resolve, converse, measure, diagnose. Used by postfathom-probed
// and by `postfathom probe`.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "lib/config/settings.hpp"
#include "lib/destination/next_hop.hpp"
#include "lib/diagnosis/report.hpp"
#include "probes/endpoint_gate.hpp"

namespace postfathom {

struct ProbeRequest {
    NextHop next_hop;
    std::string verbatim;               // as Postfix or the operator spelled it
    std::optional<Service> service;     // else by port, else smtp
    std::optional<std::uint16_t> port;  // else the next hop's, else the service's
    std::string name;                   // SNI and name to verify; empty: the MX host's name
    std::string ca_file;                // empty: Settings::Probe::ca_file, else the system's store
    std::optional<IpAddress> source;    // bind to it
    std::optional<IpFamily> family;     // only this one
    // The least that holds; what this host's Postfix has for `verbatim` comes to it, where that is
    // stronger.
    TlsFloor floor{};
    std::string own_tables_socket;  // Settings::Tables::socket, not to be asked for it
    // Settings::Tls: what its owner publishes is looked up where a suggestion depends on it.
    std::string trust_anchor;
    bool mta_sts = false;
    std::uint32_t hello_bytes = 0;  // see ProbePlan
    bool ask_sizes = false;         // see ProbePlan
    // Set: probe just this endpoint (an observation named it) and resolve nothing.
    std::optional<Endpoint> only;
    // Set: of the servers that the next hop leads to, only these.
    std::optional<std::vector<IpAddress>> among;
    // Nobody asked for this next hop by name: what its name leads to is narrowed to what smtp(8)
    // would use (inet_protocols; never this host itself, see without_own()).
    bool as_postfix = false;
    // Decides for each endpoint whether it may be probed now, what it may be asked to bear and what
    // is known of its path already. None: a person's own probe, up to
    // Settings::Probe::max_connections.
    std::shared_ptr<EndpointGate> gate;
    // See ProbePlan.
    bool try_resumption = false;
    // From one connection to an endpoint to the next.
    Millis apart{0};
};

// Most that a probe takes longer where what is published is looked up.
inline constexpr std::chrono::seconds published_limit{20};
// What postmap(1) and postconf(1), asked one after the other, may take of a probe.
inline constexpr std::chrono::seconds programs_limit{120};

struct ServicePort {
    Service service = Service::smtp;
    std::uint16_t port = 25;
    bool operator==(const ServicePort&) const = default;
};

// For a progress display. Texts are ours.
struct ProbeProgress {
    std::string endpoint;  // "mail.example.org[192.0.2.1]:25"; empty while resolving
    Phase phase = Phase::resolve;
    std::optional<PathMtu> trying;  // the size under test in the search
    std::optional<PathMtu> passes;  // largest known to pass
    std::optional<PathMtu> fails;   // smallest known to fail
    std::uint32_t connections = 0;
};
using ProgressSink = std::function<void(const ProbeProgress&)>;

// Never throws for what a peer or the network does: that is a diagnosis in the report. One
// connection at a time, except that the first one stays open while the search goes on. Endpoints of
// one next hop are tried in MX order, one after the other; the rest are left out once a healthy one
// was found, as Postfix would stop there, unless an earlier one was ill.
class ProbeEngine {
  public:
    explicit ProbeEngine(const Settings::Probe& settings);  // outlives the engine
    ~ProbeEngine();
    ProbeEngine(const ProbeEngine&) = delete;
    ProbeEngine& operator=(const ProbeEngine&) = delete;

    boost::asio::awaitable<Report> probe(ProbeRequest request, ProgressSink progress);

    // The same host at several ports, at each of its addresses, one after the other; a report for
    // each endpoint. The host's own addresses count, not its MX records. A host that cannot be
    // found makes one report without endpoints.
    boost::asio::awaitable<std::vector<Report>> probe_each(ProbeRequest request,
                                                           std::vector<ServicePort> places,
                                                           ProgressSink progress);

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace postfathom
