// SPDX-License-Identifier: Apache-2.0
// Answers the socketmap tables `tls` and `ehlo` for all connections.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "lib/base/pace.hpp"
#include "lib/cache/probe_cache.hpp"
#include "lib/config/settings.hpp"
#include "lib/diagnosis/tls_floor.hpp"
#include "policyd/connection.hpp"

namespace postfathom {

class FloorService {
  public:
    // Both outlive the service; `settings` may change between requests.
    FloorService(const Settings& settings, const CacheReader& cache);

    // Told which server process `pid` has just asked about with table `ehlo`.
    using Greeted = std::function<void(std::uint32_t pid, const IpAddress& server)>;
    void on_greeted(Greeted greeted) { greeted_ = std::move(greeted); }

    // For a client that is process `pid`.
    std::unique_ptr<Session> session(std::uint32_t pid);

    // Appends the answer to `key` of table `name`.
    void answer(std::uint32_t pid, std::string_view name, std::string_view key, std::string& out);

  private:
    std::optional<SuggestedLevel> level_for(std::string_view key);

    // What was decided about an ill next hop holds for some seconds, while smtp(8) processes ask
    // again and again: it takes several records to decide.
    struct Held {
        std::optional<SuggestedLevel> level;
        std::chrono::steady_clock::time_point until;
    };

    Greeted greeted_;
    const Settings& settings_;
    const CacheReader& cache_;
    Pace logged_;  // per table and key
    std::unordered_map<std::string, Held> held_;
    TlsLevel held_floor_ = TlsLevel::may;
};

}  // namespace postfathom
