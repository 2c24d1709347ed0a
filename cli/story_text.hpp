// SPDX-License-Identifier: Apache-2.0
// Answers of postfathom-probed as stories for a person: what happened to a message, and what is
// known of a destination, with the evidence. Pure: JSON in, text out.
#pragma once

#include <boost/json/value.hpp>
#include <string>

namespace postfathom {

// Of GET /v1/destinations/NEXTHOP.
std::string destination_story(const boost::json::value& known);

// When qmgr(8) tries again, in seconds: postconf(5), minimal_backoff_time and maximal_backoff_time.
struct QueueTimes {
    double minimal_backoff = 300;
    double maximal_backoff = 4000;
    bool of_this_host = false;  // false: the defaults of Postfix
};

// Of GET /v1/deliveries/QUEUEID, or to_json(MessageStory): then nothing is known of places.
std::string message_story(const boost::json::value& story, const QueueTimes& times);

}  // namespace postfathom
