// SPDX-License-Identifier: Apache-2.0
#include "lib/mail_log/lines.hpp"

#include <algorithm>
#include <charconv>

#include "lib/base/text.hpp"

namespace postfathom {

namespace {

constexpr std::size_t max_host = 255;
constexpr std::size_t max_address = 64;  // "IPv6:" and the longest IPv6 text
constexpr std::size_t max_tls_word = 64;
constexpr std::size_t max_queue_id = 100;  // long queue ids have less than 30 characters

bool digit(char c) { return c >= '0' && c <= '9'; }

// Removes `prefix` from the front of `text`.
bool take(std::string_view& text, std::string_view prefix) {
    if (!text.starts_with(prefix)) return false;
    text.remove_prefix(prefix.size());
    return true;
}

// Removes and returns what comes before `separator`, and the separator.
std::optional<std::string_view> take_until(std::string_view& text, std::string_view separator) {
    const auto end = text.find(separator);
    if (end == text.npos) return std::nullopt;
    const auto piece = text.substr(0, end);
    text.remove_prefix(end + separator.size());
    return piece;
}

template <typename Number>
std::optional<Number> take_number(std::string_view& text) {
    Number number{};
    const auto result = std::from_chars(text.data(), text.data() + text.size(), number);
    if (result.ec != std::errc{}) return std::nullopt;
    text.remove_prefix(static_cast<std::size_t>(result.ptr - text.data()));
    return number;
}

// What cannot be in a host name as Postfix prints it. Names may be UTF-8 (SMTPUTF8).
bool ends_host(char c) {
    return static_cast<unsigned char>(c) <= ' ' ||
           std::string_view("[]<>(),;=\"\x7f").find(c) != std::string_view::npos;
}

// "[ADDR]" or "[ADDR]:PORT" at the front of `text`, behind `host`.
std::optional<LoggedPeer> take_address(std::string_view host, std::string_view& text) {
    if (host.empty() || host.size() > max_host) return std::nullopt;
    auto rest = text;
    if (!take(rest, "[")) return std::nullopt;
    const auto inner = take_until(rest, "]");
    if (!inner || inner->size() > max_address) return std::nullopt;
    const auto address = IpAddress::parse(*inner);
    if (!address) return std::nullopt;
    LoggedPeer peer{std::string(host), *address, std::nullopt};
    if (auto after = rest; take(after, ":") && !after.empty() && digit(after.front())) {
        const auto port = take_number<std::uint16_t>(after);
        if (!port || *port == 0) return std::nullopt;
        peer.port = port;
        rest = after;
    }
    text = rest;
    return peer;
}

// HOST[ADDR] or HOST[ADDR]:PORT at the front of `text`.
std::optional<LoggedPeer> take_peer(std::string_view& text) {
    const auto end = std::find_if(text.begin(), text.end(), ends_host);
    const auto length = static_cast<std::size_t>(end - text.begin());
    auto rest = text.substr(length);
    const auto peer = take_address(text.substr(0, length), rest);
    if (peer) text = rest;
    return peer;
}

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

// "Nov 23 01:11:21 " or "2026-11-23T01:11:21.123456+00:00 ".
bool take_time(std::string_view& line) {
    if (line.empty()) return false;
    if (digit(line.front())) {
        const auto stamp = take_until(line, " ");
        return stamp && stamp->size() >= 19 && (*stamp)[4] == '-' && (*stamp)[7] == '-' &&
               ((*stamp)[10] == 'T' || (*stamp)[10] == 't');
    }
    constexpr std::string_view shape = "Mmm dd hh:mm:ss ";
    if (line.size() < shape.size()) return false;
    for (std::size_t i = 0; i < shape.size(); ++i) {
        const bool separator = shape[i] == ' ' || shape[i] == ':';
        if (separator && line[i] != shape[i]) return false;
        if (!separator && i > 5 && !digit(line[i])) return false;
    }
    line.remove_prefix(shape.size());
    return true;
}

// "HOST TAG[PID]: "; the tag's last part is the program, with syslog_name before it.
bool take_tag(std::string_view& line, LogLine& result) {
    const auto host = take_until(line, " ");
    if (!host || host->empty()) return false;
    const auto tag = take_until(line, "[");
    if (!tag || tag->find(' ') != tag->npos) return false;
    result.program = tag->substr(tag->rfind('/') + 1);
    if (result.program != "smtp" && result.program != "lmtp" && result.program != "error")
        return false;
    const auto pid = take_number<std::uint32_t>(line);
    if (!pid || *pid == 0 || !take(line, "]: ")) return false;
    result.host = *host;
    result.pid = *pid;
    return true;
}

// Postfix's two forms (enable_long_queue_ids): upper case hexadecimal, or letters without vowels
// and digits. So words such as "warning" are none.
bool is_queue_id(std::string_view text) {
    if (text.size() < 5 || text.size() > max_queue_id) return false;
    const auto all_in = [&](std::string_view set) {
        return text.find_first_not_of(set) == text.npos;
    };
    return all_in("0123456789ABCDEF") ||
           all_in("0123456789BCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz");
}

// Behind "to=<". The local part may be a quoted string with anything in it (info_log_addr_form).
std::optional<std::string_view> take_recipient(std::string_view& text) {
    const auto ends_here = [&](std::size_t at) {
        const auto rest = text.substr(at);
        return rest.starts_with(">, relay=") || rest.starts_with(">, orig_to=<");
    };
    bool quoted = false;
    for (const bool mind_quotes : {true, false}) {
        for (std::size_t i = 0; i < text.size(); ++i) {
            if (mind_quotes && quoted && text[i] == '\\') {
                ++i;
            } else if (mind_quotes && text[i] == '"') {
                quoted = !quoted;
            } else if (!quoted && ends_here(i)) {
                const auto recipient = text.substr(0, i);
                text.remove_prefix(i + 1);
                return recipient;
            }
        }
        quoted = false;  // a quote without its twin: the address is not in external form
    }
    return std::nullopt;
}

bool is_status_code(std::string_view text) {
    return text.size() >= 5 && text[1] == '.' && text.find_first_not_of("0123456789.") == text.npos;
}

std::string domain_of(std::string_view recipient) {
    const auto at = recipient.rfind('@');
    return at == recipient.npos ? std::string() : to_lower(recipient.substr(at + 1));
}

// to=<A>[, orig_to=<B>], relay=R[, conn_use=N], delay=T, delays=a/b/c/d[, tls=F], dsn=X.Y.Z,
// status=S (TEXT): src/global/log_adhoc.c.
std::optional<DeliveryStatus> parse_status(std::string_view text) {
    if (!take(text, "to=<")) return std::nullopt;
    const auto recipient = take_recipient(text);
    if (!recipient) return std::nullopt;
    if (take(text, ", orig_to=<") && !take_recipient(text)) return std::nullopt;
    if (!take(text, ", relay=")) return std::nullopt;
    auto relay = take_until(text, ", ");
    const auto between = take_until(text, "dsn=");  // our own program's numbers, no foreign text
    if (!relay || !between || between->find('(') != between->npos) return std::nullopt;
    const auto dsn = take_until(text, ", status=");
    const auto status = take_until(text, " (");
    if (!dsn || !is_status_code(*dsn) || !status || status->empty() ||
        status->find_first_not_of("abcdefghijklmnopqrstuvwxyz-") != status->npos)
        return std::nullopt;

    DeliveryStatus result;
    result.recipient_domain = domain_of(*recipient);
    result.relay = take_peer(*relay);
    for (const auto word : split(*between, ',')) {
        auto value = trim(word);
        if (take(value, "tls=")) result.tls = printable(value, max_tls_word);
        if (take(value, "conn_use=")) result.reused = true;
    }
    result.dsn = *dsn;
    result.status = *status;
    // Without its parenthesis the line was cut on its way, by vbuf limits or syslog.
    if (text.ends_with(')')) text.remove_suffix(1);
    result.reason = text;
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
        if (peer && rest.starts_with(": ")) return TlsEstablished{std::move(*peer), reused};
    }
    return std::nullopt;
}

}  // namespace

std::optional<LoggedPeer> find_peer(std::string_view text) {
    for (auto bracket = text.find('['); bracket != text.npos;
         bracket = text.find('[', bracket + 1)) {
        auto begin = bracket;
        while (begin > 0 && !ends_host(text[begin - 1])) --begin;
        auto rest = text.substr(bracket);
        if (auto peer = take_address(text.substr(begin, bracket - begin), rest)) return peer;
    }
    return std::nullopt;
}

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
    line = line.substr(0, max_log_line_bytes);
    LogLine result;
    if (!take_time(line) || !take_tag(line, result)) return std::nullopt;
    auto text = line;
    if (const auto id = take_until(text, ": "); id && is_queue_id(*id)) {
        result.queue_id = *id;
        if (auto status = parse_status(text)) {
            result.event = std::move(*status);
        } else if (auto trouble = match_reason(text)) {
            result.event = std::move(*trouble);
        } else {
            return std::nullopt;
        }
        return result;
    }
    if (auto established = parse_established(line)) {
        result.event = std::move(*established);
    } else if (auto trouble = match_any(line, line_patterns)) {
        result.event = std::move(*trouble);
    } else if (trouble = match(line, reason_patterns[0]);
               trouble) {  // "connect to" has no queue id
        result.event = std::move(*trouble);
    } else {
        return std::nullopt;
    }
    return result;
}

}  // namespace postfathom
