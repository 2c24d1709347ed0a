// SPDX-License-Identifier: Apache-2.0
// What the daemon makes of Postfix's own reports of TLS handshakes (TLSRPT): a failure is one as in
// the log, a success is remembered for its next hop.
#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>

#include "lib/base/log.hpp"
#include "lib/mail_log/tls_report.hpp"
#include "probes/daemon.hpp"

namespace postfathom {

namespace {

// Each store makes the readers of the cache look again.
constexpr std::chrono::hours store_success_every{1};
constexpr std::size_t max_confirming = 16;

}  // namespace

Result<void> Daemon::on_tls_report(std::string_view datagram) {
    ++counters_.tls_reports;
    const auto report = parse_tls_report(datagram);
    if (!report) {
        ++counters_.bad_tls_reports;
        return tl::make_unexpected(report.error());
    }
    ++(report->succeeded ? counters_.tls_successes : counters_.tls_failures);
    if (report->succeeded) note_tls_success(report->domain);
    for (const auto& failure : report->failures)
        log::debug("{}: Postfix reports {} {}", report->domain, to_string(failure.kind),
                   failure.reason);
    for (auto& wish : observer_.tls_report(*report)) {
        if (!wish.place.assumed)
            request(std::move(wish.place), wish.reason);
        else if (confirming_.size() < max_confirming &&
                 confirmations_.allow(wish.place.next_hop, std::chrono::steady_clock::now()) &&
                 confirming_.insert(wish.place.next_hop).second)
            boost::asio::co_spawn(io_, confirm(std::move(wish.place)), boost::asio::detached);
    }
    return {};
}

void Daemon::note_tls_success(const std::string& domain) {
    const auto now = wall_now();
    tls_history_.note(domain, now);
    auto record = cache_.next_hop(domain);
    if (!record || record->tls_seen > now - store_success_every) return;
    record->tls_seen = now;
    CacheChange change;
    change.next_hops.push_back(std::move(*record));
    store(change);
}

// Unlike a line of the log, a report does not tell the port: an address that is none of the next
// hop's is not probed at all.
boost::asio::awaitable<void> Daemon::confirm(ProbePlace place) {
    const auto found = co_await look_up(place.next_hop);
    confirming_.erase(place.next_hop);
    if (!has_address(found, place.peer->address)) co_return;
    place.assumed = false;
    request(std::move(place), ProbeReason::failure_seen);
}

}  // namespace postfathom
