// SPDX-License-Identifier: Apache-2.0
// What a probe of a destination found, as a value, as JSON (schema 1) and as text for a terminal.
#pragma once

#include <boost/json/fwd.hpp>
#include <string>
#include <vector>

#include "lib/base/result.hpp"
#include "lib/diagnosis/diagnose.hpp"
#include "lib/diagnosis/published_tls.hpp"
#include "lib/diagnosis/suggestion.hpp"

namespace postfathom {

inline constexpr int report_schema = 1;

struct EndpointReport {
    Evidence evidence;
    EndpointVerdict verdict;
};

// An endpoint that was not probed this time, to spare it.
struct HeldBack {
    Endpoint endpoint;
    std::string why;   // in our own words, and the server's where it asked for it (printable)
    WallTime until{};  // when it may be probed again
    bool operator==(const HeldBack&) const = default;
};

struct Report {
    std::string destination;                // canonical next hop
    std::vector<EndpointReport> endpoints;  // in the order tried
    std::vector<HeldBack> held_back{};
    // Until when the resolver says that these are the endpoints.
    std::optional<WallTime> addresses_expire{};
    Diagnosis diagnosis;  // the worst of the endpoints', or why there is no endpoint
    std::vector<Suggestion> suggestions;
    TlsFloor floor{};  // Postfix's level for the next hop
    // Where a suggestion depends on it.
    std::optional<PublishedTls> published{};
};

// Worst first by severity, then by the order above. `no_endpoint` is the verdict when there are
// none.
Diagnosis worst(const std::vector<EndpointReport>& endpoints, const Diagnosis& no_endpoint);

boost::json::object to_json(const Report& report);

// The text report: what was tried, what was found, what to do. `colour` uses ANSI bold and colours.
std::string to_text(const Report& report, bool colour);

// Exit status of `probe` and `check`: 0 healthy or notice, 1 warning, 2 critical, 3 could not tell.
int exit_status(const Diagnosis& diagnosis);

}  // namespace postfathom
