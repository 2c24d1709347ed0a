// SPDX-License-Identifier: Apache-2.0
#include "probes/client_events.hpp"

namespace postfathom {

namespace {

bool in_data(const ServerEvent& event) {
    return event.stage.starts_with("DATA") || event.stage.starts_with("BDAT");
}

}  // namespace

std::optional<ClientSeen> client_seen(const ServerEvent& event) {
    if (!event.peer) return std::nullopt;
    ClientSeen seen;
    seen.network = network_of(event.peer->address);
    switch (event.kind) {
        case ServerEventKind::accept_error:
        case ServerEventKind::imap_handshake_failed:
            seen.counts.failed_handshakes = 1;
            return seen;
        case ServerEventKind::proxy_handshake_failed:
            // With smtp_tls_connection_reuse tlsproxy is a client, and the peer a server.
            if (event.detail == "smtp" || event.detail == "lmtp") return std::nullopt;
            seen.counts.failed_handshakes = 1;
            return seen;
        case ServerEventKind::client_lost:
        case ServerEventKind::client_timed_out:
            if (!in_data(event)) return std::nullopt;
            seen.counts.lost_in_data = 1;
            return seen;
        default:
            return std::nullopt;
    }
}

}  // namespace postfathom
