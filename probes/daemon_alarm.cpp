// SPDX-License-Identifier: Apache-2.0
// What the daemon does when Postfix sent mail in clear text though TLS had been tried: an event, a
// line in the log, a number for the metrics, and what would keep it from happening again.
#include <fmt/format.h>

#include <boost/json/object.hpp>

#include "lib/base/log.hpp"
#include "lib/base/text.hpp"
#include "lib/diagnosis/clear_text_guard.hpp"
#include "lib/diagnosis/report.hpp"
#include "lib/suggestion/suggest.hpp"
#include "probes/daemon.hpp"

namespace postfathom {

namespace {

SuggestionContext context_of(const std::string& next_hop, const Endpoint& endpoint,
                             TlsFloor floor) {
    SuggestionContext context;
    if (const auto parsed = parse_next_hop(next_hop)) context.next_hop = *parsed;
    context.next_hop_verbatim = next_hop;
    context.endpoint = endpoint;
    context.floor = floor;
    return context;
}

}  // namespace

// Whether TLS with a server is known to fail.
bool Daemon::tls_path_is_ill(const LoggedPeer& peer) const {
    const auto known = cache_.endpoint(peer.address, peer.port.value_or(25));
    return known && ill(known->verdict) && fails_for_transport(known->verdict.id) &&
           freshness(known->verdict, wall_now(), settings_.cache.age) != Freshness::expired;
}

void Daemon::raise_alarm(const ClearTextDelivery& found) {
    ++counters_.clear_text_deliveries;
    const auto place = observer_.place_for(found.recipient_domain, found.peer);
    const auto endpoint = place.peer.value_or(Endpoint{});
    const auto& next_hop = place.verbatim.empty() ? place.next_hop : place.verbatim;
    const auto known = cache_.next_hop(place.next_hop);
    const auto floor = floor_by(known ? &*known : nullptr, settings_.tls.floor);
    const auto suggestion = hold_to_tls(context_of(next_hop, endpoint, floor));

    boost::json::object event;
    event["event"] = "clear-text-delivery";
    event["at"] = to_rfc3339(wall_now());
    event["severity"] = to_string(Severity::warning);
    event["next_hop"] = place.next_hop;
    event["queue_id"] = printable(found.queue_id);
    event["endpoint"] = to_string(endpoint);
    event["sign"] = to_string(found.sign);
    event["tls_failures"] = found.failures;
    event["suggestion"] = nullptr;
    if (suggestion) event["suggestion"] = to_json(*suggestion);
    events_.publish(event);

    const auto subject = place.next_hop.empty() ? to_string(endpoint) : place.next_hop;
    if (!alarms_.allow(subject, std::chrono::steady_clock::now())) return;
    const auto advice =
        suggestion ? fmt::format("\"{}\" in smtp_tls_policy_maps makes it wait for TLS instead",
                                 suggestion->commands.front())
        : !floor.certain() ? std::string("which TLS level Postfix has for it is not known yet")
        : floor.level() > TlsLevel::may
            ? fmt::format("its TLS level was {} when it was probed", to_string(floor.level()))
            : std::string("which next hop it is could not be learned");
    log::warning(
        "{}: message {} went IN CLEAR TEXT to {}, with which TLS {}; {} (further ones within an "
        "hour are only counted)",
        subject, printable(found.queue_id), to_string(endpoint),
        found.failures > 0 ? "has failed" : "is known to fail", advice);
}

}  // namespace postfathom
