// SPDX-License-Identifier: Apache-2.0
#include "lib/mail_log/lines.hpp"

#include "lib/base/text.hpp"

namespace postfathom {

namespace {

constexpr std::size_t max_tls_word = 64;

// The texts of smtp(8) (smtp_connect.c, smtp_proto.c, smtp_chat.c, tls_client.c, tls_verify.c).
// What follows the peer is left in `text`.
struct Pattern {
    std::string_view prefix;
    TroubleKind kind;
    bool names_peer;
    std::string_view after_peer;
};
constexpr Pattern reason_patterns[] = {
    {"connect to ", TroubleKind::connect_failed, true, ": "},
    {"conversation with ", TroubleKind::conversation_timed_out, true, " timed out while "},
    {"lost connection with ", TroubleKind::lost_connection, true, " while "},
    {"Cannot start TLS: ", TroubleKind::cannot_start_tls, false, ""},
    {"Server certificate not verified", TroubleKind::certificate_error, false, ""},
    {"TLS is required, but was not offered by host ", TroubleKind::tls_not_offered, true, ""},
    {"TLS is required, but host ", TroubleKind::cannot_start_tls, true, " refused to start TLS: "},
    {"host ", TroubleKind::refused_to_talk, true, " refused to talk to me: "},
};
// These are never a delivery's outcome, only lines of their own.
constexpr Pattern line_patterns[] = {
    {"SSL_connect error to ", TroubleKind::handshake_error, true, ": "},
    {"server certificate verification failed for ", TroubleKind::certificate_error, true, ": "},
    {"certificate verification failed for ", TroubleKind::certificate_error, true, ": "},
};

std::optional<Trouble> match(std::string_view text, const Pattern& pattern) {
    if (!take(text, pattern.prefix)) return std::nullopt;
    Trouble trouble{pattern.kind, std::nullopt, {}};
    if (pattern.names_peer) {
        trouble.peer = take_peer(text);
        // A UNIX socket (lmtp), or a text of somebody else.
        if (!trouble.peer || !text.starts_with(pattern.after_peer)) return std::nullopt;
        // "timed out while ..." belongs to the reason, ": " does not.
        if (pattern.after_peer.ends_with(": ")) text.remove_prefix(pattern.after_peer.size());
    }
    trouble.reason = trim(text);
    return trouble;
}

template <std::size_t count>
std::optional<Trouble> match_any(std::string_view text, const Pattern (&patterns)[count]) {
    for (const auto& pattern : patterns)
        if (auto trouble = match(text, pattern)) return trouble;
    return std::nullopt;
}

std::optional<Trouble> match_reason(std::string_view reason) {
    // error(8) repeats what qmgr(8) was told when it gave the site up for a while.
    take(reason, "delivery temporarily suspended: ");
    return match_any(reason, reason_patterns);
}

// Behind "to=<". The local part may be a quoted string with anything in it
// (info_log_address_format). A quote without its twin: either the address is not in external form,
// or the line was cut within it. Nobody can tell then what of the rest is Postfix's.
std::optional<std::string_view> take_recipient(std::string_view& text) {
    bool quoted = false;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (quoted && text[i] == '\\') {
            ++i;
        } else if (text[i] == '"') {
            quoted = !quoted;
        } else if (const auto rest = text.substr(i);
                   !quoted && (rest.starts_with(">, relay=") || rest.starts_with(">, orig_to=<"))) {
            const auto recipient = text.substr(0, i);
            text.remove_prefix(i + 1);
            return recipient;
        }
    }
    return std::nullopt;
}

// Postfix cuts a text at 2000 bytes (MSG_SYSLOG_RECLEN of msg_syslog.c, MSG_LOGGER_RECLEN of
// msg_logger.c), a syslog daemon after RFC 3164 section 4.1 a line at 1024, with its head.
constexpr std::size_t postfix_cuts_at = 2000, syslog_cuts_from = 900, syslog_cuts_to = 1024;
bool may_be_cut(std::string_view text) {
    return !text.ends_with(')') || text.size() >= postfix_cuts_at ||
           (text.size() >= syslog_cuts_from && text.size() <= syslog_cuts_to);
}

constexpr std::size_t max_status_code = 9;   // "5.999.999", RFC 3463 section 2
constexpr std::size_t max_status_word = 32;  // "undeliverable" has 13

bool is_status_code(std::string_view text) {
    return text.size() >= 5 && text.size() <= max_status_code && text[1] == '.' &&
           text.find_first_not_of("0123456789.") == text.npos;
}

std::string domain_of(std::string_view recipient) {
    const auto at = recipient.rfind('@');
    return at == recipient.npos ? std::string() : to_lower(recipient.substr(at + 1));
}

// to=<A>[, orig_to=<B>], relay=R[, conn_use=N], delay=T, delays=a/b/c/d[, tls=F], dsn=X.Y.Z,
// status=S (TEXT): src/global/log_adhoc.c.
std::optional<DeliveryStatus> parse_status(std::string_view text, bool cut) {
    if (!take(text, "to=<")) return std::nullopt;
    const auto recipient = take_recipient(text);
    if (!recipient) return std::nullopt;
    if (take(text, ", orig_to=<") && !take_recipient(text)) return std::nullopt;
    if (!take(text, ", relay=")) return std::nullopt;
    // Without quotes (info_log_address_format = internal) a recipient may hold a whole outcome of
    // its own, and only the last one is Postfix's: rather none than a stranger's.
    if (text.find(">, relay=") != text.npos) return std::nullopt;
    auto relay = take_until(text, ", ");
    const auto between = take_until(text, "dsn=");  // our own program's numbers, no foreign text
    if (!relay || !between || between->find('(') != between->npos) return std::nullopt;
    const auto dsn = take_until(text, ", status=");
    const auto status = take_until(text, " (");
    if (!dsn || !is_status_code(*dsn) || !status || status->empty() ||
        status->size() > max_status_word ||
        status->find_first_not_of("abcdefghijklmnopqrstuvwxyz-") != status->npos)
        return std::nullopt;

    DeliveryStatus result;
    result.dsn = *dsn;
    result.status = *status;
    if (text.ends_with(')')) text.remove_suffix(1);
    result.reason = text;
    // Cut, an address without quotes can hide that what it holds is not Postfix's outcome: no place
    // is believed.
    if (cut) return result;
    result.recipient_domain = domain_of(*recipient);
    result.relay = take_peer(*relay);
    for (const auto word : split(*between, ',')) {
        auto value = trim(word);
        if (take(value, "tls=")) result.tls = printable(value, max_tls_word);
        if (take(value, "conn_use=")) result.reused = true;
    }
    if (auto trouble = match_reason(text)) {
        result.trouble = trouble->kind;
        result.reason_peer = std::move(trouble->peer);
    }
    return result;
}

std::optional<TlsEstablished> parse_established(std::string_view text) {
    for (const std::string_view trust : {"Trusted", "Untrusted", "Verified", "Anonymous"}) {
        auto rest = text;
        if (!take(rest, trust)) continue;
        const bool reused = take(rest, " TLS connection reused to ");
        if (!reused && !take(rest, " TLS connection established to ")) continue;
        auto peer = take_peer(rest);
        if (peer && rest.starts_with(": "))
            return TlsEstablished{std::move(*peer), reused, trust == "Verified"};
    }
    return std::nullopt;
}

}  // namespace

std::string_view to_string(TroubleKind kind) {
    switch (kind) {
        case TroubleKind::handshake_error:
            return "handshake-error";
        case TroubleKind::certificate_error:
            return "certificate-error";
        case TroubleKind::conversation_timed_out:
            return "conversation-timed-out";
        case TroubleKind::lost_connection:
            return "lost-connection";
        case TroubleKind::connect_failed:
            return "connect-failed";
        case TroubleKind::cannot_start_tls:
            return "cannot-start-tls";
        case TroubleKind::tls_not_offered:
            return "tls-not-offered";
        case TroubleKind::refused_to_talk:
            return "refused-to-talk";
    }
    return "unknown";
}

std::optional<ReasonTrouble> classify_reason(std::string_view reason) {
    auto trouble = match_reason(reason);
    if (!trouble) return std::nullopt;
    return ReasonTrouble{trouble->kind, std::move(trouble->peer)};
}

std::optional<LogLine> parse_log_line(std::string_view line) {
    auto text = line.substr(0, max_log_line_bytes);
    auto head = take_head(text);
    if (!head || head->pid == 0) return std::nullopt;
    if (head->program != "smtp" && head->program != "lmtp" && head->program != "error")
        return std::nullopt;
    return parse_log_text(std::move(*head), text);
}

std::optional<LogLine> parse_log_text(LineHead head, std::string_view text) {
    LogLine result;
    result.host = std::move(head.host);
    result.program = std::move(head.program);
    result.pid = head.pid;
    const bool cut = may_be_cut(text);
    result.queue_id = take_queue_id(text);
    if (!result.queue_id.empty()) {
        if (auto status = parse_status(text, cut)) {
            result.event = std::move(*status);
        } else if (auto trouble = match_reason(text)) {
            result.event = std::move(*trouble);
        } else {
            return std::nullopt;
        }
        return result;
    }
    if (auto established = parse_established(text)) {
        result.event = std::move(*established);
    } else if (auto trouble = match_any(text, line_patterns)) {
        result.event = std::move(*trouble);
    } else if (trouble = match(text, reason_patterns[0]);
               trouble) {  // "connect to" has no queue id
        result.event = std::move(*trouble);
    } else {
        return std::nullopt;
    }
    return result;
}

}  // namespace postfathom
