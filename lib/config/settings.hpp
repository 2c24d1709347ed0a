// SPDX-License-Identifier: Apache-2.0
// The effective configuration. Each setting is a member here and one row in settings.cpp, which
// holds its name in the file, default, unit, range and sentence; loading, `config show`,
// conf/postfathom.toml's test and the manual page all come from that row.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/log.hpp"
#include "lib/destination/ip_address.hpp"
#include "lib/diagnosis/record.hpp"
#include "lib/diagnosis/tls_floor.hpp"

namespace postfathom {

enum class PolicyMode {
    observe,  // DUNNO always; findings go to the log
    warn,     // WARN: Postfix logs the finding beside the recipient
    tag,      // PREPEND a header, once per message
    defer,    // DEFER_IF_PERMIT, for the diagnoses and next hops of [defer] and no others
};
std::string_view to_string(PolicyMode mode);
std::optional<PolicyMode> parse_policy_mode(std::string_view text);

// A [[route]] of the file: where Postfix sends mail for a recipient domain, in the words of
// transport(5).
struct ConfiguredRoute {
    std::string domain;    // lower case: "example.org", ".example.org" for all below it, "*" for
                           // all others
    std::string next_hop;  // canonical
    std::string verbatim;  // as it is written
    bool operator==(const ConfiguredRoute&) const = default;
};
// The route for `domain`: its own entry, else that of the nearest parent, else "*".
const ConfiguredRoute* find_route(const std::vector<ConfiguredRoute>& routes,
                                  std::string_view domain);

// What a socket on TCP is bound to.
struct TcpPlace {
    IpAddress address;
    std::uint16_t port = 0;
    bool operator==(const TcpPlace&) const = default;
};
std::string to_string(const TcpPlace& place);

// How far a daemon takes from itself what it does not need (lib/confine/confine.hpp).
enum class ConfinementMode {
    automatic,  // as far as the kernel lets it
    required,   // else it does not start
    off,
};

// Of a UNIX socket that a daemon makes itself; a service manager has its own for those it passes.
struct SocketRights {
    std::string mode = "0660";
    std::string owner;  // user name; empty: as we are
    std::string group;  // group name; empty: as we are, or Postfix's where Postfix asks
    bool operator==(const SocketRights&) const = default;
};

struct Settings {
    struct Log {
        log::Target target = log::Target::standard_error;
        log::Level level = log::Level::info;
    } log;

    struct Confinement {
        ConfinementMode mode = ConfinementMode::automatic;
    } confinement;

    struct Cache {
        std::string directory = "/var/lib/postfathom";
        std::uint64_t max_bytes = std::uint64_t{256} << 20;
        std::uint64_t max_destinations = 100'000;
        AgeLimits age;  // good_refresh, good_expire, ill_refresh, ill_expire
    } cache;

    struct Notice {
        std::string socket = "/run/postfathom/notice.sock";  // UNIX datagram, bound by probed
    } notice;

    struct MailLog {
        bool journal = false;                    // source = "journal": the systemd journal
        std::string file = "/var/log/mail.log";  // empty: none is followed
        std::string dovecot_file;                // empty: none but what is in Postfix's log
        bool operator==(const MailLog&) const = default;
    } mail_log;

    // Postfix's own reports of TLS handshakes (probes/tlsrpt_feed.hpp).
    struct Tlsrpt {
        std::string socket;  // UNIX datagram, bound by probed; empty: none
        SocketRights rights;
        std::string forward_to;  // the socket of a TLSRPT collector; empty: none
        bool operator==(const Tlsrpt&) const = default;
    } tlsrpt;

    // What the kernel tells of live mail connections (probes/socket_watch.hpp).
    struct SocketWatching {
        bool enabled = true;
        std::chrono::milliseconds interval{5000};
    } socket_watch;

    struct Probe {
        std::string ehlo_name;  // empty: this host's name
        std::string ca_file;    // empty: the system's trust store
        std::chrono::milliseconds connect_timeout{10'000};
        std::chrono::milliseconds greeting_timeout{30'000};  // slow greetings are no fault
        std::chrono::milliseconds reply_timeout{15'000};
        std::chrono::milliseconds handshake_timeout{10'000};
        std::chrono::milliseconds timeout{60'000};  // one endpoint, all connections together
        std::uint32_t max_connections = 32;         // for one endpoint in one probe
        // What one server address bears within budget_window when no person asked: all connections
        // and, of them, handshakes left unfinished. fail2ban's usual limit for the latter is 5 in
        // 10 minutes.
        std::uint32_t budget_connections = 8;
        std::uint32_t budget_aborted = 4;
        std::chrono::milliseconds budget_window{600'000};
        std::chrono::milliseconds apart{1000};  // from one connection to an endpoint to the next
        std::uint32_t parallel = 4;             // connections to one endpoint at a time
        bool datagrams = true;                  // see probes/datagram_probe.hpp
        // After a server asked us to come again later; doubles while it keeps asking.
        std::chrono::milliseconds back_off{600'000};
        std::chrono::milliseconds longest_back_off{14'400'000};
        std::uint32_t max_addresses = 5;  // of one next hop; Postfix's smtp_mx_address_limit
        std::uint32_t concurrent = 8;     // probes at a time, each to another next hop
        std::uint32_t per_hour = 600;     // probes of this host per hour
        std::chrono::milliseconds min_interval{60'000};  // between probes of one next hop
    } probe;

    struct Tls {
        TlsLevel floor = TlsLevel::may;  // the level in force where nothing else is known
        // Debian's package dns-root-data; empty: no TLSA records are looked up.
        std::string trust_anchor = "/usr/share/dns/root.key";
        bool mta_sts = true;
    } tls;

    struct Policy {
        // Below the queue directory, so that chrooted Postfix services reach it.
        std::string socket = "/var/spool/postfix/run/postfathom/policy.sock";
        SocketRights rights;
        std::optional<TcpPlace> listen;  // beside the socket
        bool listen_anywhere = false;    // listen may be another than a loopback address
        PolicyMode mode = PolicyMode::warn;
        std::uint32_t max_connections = 1000;
        std::chrono::milliseconds request_timeout{10'000};
    } policy;

    // What mail may be deferred for: both have to match, and both are empty by default.
    struct Defer {
        std::vector<DiagnosisId> diagnoses;
        std::vector<std::string> next_hops;  // canonical
        bool permits(DiagnosisId id, std::string_view next_hop) const;
    } defer;

    struct Dsn {
        std::string socket = "/var/spool/postfix/run/postfathom/dsn.sock";
        SocketRights rights;
        std::chrono::milliseconds log_wait{300};  // for the log line that names the destination
    } dsn;

    // Socketmap tables that hold TLS up; without an answer of theirs Postfix defers mail.
    struct Tables {
        static constexpr std::string_view all = "*";
        std::string socket;  // empty: none
        SocketRights rights;
        std::vector<std::string> tls_next_hops;   // canonical, or `all`
        std::vector<std::string> ehlo_addresses;  // as IpAddress prints them, or `all`
    } tables;

    struct Milter {
        std::string socket = "/var/spool/postfix/run/postfathom/milter.sock";
        SocketRights rights;
        PolicyMode mode = PolicyMode::tag;  // see milter/session.hpp
        std::string host_token;  // in the header, to know our own; empty: this host's name
    } milter;

    struct Admin {
        std::string socket = "/run/postfathom/admin.sock";
        SocketRights rights;
        std::uint32_t max_connections = 64;
        std::uint32_t http_port = 0;  // on 127.0.0.1, for reading only; 0: none
        // User names, "@group" or `all`; root and the daemon's own user may always.
        static constexpr std::string_view all = "*";
        std::vector<std::string> readers{"@postfathom"};
        std::vector<std::string> changers{"@postfathom"};  // who may read as well
    } admin;

    std::vector<ConfiguredRoute> routes;  // sorted by domain
};

}  // namespace postfathom
