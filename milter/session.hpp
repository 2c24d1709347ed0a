// SPDX-License-Identifier: Apache-2.0
// One connection from Postfix, without libmilter: asks the cache, sends notices, keeps the
// message's envelope. A session is used by one thread at a time; what all sessions share is in
// MilterService.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>

#include "lib/base/pace.hpp"
#include "lib/cache/probe_cache.hpp"
#include "lib/config/settings.hpp"
#include "lib/net/notice.hpp"
#include "milter/envelope.hpp"

namespace postfathom {

class MilterService {
  public:
    // `cache` outlives the service. `send` may be called by any thread.
    MilterService(const Settings& settings, std::string host_token, const CacheReader& cache,
                  std::function<bool(const Notice&)> send,
                  std::function<WallTime()> clock = wall_now);

    // At most once per `key` and ten minutes; never waits.
    void notify(const Notice& notice, const std::string& key,
                std::chrono::steady_clock::time_point now);

    const CacheReader& cache() const { return cache_; }
    const AgeLimits& age_limits() const { return age_; }
    bool add_header() const { return add_header_; }
    const std::string& host_token() const { return host_token_; }
    WallTime now() const { return clock_(); }

    // How many callbacks run right now; at the end of the program nobody pulls the rug from under
    // them.
    std::atomic<int> running{0};
    // Set by the first callback that caught an exception, which is then the only one to log it.
    std::atomic_flag failed = ATOMIC_FLAG_INIT;

  private:
    const CacheReader& cache_;
    const AgeLimits age_;
    const bool add_header_;
    const std::string host_token_;
    const std::function<bool(const Notice&)> send_;
    const std::function<WallTime()> clock_;
    std::mutex pace_mutex_;
    Pace pace_;
};

class MilterSession {
  public:
    explicit MilterSession(MilterService& service) : service_(service) {}

    void recipient(const RecipientMacros& macros);
    void header(std::string_view name) { envelope_.header(name); }
    // Also begins the next message.
    HeaderActions end_of_message();
    // The message is over, the connection goes on.
    void reset() { envelope_ = {}; }

    // What was agreed on with Postfix for this connection.
    struct Agreement {
        bool change_headers = false;
        bool add_headers = false;
        bool recipient_reply = true;
        bool header_reply = true;
    } agreement;

  private:
    MilterService& service_;
    Envelope envelope_;
};

}  // namespace postfathom
