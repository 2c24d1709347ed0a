// SPDX-License-Identifier: Apache-2.0
// Records as versioned JSON, the same bytes in a dump and on the admin socket. Unknown fields are
// ignored; another version, broken bytes or values out of range are an error.
#pragma once

#include <boost/json/fwd.hpp>
#include <string>
#include <string_view>

#include "lib/base/result.hpp"
#include "lib/diagnosis/record.hpp"

namespace postfathom {

inline constexpr int record_version = 1;
inline constexpr std::size_t max_record_bytes = 64 * 1024;

std::string encode(const NextHopRecord& record);
std::string encode(const EndpointRecord& record);
std::string encode(const PathRecord& record);
std::string encode(const RouteRecord& record);

Result<NextHopRecord> decode_next_hop(std::string_view bytes);
Result<EndpointRecord> decode_endpoint(std::string_view bytes);
Result<PathRecord> decode_path(std::string_view bytes);
Result<RouteRecord> decode_route(std::string_view bytes);

// For the admin socket.
boost::json::object to_json(const KnownVerdict& verdict);
boost::json::object to_json(const PathRecord& record);
boost::json::object to_json(const PastVerdict& past);

}  // namespace postfathom
