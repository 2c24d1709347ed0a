// SPDX-License-Identifier: Apache-2.0
// What smtpd(8), postscreen(8), tlsproxy(8) and qmgr(8) write, what smtp(8) writes beside trouble
// with a server (lines.hpp), and what Dovecot writes of its clients' connections, parsed. Pure; any
// bytes are accepted. The formats are those of smtpd.c, tls_server.c, postscreen*.c, tlsproxy.c,
// qmgr_active.c, qmgr_entry.c and smtp_proto.c from 3.7 to 3.11.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "lib/mail_log/scan.hpp"

namespace postfathom {

enum class ServerEventKind {
    // smtpd(8); the peer is a client.
    accept_error,      // SSL_accept error from HOST[ADDR]: REASON
    tls_from_client,   // ... TLS connection established from HOST[ADDR][ to SNI]: PROTOCOL with ...
    client_lost,       // lost connection after STAGE [(N bytes)] from HOST[ADDR]
    client_timed_out,  // timeout after STAGE [(N bytes)] from HOST[ADDR]
    client_errors,     // too many errors after STAGE from HOST[ADDR]
    client_left,       // disconnect from HOST[ADDR] ehlo=1 starttls=0/1 ...
    client_pipelined,  // improper command pipelining after STAGE from HOST[ADDR]
    client_tls_refused,  // Refusing STARTTLS request from, New TLS session rate limit exceeded
    client_tls_abort,    // abort: TLS from HOST[ADDR]: REASON
    // postscreen(8)
    screen_connected,     // CONNECT from [ADDR]:PORT to ...
    screen_hung_up,       // HANGUP after T from [ADDR]:PORT in tests before|after SMTP handshake
    screen_talked_early,  // PREGREET N after T from [ADDR]:PORT
    screen_timed_out,     // COMMAND TIME LIMIT from [ADDR]:PORT after STAGE
    screen_misbehaved,    // COMMAND PIPELINING, BARE NEWLINE, NON-SMTP COMMAND
    screen_passed,        // PASS NEW|OLD [ADDR]:PORT
    screen_left,          // DISCONNECT [ADDR]:PORT
    // tlsproxy(8), for smtp(8) with smtp_tls_connection_reuse and for postscreen(8)
    proxy_connected,         // CONNECT to|from [ADDR]:PORT
    proxy_handshake_failed,  // TLS handshake failed for service=... peer=[ADDR]:PORT
    proxy_timed_out,         // warning: ciphertext read/write timeout for [ADDR]:PORT
    proxy_left,              // DISCONNECT [ADDR]:PORT
    // smtp(8); the peer is a server
    session_reused,       // re-using session with untrusted certificate
    tlsa_unusable,        // TLSA records cannot be looked up or used
    pix_workarounds,      // enabling PIX workarounds
    keywords_discarded,   // discarding EHLO keywords
    pipelining_advice,    // to prevent loss of mail, turn off command pipelining for ADDR
    implicit_tls_needed,  // SMTPS wrappermode (TCP port 465) requires ...
    mail_loops,           // greeted me with my own hostname
    tls_library,          // TLS library problem: ...
    own_tls_policy,  // our own TLS policy table or setting failed: the server has no part in it
    own_table,       // another of our own tables failed
    // qmgr(8)
    queued,         // from=<...>, size=N, nrcpt=N (queue active)
    removed,        // removed
    queue_crowded,  // mail for DOMAIN is using up N of M active queue entries
    // Dovecot's login processes; the peer is a client
    imap_handshake_failed,  // SSL_accept() failed: ..., or it ended while TLS was shaking hands
    imap_timed_out,         // inactivity
    imap_left,
};
std::string_view to_string(ServerEventKind kind);

struct ServerEvent {
    LineHead head;
    std::string queue_id{};  // empty: none, or NOQUEUE
    ServerEventKind kind = ServerEventKind::client_left;
    std::optional<LoggedPeer>
        peer{};           // postscreen, tlsproxy and Dovecot print no host name: it is empty then
    std::string stage{};  // the command before: "STARTTLS", "DATA"
    std::optional<std::uint64_t> bytes{};  // that arrived of a message; of a message in the queue
    std::string detail{};                  // the reason, protocol, domain or table, as written
    // disconnect: STARTTLS was begun (total) and ended in TLS (good).
    std::uint32_t starttls_total = 0;
    std::uint32_t starttls_good = 0;
    bool operator==(const ServerEvent&) const = default;
};

// Nothing for other lines. `line` is without its newline; longer than max_log_line_bytes it is cut
// first.
std::optional<ServerEvent> parse_server_line(std::string_view line);
// The same behind a head that was taken already.
std::optional<ServerEvent> parse_server_text(LineHead head, std::string_view text);

}  // namespace postfathom
