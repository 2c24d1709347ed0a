// SPDX-License-Identifier: Apache-2.0
// One connection from Postfix, without libmilter: asks the cache, sends notices, keeps the
// message's envelope. A session is used by one thread at a time; what all sessions share is in
// MilterService.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/base/pace.hpp"
#include "lib/cache/probe_cache.hpp"
#include "lib/config/settings.hpp"
#include "lib/net/notice.hpp"
#include "milter/envelope.hpp"
#include "milter/running.hpp"

namespace postfathom {

// What the configuration says of the answers. A session keeps those that it began with: they are
// what was agreed on with Postfix.
struct MilterTerms {
    MilterTerms(const Settings& settings, std::string host_token);

    PolicyMode mode;
    Settings::Defer defer;
    std::vector<ConfiguredRoute> routes;
    AgeLimits age;
    std::string host_token;

    // The other modes leave messages as they are.
    bool changes_messages() const { return mode == PolicyMode::tag || mode == PolicyMode::defer; }
    bool may_refuse() const { return mode == PolicyMode::defer; }
};

class MilterService {
  public:
    // `cache` outlives the service. `send` may be called by any thread.
    MilterService(const Settings& settings, std::string host_token, const CacheReader& cache,
                  std::function<bool(const Notice&)> send,
                  std::function<WallTime()> clock = wall_now);

    // For sessions that begin from now on.
    void reload(const Settings& settings, std::string host_token);
    std::shared_ptr<const MilterTerms> terms() const;

    // At most once per `key` and ten minutes; never waits.
    void notify(const Notice& notice, const std::string& key,
                std::chrono::steady_clock::time_point now);

    // One session of a client. Told to the prober with the next tell_clients(), many at a time.
    void count_client(const ClientSeen& seen);
    // To be called every few seconds, by one thread; never waits. What the prober does not take is
    // kept for the next time.
    void tell_clients();

    // To be called every few seconds, by one thread; never waits.
    void tell_times(std::chrono::steady_clock::time_point now);

    // True once an hour for each next hop.
    bool worth_a_line(const std::string& next_hop, std::chrono::steady_clock::time_point now);

    const CacheReader& cache() const { return cache_; }
    WallTime now() const { return clock_(); }

    // How long Postfix waited for the answers of callbacks.
    HookTimer times{HookSocket::milter};
    // At the end of the program nobody pulls the rug from under them.
    RunningCallbacks running;
    // Set by the first callback that caught an exception, which is then the only one to log it.
    std::atomic_flag failed = ATOMIC_FLAG_INIT;

  private:
    const CacheReader& cache_;
    const std::function<bool(const Notice&)> send_;
    const std::function<WallTime()> clock_;
    mutable std::mutex terms_mutex_;  // held for a copy of a pointer
    std::shared_ptr<const MilterTerms> terms_;
    std::mutex pace_mutex_;
    Pace pace_;
    Pace lines_;
    std::mutex clients_mutex_;  // held for one look-up, never while anything is sent
    ClientTally clients_;
    std::optional<std::chrono::steady_clock::time_point> told_times_;
};

// A recipient that has to wait: the reply's parts.
struct Refusal {
    std::string status;  // "4.4.2"
    std::string text;
};

class MilterSession {
  public:
    explicit MilterSession(MilterService& service) : service_(service), terms_(service.terms()) {}

    // Before the recipient that it is for; counts a connection once, and again when it has begun
    // TLS since.
    void client(const ClientMacros& macros);
    std::optional<Refusal> recipient(const RecipientMacros& macros);
    void header(std::string_view name) { envelope_.header(name); }
    // Begins the next message, as end_of_message() does. For modes that leave messages as they are:
    // the lines for the log.
    std::vector<std::string> say_findings();
    HeaderActions end_of_message();
    // With its headers seen: nothing will be done about the message, in a mode that would.
    bool leaves_message() const;
    // The message is over, the connection goes on.
    void reset();

    const MilterTerms& terms() const { return *terms_; }

    // What was agreed on with Postfix for this connection.
    struct Agreement {
        bool change_headers = false;
        bool add_headers = false;
        bool recipient_reply = true;
        bool header_reply = true;
    } agreement;

  private:
    HeaderActions header_actions() const;
    std::optional<RecipientRoute> route_for(const RecipientMacros& macros, WallTime now,
                                            std::chrono::steady_clock::time_point tick);
    std::optional<KnownVerdict> finding_for(const std::string& next_hop, WallTime now,
                                            std::chrono::steady_clock::time_point tick);
    std::optional<Refusal> refusal(const RecipientMacros& macros, const RecipientRoute& route,
                                   WallTime now, std::chrono::steady_clock::time_point tick);

    MilterService& service_;
    const std::shared_ptr<const MilterTerms> terms_;
    Envelope envelope_;
    // What was found for this message, so that a next hop is looked up once.
    std::vector<std::pair<std::string, std::optional<KnownVerdict>>> looked_up_;
    std::string counted_client_;
};

}  // namespace postfathom
