// SPDX-License-Identifier: Apache-2.0
// What `postfathom queue` shows: stuck mail with what is known of each next hop, as text and JSON.
#pragma once

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <cstdint>
#include <string>
#include <vector>

#include "lib/base/units.hpp"
#include "lib/mail_queue/groups.hpp"

namespace postfathom {

struct QueueRow {
    QueueGroup group;
    bool probed = false;
    boost::json::value known;  // as GET /v1/destinations/NEXTHOP answers; null: nothing
    std::string remark;        // why there is no diagnosis, in words
};

struct QueueView {
    std::vector<QueueRow> rows;
    std::uint64_t messages = 0;
    std::uint64_t stuck = 0;
    std::uint64_t held = 0;
    std::uint64_t under_way = 0;
    std::uint64_t unreadable = 0;
    bool cut = false;            // the listing is longer than what was read
    std::string daemon_trouble;  // why the daemon could not be asked; empty: it could
};

std::string to_text(const QueueView& view, WallTime now, bool colour);
boost::json::object to_json(const QueueView& view);

}  // namespace postfathom
