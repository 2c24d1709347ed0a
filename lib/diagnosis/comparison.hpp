// SPDX-License-Identifier: Apache-2.0
// The ports and addresses of one host side by side, and what their differences say: a fault that
// spares implicit TLS, or one address family, is not the server's as a whole. Pure.
#pragma once

#include <boost/json/fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "lib/diagnosis/report.hpp"

namespace postfathom {

struct ComparedEndpoint {
    Endpoint endpoint;
    bool open = false;     // the connection was made
    std::string protocol;  // "TLSv1.3"; empty: no handshake completed
    InboundPath inbound;
    OutboundPath outbound;
    std::optional<double> handshake_seconds;  // of a first attempt that went through
    std::string certificate;                  // subject and end; empty: none was seen
    Diagnosis diagnosis;
    bool operator==(const ComparedEndpoint&) const = default;
};

struct ComparisonStatement {
    std::string id;    // stable: "only-ipv6-ill", "all-alike", ...
    std::string text;  // a sentence for the operator
    bool operator==(const ComparisonStatement&) const = default;
};

struct Comparison {
    std::vector<ComparedEndpoint> endpoints;
    std::vector<ComparisonStatement> statements;
    // The worst of the open ones: a port where nothing listens is no fault, since not every host
    // serves all of them. With none open, the worst of all.
    Diagnosis diagnosis;
};

// One endpoint per report; those without are left out.
Comparison compare(const std::vector<Report>& reports);

boost::json::object to_json(const std::string& host, const std::vector<Report>& reports,
                            const Comparison& comparison);

// A table, what it says in words, and what each kind of fault means.
std::string to_text(const std::string& host, const Comparison& comparison, bool colour);

}  // namespace postfathom
