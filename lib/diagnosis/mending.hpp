// SPDX-License-Identifier: Apache-2.0
// Whether a fix worked: what a report (schema 1) from before says, beside one from after. Pure.
#pragma once

#include <boost/json/fwd.hpp>
#include <string>
#include <vector>

#include "lib/diagnosis/diagnosis.hpp"

namespace postfathom {

enum class Mended { yes, no, unknown };
std::string_view to_string(Mended mended);

struct MendingItem {
    std::string id;      // "handshake", "path-mtu-inbound", ...
    std::string what;    // in words
    std::string before;  // empty: not known
    std::string after;
    Mended mended = Mended::unknown;
};

struct Mending {
    std::string destination;
    std::string before;  // the verdict in short; empty: nothing was known
    std::string after;
    Severity severity = Severity::unknown;  // of after
    bool was_ill = false;
    std::vector<MendingItem> items;
};

// `before` may be null: nothing was known.
Mending mending(const boost::json::value& before, const boost::json::value& after);

std::string to_text(const Mending& mending, bool colour);
boost::json::object to_json(const Mending& mending);

}  // namespace postfathom
