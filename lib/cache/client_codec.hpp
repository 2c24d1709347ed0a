// SPDX-License-Identifier: Apache-2.0
// What is known of client networks as JSON: in records, in notices and on the admin socket.
#pragma once

#include <boost/json/object.hpp>
#include <string>
#include <string_view>

#include "lib/base/result.hpp"
#include "lib/cache/json_fields.hpp"
#include "lib/diagnosis/client.hpp"

namespace postfathom {

std::string encode(const ClientRecord& record);
Result<ClientRecord> decode_client(std::string_view bytes);

// Counts are those of recent().
boost::json::object to_json(const ClientRecord& record, WallTime now);

// The members of a notice, and back; another network than a whole one is refused.
void put(boost::json::object& object, const ClientSeen& seen);
ClientSeen decode_client_seen(JsonFields& fields);

}  // namespace postfathom
