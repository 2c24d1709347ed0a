// SPDX-License-Identifier: Apache-2.0
// Answers of postfathom-probed as stories for a person: what happened to a message, and what is
// known of a destination, with the evidence. Pure: JSON in, text out.
#pragma once

#include <boost/json/value.hpp>
#include <string>

namespace postfathom {

// Of GET /v1/destinations/NEXTHOP.
std::string destination_story(const boost::json::value& known);

// Of GET /v1/deliveries/QUEUEID, or to_json(MessageStory): then nothing is known of places.
std::string message_story(const boost::json::value& story);

}  // namespace postfathom
