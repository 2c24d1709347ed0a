// SPDX-License-Identifier: Apache-2.0
// What the daemon keeps of the networks from which mail comes in: gathered here and stored a few
// times a minute, for each change of the cache makes its readers look again.
#include "lib/mail_log/server_lines.hpp"
#include "probes/client_events.hpp"
#include "probes/daemon.hpp"

namespace postfathom {

namespace {

constexpr std::size_t clients_per_store = 1000;

}  // namespace

void Daemon::note_client(const ClientSeen& seen) {
    if (counts_as_client(seen.network) && !clients_.add(seen)) ++counters_.clients_dropped;
}

// What the milter is not told.
void Daemon::note_client_trouble(std::string_view line) {
    const auto event = parse_server_line(line);
    if (const auto seen = event ? client_seen(*event) : std::nullopt) note_client(*seen);
}

// A log of its own: what else is in it Postfix's log tells too.
void Daemon::on_dovecot_line(std::string_view line) {
    const auto event = parse_server_line(line);
    if (!event || event->kind != ServerEventKind::imap_handshake_failed) return;
    if (const auto seen = client_seen(*event)) note_client(*seen);
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
