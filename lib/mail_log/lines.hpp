// SPDX-License-Identifier: Apache-2.0
// What Postfix writes about outbound deliveries, parsed. Pure; any bytes are accepted. What its
// servers and the others write is in server_lines.hpp.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "lib/mail_log/scan.hpp"

namespace postfathom {

// The trouble a line tells of.
enum class TroubleKind {
    handshake_error,         // SSL_connect error to HOST[ADDR]:PORT: ...
    certificate_error,       // certificate verification failed for HOST[ADDR]:PORT: ...
    conversation_timed_out,  // conversation with HOST[ADDR] timed out while ...
    lost_connection,         // lost connection with HOST[ADDR] while ...
    connect_failed,          // connect to HOST[ADDR]:PORT: ...
    cannot_start_tls,        // Cannot start TLS: ... (no peer in the text)
    tls_not_offered,         // TLS is required, but was not offered by host HOST[ADDR]
    refused_to_talk,         // host HOST[ADDR] refused to talk to me: ...
};
std::string_view to_string(TroubleKind kind);

struct Trouble {
    TroubleKind kind = TroubleKind::handshake_error;
    std::optional<LoggedPeer> peer;
    std::string reason;  // the rest of the line's words, as written
    bool operator==(const Trouble&) const = default;
};

// QID: to=<...>, relay=..., dsn=..., status=... (...)
struct DeliveryStatus {
    std::string recipient_domain;        // lower case; empty when there is none
    std::optional<LoggedPeer> relay;     // none: relay=none, local, virtual, a path
    std::string status;                  // "sent", "deferred", "bounced", ...
    std::string tls;                     // "may", "may:none": 3.11 and later, else empty
    bool reused = false;                 // over a connection of an earlier delivery (conn_use)
    std::string dsn;                     // "4.7.5"
    std::string reason;                  // between the outer parentheses
    std::optional<TroubleKind> trouble;  // what the reason tells of
    std::optional<LoggedPeer> reason_peer;
    bool operator==(const DeliveryStatus&) const = default;
};

// Trusted|Untrusted|Verified|Anonymous TLS connection established|reused to HOST[ADDR]:PORT: ...
struct TlsEstablished {
    LoggedPeer peer;
    bool reused = false;    // a session of an earlier delivery: no handshake was made
    bool verified = false;  // "Verified": chain and name (or DANE) hold
    bool operator==(const TlsEstablished&) const = default;
};

struct LogLine {
    std::string host;     // that wrote it; a log may gather those of several
    std::string program;  // last part of the tag: "smtp", "smtpd", "qmgr"
    std::uint32_t pid = 0;
    std::string queue_id;  // empty when the line has none
    std::variant<Trouble, DeliveryStatus, TlsEstablished> event;
    bool operator==(const LogLine&) const = default;
};

// Nothing for lines that are not Postfix's smtp(8), lmtp(8), error(8) or that tell nothing of a
// delivery. `line` is without its newline; longer than max_log_line_bytes it is cut first.
std::optional<LogLine> parse_log_line(std::string_view line);

// The same behind a head that was taken already.
std::optional<LogLine> parse_log_text(LineHead head, std::string_view text);

// What a deferral's text (after the X.Y.Z code) tells of; shared with the `dsn` table.
struct ReasonTrouble {
    TroubleKind kind = TroubleKind::handshake_error;
    std::optional<LoggedPeer> peer;
};
std::optional<ReasonTrouble> classify_reason(std::string_view reason);

}  // namespace postfathom
