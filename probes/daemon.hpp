// SPDX-License-Identifier: Apache-2.0
// The sounding: what is seen and asked goes in, probes are run at the schedule's pace, what they
// find goes to the cache, the log and the event stream. One thread, one io_context.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/json/fwd.hpp>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/pace.hpp"
#include "lib/cache/probe_cache.hpp"
#include "lib/config/settings.hpp"
#include "lib/diagnosis/client.hpp"
#include "lib/diagnosis/report.hpp"
#include "lib/mail_log/delivery_stories.hpp"
#include "probes/clear_text_watch.hpp"
#include "probes/daemon_gate.hpp"
#include "probes/engine.hpp"
#include "probes/events.hpp"
#include "probes/observer.hpp"
#include "probes/probe_tally.hpp"
#include "probes/remember.hpp"
#include "probes/schedule.hpp"
#include "probes/socket_watch.hpp"
#include "probes/tls_history.hpp"

namespace postfathom {

// Plain functions that return a coroutine, not coroutine lambdas with captures.
using ProbeFunction = std::function<boost::asio::awaitable<Report>(ProbeRequest, ProgressSink)>;
// The addresses behind a next hop; empty when they cannot be had. Decides whether a peer of the log
// belongs to a recipient's domain, and whether a place has moved.
struct ResolvedAddresses {
    std::vector<IpAddress> addresses;
    std::optional<std::chrono::seconds> ttl;
    std::vector<std::string> names;  // of the servers
};
bool has_address(const ResolvedAddresses& found, const IpAddress& address);
using ResolveFunction = std::function<boost::asio::awaitable<ResolvedAddresses>(NextHop)>;

boost::json::object to_json(const PathSuspicion& suspicion);

class Daemon {
  public:
    // `io` and `cache` outlive the daemon, and the daemon outlives the run of `io`.
    Daemon(boost::asio::io_context& io, const Settings& settings, CacheWriter& cache,
           ProbeFunction probe, ResolveFunction resolve);
    Daemon(const Daemon&) = delete;
    Daemon& operator=(const Daemon&) = delete;

    void on_log_line(std::string_view line);
    void on_dovecot_line(std::string_view line);
    void on_notice(std::string_view datagram);
    // Postfix's own report of a TLS handshake; ErrorCode::corrupt when it is none.
    Result<void> on_tls_report(std::string_view datagram);
    // Whether such a datagram was passed on where it is wanted.
    void count_forwarded(bool done) { counters_.tls_reports_lost += done ? 0 : 1; }
    // All mail connections of this host, but for its own probes; and the last word of one.
    void on_sockets(std::span<const SocketSample> sockets, std::chrono::microseconds cost);
    void on_socket_ended(const SocketSample& socket);

    // Of a client that brings mail to us, or tries to. Stored with the next store_clients().
    void note_client(const ClientSeen& seen);
    void store_clients();

    // For a person. The probe is queued or joined; ErrorCode::full when there is no room.
    Result<void> ask(const NextHop& next_hop, const std::string& verbatim);
    // As above, and waits for its end; ErrorCode::timed_out when `limit` came first.
    boost::asio::awaitable<Result<void>> ask_and_wait(NextHop next_hop, std::string verbatim,
                                                      std::chrono::steady_clock::duration limit);
    // Removes what is known of a canonical next hop; false: nothing was. What Postfix does next, or
    // a person asks, begins anew.
    Result<bool> forget(const std::string& next_hop);
    // The longest time that a probe may take, for those who wait.
    std::chrono::steady_clock::duration longest_probe() const;

    // Asks for probes of what is ill and stale, and looks up again whose addresses have expired, a
    // part of the cache per call; removes what is too old, a part as well. Gives the time until the
    // next call.
    std::chrono::milliseconds refresh();

    // New settings for probes from now on; sockets and the cache stay as they are.
    void reload(const Settings& settings, ProbeFunction probe);

    const CacheReader& cache() const { return cache_; }
    const Settings& settings() const { return settings_; }
    const SocketWatch& sockets() const { return sockets_; }
    const DeliveryStories& stories() const { return stories_; }
    // See Observer.
    ProbePlace place_for(const std::string& domain, const std::optional<LoggedPeer>& peer) const {
        return observer_.place_for(domain, peer);
    }
    Events& events() { return events_; }

    struct Counters {
        Schedule::Counters schedule;
        Observer::Counters observer;
        std::uint64_t log_lines = 0;
        std::optional<WallTime> last_log_line{};  // when it was read
        std::uint64_t notices = 0;
        std::uint64_t bad_notices = 0;
        std::uint64_t clients_dropped = 0;  // seen, but too many networks at once
        std::uint64_t cache_errors = 0;
        std::uint64_t tls_reports = 0;
        std::uint64_t bad_tls_reports = 0;
        std::uint64_t tls_reports_lost = 0;  // that tlsrpt.forward_to did not take
        std::uint64_t tls_successes = 0;
        std::uint64_t tls_failures = 0;
        std::uint64_t event_readers = 0;
        std::uint64_t socket_wishes = 0;          // probes asked for by what connections tell
        std::chrono::microseconds socket_cost{};  // of the last look at them
        std::uint64_t clear_text_deliveries = 0;  // after TLS with that server had failed
    };
    Counters counters() const;
    const ProbeTally& probes() const { return probes_; }
    // As the last whole pass of refresh() through the cache had them.
    const DestinationTally& destinations() const { return destinations_; }
    // What policyd and the milter last told of their answers.
    struct HookNews {
        HookTimes times;
        WallTime told_at{};
    };
    const std::map<HookSocket, HookNews>& hooks() const { return hooks_; }

  private:
    void wish(const std::vector<ProbeWish>& wishes);
    void note_client_trouble(std::string_view line);
    void learn_route();
    boost::asio::awaitable<void> run_through(Schedule::Job job);
    boost::asio::awaitable<ResolvedAddresses> look_up(std::string name);
    boost::asio::awaitable<void> confirm_route(LoggedRoute found);
    void keep_route(RouteRecord route);
    void note_tls_success(const std::string& domain);
    boost::asio::awaitable<void> confirm(ProbePlace place);
    Schedule::Accepted request(ProbePlace place, ProbeReason reason);
    void pump();
    boost::asio::awaitable<void> run(Schedule::Job job);
    boost::asio::awaitable<ProbePlace> settle(ProbePlace place);
    boost::asio::awaitable<Report> probe(ProbePlace place, std::shared_ptr<DaemonGate> gate,
                                         bool for_person);
    bool only_seen(const ProbePlace& place) const;
    ProbeRequest request_for(const ProbePlace& place) const;
    bool occupied(const ProbePlace& place) const;
    void say_what_is_held_back(const std::string& key, const DaemonGate& gate);
    boost::asio::awaitable<void> look_up_again(std::vector<std::string> next_hops);
    void readdress(const std::string& next_hop, const ResolvedAddresses& found);
    void release_waiters(const std::string& key);
    Remembered conclude(const ProbePlace& probed, const Report& report);
    void believe_delivery(const ProbePlace& place);
    void tell(const Remembered& remembered);
    bool tls_path_is_ill(const LoggedPeer& peer) const;
    void raise_alarm(const ClearTextDelivery& found);
    void tell(const PathSuspicion& suspicion);
    void wish_for(const PathSuspicion& suspicion);
    struct Conclusion {
        Schedule::Ending ending = Schedule::Ending::conclusive;
        std::optional<Schedule::Time> again;
    };
    Conclusion conclusion_of(const Schedule::Job& job, const Report& report,
                             const Remembered& remembered, const DaemonGate& gate) const;
    void follow_up(const Schedule::Job& job, const ProbePlace& probed, const Report& report);
    void store(const CacheChange& change);
    void cache_failed(const Error& error);
    void remove_expired();

    boost::asio::io_context& io_;
    Settings settings_;
    CacheWriter& cache_;
    ProbeFunction probe_;
    ResolveFunction resolve_;
    std::shared_ptr<Servers> servers_;
    Schedule schedule_;
    Observer observer_;
    DeliveryStories stories_;
    ClearTextWatch clear_text_;
    TlsHistory tls_history_;
    std::size_t confirming_routes_ = 0;
    Pace confirmations_;
    std::set<std::string> confirming_;  // next hops of TLS reports that are looked up
    Pace alarms_;
    SocketWatch sockets_;
    Pace socket_news_;
    ClientTally clients_;
    Events events_;
    boost::asio::steady_timer wake_;
    // Those who wait for a probe to end.
    struct Waiter {
        boost::asio::steady_timer timer;
        bool ended = false;
    };
    std::multimap<std::string, Waiter*> waiting_;
    bool cache_broken_ = false;
    bool looking_up_ = false;
    std::string refresh_after_;
    std::chrono::milliseconds refresh_pause_{};
    std::size_t lookups_left_ = 0;
    std::chrono::steady_clock::time_point next_lookups_{};
    ProbeTally probes_;
    DestinationTally destinations_;
    DestinationTally counting_;  // of the pass under way
    std::map<HookSocket, HookNews> hooks_;
    Counters counters_;
};

}  // namespace postfathom
