// SPDX-License-Identifier: Apache-2.0
// Answers the socketmap tables `tls` and `ehlo` for all connections.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "lib/base/pace.hpp"
#include "lib/cache/probe_cache.hpp"
#include "lib/config/settings.hpp"
#include "policyd/connection.hpp"

namespace postfathom {

class FloorService {
  public:
    // Both outlive the service; `settings` may change between requests.
    FloorService(const Settings& settings, const CacheReader& cache);

    std::unique_ptr<Session> session();

    // Appends the answer to `key` of table `name`.
    void answer(std::string_view name, std::string_view key, std::string& out);

  private:
    const Settings& settings_;
    const CacheReader& cache_;
    Pace logged_;  // per table and key
};

}  // namespace postfathom
