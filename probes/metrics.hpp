// SPDX-License-Identifier: Apache-2.0
// The daemon's numbers in Prometheus' text format (version 0.0.4). Every label has a closed set of
// values, known when the program is built: no next hop, address or text of a peer is ever one.
#pragma once

#include <chrono>
#include <string>

#include "probes/daemon.hpp"

namespace postfathom {

inline constexpr const char* metrics_content_type = "text/plain; version=0.0.4; charset=utf-8";

std::string metrics_text(const Daemon& daemon, std::chrono::duration<double> uptime);

}  // namespace postfathom
