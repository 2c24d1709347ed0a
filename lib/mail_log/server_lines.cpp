// SPDX-License-Identifier: Apache-2.0
#include "lib/mail_log/server_lines.hpp"

#include <algorithm>
#include <iterator>

#include "lib/base/text.hpp"

namespace postfathom {

namespace {

using Kind = ServerEventKind;
using Found = std::optional<ServerEvent>;

constexpr std::size_t max_detail = 1024;

struct EventName {
    Kind kind;
    std::string_view name;
};
constexpr EventName event_names[] = {
    {Kind::accept_error, "accept-error"},
    {Kind::tls_from_client, "tls-from-client"},
    {Kind::client_lost, "client-lost"},
    {Kind::client_timed_out, "client-timed-out"},
    {Kind::client_errors, "client-errors"},
    {Kind::client_left, "client-left"},
    {Kind::client_pipelined, "client-pipelined"},
    {Kind::client_tls_refused, "client-tls-refused"},
    {Kind::client_tls_abort, "client-tls-abort"},
    {Kind::screen_connected, "screen-connected"},
    {Kind::screen_hung_up, "screen-hung-up"},
    {Kind::screen_talked_early, "screen-talked-early"},
    {Kind::screen_timed_out, "screen-timed-out"},
    {Kind::screen_misbehaved, "screen-misbehaved"},
    {Kind::screen_passed, "screen-passed"},
    {Kind::screen_left, "screen-left"},
    {Kind::proxy_connected, "proxy-connected"},
    {Kind::proxy_handshake_failed, "proxy-handshake-failed"},
    {Kind::proxy_timed_out, "proxy-timed-out"},
    {Kind::proxy_left, "proxy-left"},
    {Kind::session_reused, "session-reused"},
    {Kind::tlsa_unusable, "tlsa-unusable"},
    {Kind::pix_workarounds, "pix-workarounds"},
    {Kind::keywords_discarded, "keywords-discarded"},
    {Kind::pipelining_advice, "pipelining-advice"},
    {Kind::implicit_tls_needed, "implicit-tls-needed"},
    {Kind::mail_loops, "mail-loops"},
    {Kind::tls_library, "tls-library"},
    {Kind::own_tls_policy, "own-tls-policy"},
    {Kind::own_table, "own-table"},
    {Kind::queued, "queued"},
    {Kind::removed, "removed"},
    {Kind::queue_crowded, "queue-crowded"},
    {Kind::imap_handshake_failed, "imap-handshake-failed"},
    {Kind::imap_timed_out, "imap-timed-out"},
    {Kind::imap_left, "imap-left"},
};

ServerEvent event(Kind kind, std::string_view detail = {}) {
    ServerEvent result;
    result.kind = kind;
    result.detail = trim(detail).substr(0, max_detail);
    return result;
}

// "STARTTLS", "DATA (1234 bytes)" and then `separator` and a client.
Found stage_and_client(Kind kind, std::string_view text, std::string_view separator) {
    // A client's own words are no part of it: smtpd prints the name of a command that it knows.
    auto stage = take_until(text, separator);
    if (!stage) return std::nullopt;
    auto result = event(kind);
    if (const auto bracket = stage->find(" ("); bracket != stage->npos) {
        auto count = stage->substr(bracket + 2);
        const auto bytes = take_number<std::uint64_t>(count);
        if (!bytes || count != " bytes)") return std::nullopt;
        result.bytes = bytes;
        stage = stage->substr(0, bracket);
    }
    result.stage = *stage;
    result.peer = take_peer(text);
    if (!result.peer) return std::nullopt;
    return result;
}

Found client_and_reason(Kind kind, std::string_view text, std::string_view separator = ": ") {
    auto peer = take_peer(text);
    if (!peer || !take(text, separator)) return std::nullopt;
    auto result = event(kind, text);
    result.peer = std::move(peer);
    return result;
}

// "[ADDR]:PORT" without a name.
Found bare_peer(Kind kind, std::string_view text, std::string_view detail = {}) {
    auto peer = take_address("", text);
    if (!peer) return std::nullopt;
    take(text, ": ");
    auto result = event(kind, detail.empty() ? text : detail);
    result.peer = std::move(peer);
    return result;
}

// "starttls=0/1" or "starttls=1" in the counts of a disconnect line.
void read_counts(std::string_view counts, ServerEvent& result) {
    for (const auto count : split(counts, ' ')) {
        auto value = count;
        if (!take(value, "starttls=")) continue;
        const auto good = take_number<std::uint32_t>(value);
        if (!good) return;
        result.starttls_good = result.starttls_total = *good;
        if (!take(value, "/")) return;
        if (const auto total = take_number<std::uint32_t>(value)) result.starttls_total = *total;
        return;
    }
}

Found established_from(std::string_view text) {
    for (const std::string_view trust : {"Trusted", "Untrusted", "Verified", "Anonymous"}) {
        auto rest = text;
        if (!take(rest, trust) || !take(rest, " TLS connection established from ")) continue;
        auto peer = take_peer(rest);
        if (!peer) return std::nullopt;
        if (take(rest, " to "))
            take_until(rest, ": ");  // the name that was asked for (SNI)
        else if (!take(rest, ": "))
            return std::nullopt;
        auto result = event(Kind::tls_from_client, rest);
        result.peer = std::move(peer);
        return result;
    }
    return std::nullopt;
}

Found smtpd_text(std::string_view text) {
    if (take(text, "SSL_accept error from ")) return client_and_reason(Kind::accept_error, text);
    if (take(text, "lost connection after "))
        return stage_and_client(Kind::client_lost, text, " from ");
    if (take(text, "timeout after "))
        return stage_and_client(Kind::client_timed_out, text, " from ");
    if (take(text, "too many errors after "))
        return stage_and_client(Kind::client_errors, text, " from ");
    if (take(text, "improper command pipelining after "))
        return stage_and_client(Kind::client_pipelined, text, " from ");
    if (take(text, "disconnect from ")) {
        auto result = client_and_reason(Kind::client_left, text, "");
        if (result) read_counts(result->detail, *result);
        return result;
    }
    if (take(text, "abort: TLS from ")) return client_and_reason(Kind::client_tls_abort, text);
    if (take(text, "warning: Refusing STARTTLS request from ") ||
        take(text, "warning: New TLS session rate limit exceeded: ")) {
        auto result = event(Kind::client_tls_refused, text);
        result.peer = find_peer(text);
        return result;
    }
    return established_from(text);
}

Found screen_text(std::string_view text) {
    const auto talked = [](Kind kind, std::string_view rest) -> Found {
        // "N after T from [A]:P: ...", or "after T from [A]:P in tests ...".
        const auto at = rest.find(" from [");
        return at == rest.npos ? Found{} : bare_peer(kind, rest.substr(at + 6));
    };
    if (take(text, "CONNECT from ")) return bare_peer(Kind::screen_connected, text);
    if (take(text, "HANGUP ")) return talked(Kind::screen_hung_up, text);
    if (take(text, "PREGREET ")) return talked(Kind::screen_talked_early, text);
    if (take(text, "COMMAND TIME LIMIT from ")) {
        auto result = bare_peer(Kind::screen_timed_out, text);
        auto stage = result ? std::string_view(result->detail) : std::string_view();
        if (take(stage, "after ")) result->stage = std::string(stage);
        return result;
    }
    for (const std::string_view what : {"COMMAND PIPELINING", "COMMAND COUNT LIMIT",
                                        "COMMAND LENGTH LIMIT", "BARE NEWLINE", "NON-SMTP COMMAND"})
        if (auto rest = text; take(rest, what) && take(rest, " from "))
            return bare_peer(Kind::screen_misbehaved, rest, what);
    if (take(text, "PASS NEW ") || take(text, "PASS OLD "))
        return bare_peer(Kind::screen_passed, text);
    if (take(text, "DISCONNECT ")) return bare_peer(Kind::screen_left, text);
    return std::nullopt;
}

Found proxy_text(std::string_view text) {
    if (take(text, "CONNECT to ")) return bare_peer(Kind::proxy_connected, text, "to");
    if (take(text, "CONNECT from ")) return bare_peer(Kind::proxy_connected, text, "from");
    if (take(text, "DISCONNECT ")) return bare_peer(Kind::proxy_left, text);
    if (take(text, "warning: ciphertext read/write timeout for "))
        return bare_peer(Kind::proxy_timed_out, text);
    if (take(text, "TLS handshake failed for service=")) {
        const auto service = take_until(text, " peer=");
        if (!service) return std::nullopt;
        return bare_peer(Kind::proxy_handshake_failed, text, *service);
    }
    return std::nullopt;
}

// Somewhere in the text.
bool mentions(std::string_view text, std::string_view words) {
    return text.find(words) != text.npos;
}

// Faults of our own side, whichever program tells of them. Only what stands before text of others
// is looked at.
Found own_fault(std::string_view text) {
    if (!take(text, "warning: ")) return std::nullopt;
    if (text.starts_with("TLS policy lookup for ") &&
        text.ends_with("client TLS configuration problem"))
        return event(Kind::own_tls_policy, text);
    if (mentions(text.substr(0, 64), "smtp_tls_policy_maps"))
        return event(Kind::own_tls_policy, text);
    if (text.starts_with("table ") && mentions(text, " lookup error: "))
        return event(Kind::own_table, text);
    const bool map = text.starts_with("socketmap:") || text.starts_with("hash:") ||
                     text.starts_with("lmdb:") || text.starts_with("btree:") ||
                     text.starts_with("texthash:");
    if (map && mentions(text, " lookup error")) return event(Kind::own_table, text);
    return std::nullopt;
}

Found smtp_text(std::string_view text) {
    if (auto fault = own_fault(text)) return fault;
    if (take(text, "enabling PIX workarounds: ")) {
        auto result = event(Kind::pix_workarounds, text);
        result.peer = find_peer(text);
        return result;
    }
    if (take(text, "discarding EHLO keywords: ")) return event(Kind::keywords_discarded, text);
    if (auto rest = text; take(rest, "warning: ")) {
        if (take(rest, "to prevent loss of mail, turn off command pipelining for ")) {
            auto result = event(Kind::pipelining_advice, rest);
            const auto address = IpAddress::parse(rest.substr(0, rest.find(' ')));
            if (!address) return std::nullopt;
            result.peer = LoggedPeer{"", *address, std::nullopt};
            return result;
        }
        if (rest.starts_with("DANE TLSA lookup problem: ") ||
            rest.find(": all TLSA records unusable, ") != rest.npos)
            return event(Kind::tlsa_unusable, rest);
        if (rest.starts_with("host ") && mentions(rest, " greeted me with my own hostname ")) {
            auto result = event(Kind::mail_loops, rest);
            result.peer = find_peer(rest);
            return result;
        }
        return std::nullopt;
    }
    if (text.starts_with("SMTPS wrappermode (TCP port 465) requires "))
        return event(Kind::implicit_tls_needed, text);
    auto rest = text;
    if (auto peer = take_peer(rest);
        peer && rest.starts_with(": re-using session with untrusted ")) {
        auto result = event(Kind::session_reused, rest.substr(2));
        result.peer = std::move(peer);
        return result;
    }
    return std::nullopt;
}

Found qmgr_text(std::string_view text) {
    if (text == "removed") return event(Kind::removed);
    if (text.starts_with("from=<")) {
        // A sender may be a quoted string with anything in it: the last one counts.
        const auto at = text.rfind(">, size=");
        if (at == text.npos) return std::nullopt;
        auto rest = text.substr(at + 8);
        const auto bytes = take_number<std::uint64_t>(rest);
        if (!bytes || !rest.starts_with(", nrcpt=")) return std::nullopt;
        auto result = event(Kind::queued);
        result.bytes = bytes;
        return result;
    }
    if (take(text, "warning: mail for ")) {
        const auto domain = take_until(text, " is using up ");
        if (!domain) return std::nullopt;
        return event(Kind::queue_crowded, *domain);
    }
    return own_fault(text);
}

// "NAME=VALUE" between commas, as Dovecot's login_log_format_elements has it.
std::string_view element(std::string_view text, std::string_view name) {
    for (auto at = text.find(name); at != text.npos; at = text.find(name, at + 1)) {
        if (at != 0 && text[at - 1] != ' ') continue;
        const auto rest = text.substr(at + name.size());
        return rest.substr(0, rest.find_first_of(", "));
    }
    return {};
}

// login-common/client-common.c: "Disconnected[: REASON] (STATE): user=<>, rip=A, lip=A, TLS
// handshaking: REASON, session=<>".
Found dovecot_text(std::string_view text) {
    take(text, "Info: ");
    const bool ended = text.starts_with("Disconnected") || text.starts_with("Aborted login");
    if (!ended) return std::nullopt;
    const auto address = IpAddress::parse(element(text, "rip="));
    if (!address) return std::nullopt;
    const bool shaking = mentions(text, ", TLS handshaking");
    const bool idle = mentions(text.substr(0, 48), "Inactivity");
    auto result = event(idle      ? Kind::imap_timed_out
                        : shaking ? Kind::imap_handshake_failed
                                  : Kind::imap_left,
                        text.substr(0, text.find(": user=<")));
    constexpr std::string_view shaking_words = "TLS handshaking: ";
    if (const auto at = text.find(shaking_words); at != text.npos) {
        const auto words = text.substr(at + shaking_words.size());
        result.detail = trim(words.substr(0, words.find(", session=<"))).substr(0, max_detail);
    }
    if (shaking) result.stage = "TLS";
    result.peer = LoggedPeer{"", *address, std::nullopt};
    return result;
}

Found text_of_program(std::string_view program, std::string_view text) {
    if (program == "smtpd") {
        auto found = smtpd_text(text);
        return found ? found : own_fault(text);
    }
    if (program == "postscreen") return screen_text(text);
    if (program == "tlsproxy") {
        if (auto found = proxy_text(text)) return found;
        return established_from(text);
    }
    if (program == "smtp" || program == "lmtp" || program == "tlsmgr") return smtp_text(text);
    if (program == "qmgr") return qmgr_text(text);
    if (program == "imap-login" || program == "pop3-login" || program == "submission-login")
        return dovecot_text(text);
    return std::nullopt;
}

}  // namespace

std::string_view to_string(ServerEventKind kind) {
    const auto* found = std::find_if(std::begin(event_names), std::end(event_names),
                                     [&](const EventName& name) { return name.kind == kind; });
    return found == std::end(event_names) ? "unknown" : found->name;
}

std::optional<ServerEvent> parse_server_text(LineHead head, std::string_view text) {
    std::string program = head.program;
    // "dovecot: imap-login: ..." in syslog; in Dovecot's own file the head is the same without
    // host.
    if (program == "dovecot") {
        const auto service = take_until(text, ": ");
        if (!service) return std::nullopt;
        program = *service;
    }
    auto queue_id = take_queue_id(text);
    if (queue_id.empty()) take(text, "NOQUEUE: ");
    if (auto rest = text; queue_id.empty() && take(rest, "warning: ")) {
        // "warning: QID: non-ESMTP response ..."
        queue_id = take_queue_id(rest);
    }
    auto found = text_of_program(program, text);
    if (!found && take(text, "warning: TLS library problem: "))
        found = event(Kind::tls_library, text);
    if (!found) return std::nullopt;
    found->head = std::move(head);
    found->queue_id = std::move(queue_id);
    return found;
}

std::optional<ServerEvent> parse_server_line(std::string_view line) {
    auto text = line.substr(0, max_log_line_bytes);
    auto head = take_head(text);
    if (!head) return std::nullopt;
    return parse_server_text(std::move(*head), text);
}

}  // namespace postfathom
