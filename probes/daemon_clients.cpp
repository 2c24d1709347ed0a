// SPDX-License-Identifier: Apache-2.0
// What the daemon keeps of the networks from which mail comes in: gathered here and stored a few
// times a minute, for each change of the cache makes its readers look again.
#include "lib/base/log.hpp"
#include "probes/daemon.hpp"

namespace postfathom {

namespace {

constexpr std::size_t clients_per_store = 1000;

}  // namespace

void Daemon::note_client(const ClientSeen& seen) {
    if (counts_as_client(seen.network) && !clients_.add(seen)) ++counters_.clients_dropped;
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
