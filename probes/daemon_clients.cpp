// SPDX-License-Identifier: Apache-2.0
// What the daemon keeps of the networks from which mail comes in: gathered here and stored a few
// times a minute, for each change of the cache makes its readers look again.
#include "lib/mail_log/server_lines.hpp"
#include "probes/daemon.hpp"

namespace postfathom {

namespace {

constexpr std::size_t clients_per_store = 1000;

// A handshake that fails is "SSL_accept error" once, whatever follows it.
ClientCounts trouble_of(const ServerEvent& event) {
    ClientCounts counts;
    if (event.kind == ServerEventKind::accept_error) counts.failed_handshakes = 1;
    const bool ended = event.kind == ServerEventKind::client_lost ||
                       event.kind == ServerEventKind::client_timed_out;
    if (ended && (event.stage == "DATA" || event.stage == "BDAT")) counts.lost_in_data = 1;
    return counts;
}

}  // namespace

void Daemon::note_client(const ClientSeen& seen) {
    if (counts_as_client(seen.network) && !clients_.add(seen)) ++counters_.clients_dropped;
}

// What the milter is not told.
void Daemon::note_client_trouble(std::string_view line) {
    const auto event = parse_server_line(line);
    if (!event || !event->peer) return;
    const auto counts = trouble_of(*event);
    if (counts != ClientCounts{}) note_client({network_of(event->peer->address), counts});
}

void Daemon::store_clients() {
    while (clients_.networks() > 0) {
        const auto now = wall_now();
        CacheChange change;
        for (const auto& seen : clients_.take(clients_per_store))
            change.clients.push_back(
                absorb(cache_.client(client_network(seen.network)), seen, now));
        store(change);
    }
}

}  // namespace postfathom
