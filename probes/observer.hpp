// SPDX-License-Identifier: Apache-2.0
// From what Postfix's log and the other daemons tell to places worth a probe. Only places that
// Postfix itself sends to come out of here: an outsider who mails us must not be able to aim our
// probes. Pure but for lookups in the cache; bounded.
#pragma once

#include <cstdint>
#include <deque>
#include <list>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "lib/cache/probe_cache.hpp"
#include "lib/config/settings.hpp"
#include "lib/mail_log/lines.hpp"
#include "lib/mail_log/tls_report.hpp"
#include "lib/net/notice.hpp"
#include "probes/logged_routes.hpp"
#include "probes/schedule.hpp"

namespace postfathom {

// "Probe this, because".
struct ProbeWish {
    ProbePlace place;
    ProbeReason reason = ProbeReason::failure_seen;
    // With `recovered`: the log tells that the delivery's own TLS handshake was completed
    // (smtp_tls_loglevel = 1).
    bool handshake_seen = false;
    bool operator==(const ProbeWish&) const = default;
};

// Next hops that Postfix was seen to send to, the most recently seen kept.
class SeenPlaces {
  public:
    explicit SeenPlaces(std::size_t limit) : limit_(limit) {}
    void note(ProbePlace place);
    std::optional<ProbePlace> find(const std::string& next_hop) const;
    // The most recent one whose next hop has this host, in brackets or not, with whatever port; one
    // by way of `address` before others.
    std::optional<ProbePlace> find_host(std::string_view host,
                                        const std::optional<IpAddress>& address) const;
    // The most recent one by way of a server.
    std::optional<ProbePlace> find_server(const Endpoint& server) const;
    std::size_t size() const { return order_.size(); }

  private:
    std::size_t limit_;
    std::list<ProbePlace> order_;  // most recent first
    std::unordered_map<std::string, std::list<ProbePlace>::iterator> by_name_;
};

// What deliveries in the log tell of the way to a recipient domain.
struct LoggedRoute {
    RouteRecord route;
    LoggedPeer relay;
    // On port 25 it may be one of the domain's own servers: a look at the DNS has to tell that it
    // is none.
    bool to_confirm = false;
};

class Observer {
  public:
    static constexpr std::size_t max_processes = 4096;  // smtp(8) processes remembered
    static constexpr std::size_t max_peers = 5;         // of one delivery; smtp_mx_address_limit
    static constexpr std::size_t max_places = 20'000;
    static constexpr std::size_t max_ways = 20'000;

    explicit Observer(const CacheReader& cache)
        : cache_(cache), places_(max_places), ways_(max_ways) {}

    // Those of the configuration: the operator says that mail goes there.
    void set_routes(std::vector<ConfiguredRoute> routes) { routes_ = std::move(routes); }

    // What a line of the mail log makes worth probing.
    std::vector<ProbeWish> line(const LogLine& line);
    // A line that tells nothing of an outcome or of trouble with the transport, but perhaps that a
    // server refused something before another took the message.
    void other_line(std::string_view line);
    // The route that the last line made certain. One that it disproved goes into `change`.
    std::optional<LoggedRoute> logged_route(CacheChange& change, WallTime now);

    // Likewise a notice. A learned route goes into `change`.
    std::vector<ProbeWish> notice(const Notice& notice, CacheChange& change, WallTime now);

    // Likewise what Postfix tells through libtlsrpt. A wish whose place is `assumed` is one only if
    // the peer is an address of the next hop: its port is not told.
    std::vector<ProbeWish> tls_report(const TlsReport& report);

    struct Counters {
        std::uint64_t deliveries = 0;
        std::uint64_t troubles = 0;
        std::uint64_t not_ours = 0;  // verdicts wanted on places that Postfix was not seen to use
        std::uint64_t tls_not_placed = 0;  // TLS reports of failures that fit no next hop
        std::uint64_t processes = 0;
        std::uint64_t places = 0;
    };
    Counters counters() const;

    // The place that mail goes to by way of a server, for what tells of servers only; nothing for
    // one that Postfix was not seen to use.
    std::optional<ProbePlace> place_of_server(const Endpoint& server) const;

    // Where mail for a recipient domain goes, as far as it is known; `assumed` when only the domain
    // speaks for it.
    ProbePlace place_for(const std::string& domain, const std::optional<LoggedPeer>& peer) const;

  private:
    // What the log of one smtp(8) process tells of its delivery at hand.
    struct Delivery {
        std::vector<LoggedPeer> ill_peers;
        std::vector<IpAddress> tls_peers;  // whose handshake was completed
        std::string reported;              // queue id whose outcome was logged
        bool sent = false;                 // and that outcome
        bool clean = true;                 // no server had any trouble, or said no

        // The outcome now logged is that of a later delivery: of another message, or of the same
        // one tried again.
        bool over(const std::string& queue_id, bool now_sent) const {
            return !reported.empty() && (reported != queue_id || (now_sent && !sent));
        }
    };

    void trouble(std::uint32_t pid, const Trouble& trouble);
    void established(std::uint32_t pid, const LoggedPeer& peer);
    std::vector<ProbeWish> outcome(const LogLine& line, const DeliveryStatus& status);
    Delivery& delivery_of(std::uint32_t pid);
    Delivery& next_delivery_of(std::uint32_t pid);
    bool mended(const ProbePlace& place) const;
    std::optional<ProbePlace> place_of_report(const std::string& host,
                                              const std::optional<LoggedPeer>& peer) const;
    std::vector<ProbeWish> wanted(const VerdictWanted& notice);
    std::vector<ProbeWish> failed(const FailureSeen& notice);
    std::vector<ProbeWish> learned(const RouteLearned& notice, CacheChange& change, WallTime now);

    const CacheReader& cache_;
    std::unordered_map<std::uint32_t, Delivery> deliveries_;
    std::deque<std::uint32_t> pids_;  // oldest first
    SeenPlaces places_;
    std::vector<ConfiguredRoute> routes_;
    // The last outcome, where it was one to learn from.
    struct Delivered {
        std::string domain;
        std::string queue_id;
        LoggedPeer relay;
    };
    std::optional<Delivered> delivered_;
    LoggedRoutes ways_;
    Counters counters_;
};

}  // namespace postfathom
