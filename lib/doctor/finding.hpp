// SPDX-License-Identifier: Apache-2.0
// What `postfathom doctor` says of one matter of this host, as text and as JSON.
#pragma once

#include <boost/json/object.hpp>
#include <string>
#include <vector>

#include "lib/diagnosis/diagnosis.hpp"

namespace postfathom {

struct Finding {
    std::string id;                    // stable: "tunnel-mtu"
    Severity severity = Severity::ok;  // unknown: it could not be examined
    std::string what;                  // with the values found
    std::string why;                   // why it matters
    std::vector<std::string> mend;     // command lines, or lines of a named file
    bool operator==(const Finding&) const = default;
};

// 0 ok or notice, 1 warning, 2 critical. What could not be read does not count, unless nothing else
// is known: 3.
int exit_status(const std::vector<Finding>& findings);

// Worst first; what is in order is one line each.
std::string to_text(const std::vector<Finding>& findings, bool colour);
boost::json::object to_json(const std::vector<Finding>& findings);

}  // namespace postfathom
