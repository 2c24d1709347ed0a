// SPDX-License-Identifier: Apache-2.0
#include "lib/config/settings.hpp"

#include <fmt/format.h>
#include <sys/un.h>

#include <algorithm>
#include <limits>

#include "lib/base/text.hpp"
#include "lib/config/duration.hpp"
#include "lib/config/setting_rows.hpp"
#include "lib/destination/next_hop.hpp"

namespace postfathom {

namespace {

using namespace std::chrono_literals;
using std::chrono::milliseconds;

// A line that comes sooner may be followed by one that contradicts it (policyd/delivery_join.hpp).
constexpr milliseconds least_log_wait{20};

// TOML basic strings; what we render holds no control characters but may hold these two.
std::string toml_string(std::string_view text) {
    std::string result = "\"";
    for (const char c : text) {
        if (c == '"' || c == '\\') result += '\\';
        result += c;
    }
    return result + '"';
}

template <typename Member>
SettingRow duration(std::string name, milliseconds least, milliseconds most, Member member,
                    std::string sentence) {
    const auto expected =
        fmt::format("a duration such as \"30s\", \"10m\" or \"7d\", from \"{}\" to \"{}\"",
                    render_duration(least), render_duration(most));
    return {std::move(name), "duration", std::move(sentence),
            [=](Settings& settings, const SettingValue& value) -> std::optional<std::string> {
                const auto* text = std::get_if<std::string>(&value);
                const auto parsed = text != nullptr ? parse_duration(*text) : std::nullopt;
                if (!parsed || *parsed < least || *parsed > most) return expected;
                auto& target = member(settings);
                const auto kept =
                    std::chrono::duration_cast<std::remove_reference_t<decltype(target)>>(*parsed);
                if (kept != *parsed) return "a duration in whole seconds such as \"30s\"";
                target = kept;
                return std::nullopt;
            },
            [=](const Settings& settings) {
                return toml_string(
                    render_duration(std::chrono::duration_cast<milliseconds>(member(settings))));
            }};
}

template <typename Member>
SettingRow count(std::string name, std::uint32_t least, std::uint32_t most, Member member,
                 std::string sentence) {
    return {std::move(name), "number", std::move(sentence),
            [=](Settings& settings, const SettingValue& value) -> std::optional<std::string> {
                const auto* number = std::get_if<std::int64_t>(&value);
                if (number == nullptr || *number < least || *number > most)
                    return fmt::format("a whole number from {} to {}", least, most);
                auto& target = member(settings);
                target = static_cast<std::remove_reference_t<decltype(target)>>(*number);
                return std::nullopt;
            },
            [=](const Settings& settings) { return std::to_string(member(settings)); }};
}

template <typename Member>
SettingRow bytes(std::string name, std::uint64_t least, std::uint64_t most, Member member,
                 std::string sentence) {
    const auto expected = fmt::format("a size such as \"256MiB\", from \"{}\" to \"{}\"",
                                      render_bytes(least), render_bytes(most));
    return {std::move(name), "bytes", std::move(sentence),
            [=](Settings& settings, const SettingValue& value) -> std::optional<std::string> {
                std::optional<std::uint64_t> parsed;
                if (const auto* text = std::get_if<std::string>(&value))
                    parsed = parse_bytes(*text);
                if (const auto* number = std::get_if<std::int64_t>(&value); number && *number >= 0)
                    parsed = static_cast<std::uint64_t>(*number);
                if (!parsed || *parsed < least || *parsed > most) return expected;
                member(settings) = *parsed;
                return std::nullopt;
            },
            [=](const Settings& settings) { return toml_string(render_bytes(member(settings))); }};
}

// Text goes into paths, SMTP commands and headers: no control characters, no bytes beyond ASCII.
bool plain(const std::string& text, std::size_t most) {
    return text.size() <= most &&
           std::all_of(text.begin(), text.end(), [](char c) { return c >= ' ' && c <= '~'; });
}

enum class Empty { allowed, refused };

template <typename Member>
SettingRow path(std::string name, Empty empty, Member member, std::string sentence) {
    const std::string expected = empty == Empty::allowed
                                     ? "an absolute path such as \"/var/log/mail.log\", or \"\""
                                     : "an absolute path such as \"/run/postfathom/admin.sock\"";
    return {std::move(name), "path", std::move(sentence),
            [=](Settings& settings, const SettingValue& value) -> std::optional<std::string> {
                constexpr std::size_t longest = 4096;  // PATH_MAX
                const auto* text = std::get_if<std::string>(&value);
                if (text == nullptr || !plain(*text, longest)) return expected;
                if (text->empty() ? empty == Empty::refused : text->front() != '/') return expected;
                member(settings) = *text;
                return std::nullopt;
            },
            [=](const Settings& settings) { return toml_string(member(settings)); }};
}

template <typename Member>
SettingRow socket(std::string name, Member member, std::string sentence,
                  Empty empty = Empty::refused) {
    static constexpr std::size_t longest = sizeof(sockaddr_un::sun_path) - 1;
    auto row = path(std::move(name), empty, member, std::move(sentence));
    row.assign = [assign = row.assign](Settings& settings,
                                       const SettingValue& value) -> std::optional<std::string> {
        const auto* text = std::get_if<std::string>(&value);
        if (text != nullptr && text->size() > longest)
            return fmt::format("a path of at most {} bytes, which is all a UNIX socket can have",
                               longest);
        return assign(settings, value);
    };
    return row;
}

template <typename Member>
SettingRow host_name(std::string name, Member member, std::string sentence) {
    return {std::move(name), "host name", std::move(sentence),
            [=](Settings& settings, const SettingValue& value) -> std::optional<std::string> {
                constexpr std::size_t longest = 253;
                constexpr std::string_view expected =
                    "a host name such as \"relay.example.org\", or \"\" for this host's name";
                const auto* text = std::get_if<std::string>(&value);
                if (text == nullptr || !plain(*text, longest) ||
                    text->find_first_of(" ;\"<>()@,\\") != std::string::npos)
                    return std::string(expected);
                member(settings) = *text;
                return std::nullopt;
            },
            [=](const Settings& settings) { return toml_string(member(settings)); }};
}

template <typename Member>
SettingRow socket_mode(std::string name, Member member, std::string sentence) {
    return {std::move(name), "octal mode", std::move(sentence),
            [=](Settings& settings, const SettingValue& value) -> std::optional<std::string> {
                const auto* text = std::get_if<std::string>(&value);
                const bool octal = text != nullptr && text->size() == 4 && text->front() == '0' &&
                                   text->find_first_not_of("01234567") == std::string::npos;
                if (!octal) return "four octal digits in quotes such as \"0660\"";
                member(settings) = *text;
                return std::nullopt;
            },
            [=](const Settings& settings) { return toml_string(member(settings)); }};
}

// useradd(8) takes 32 bytes; a directory service may have longer names, and other characters.
constexpr std::size_t longest_account_name = 64;

bool is_account_name(const std::string& text) {
    return !text.empty() && plain(text, longest_account_name) && text.front() != '-' &&
           text.find_first_of(" \"\\:/,*") == std::string::npos;
}

template <typename Member>
SettingRow account(std::string name, std::string unit, Member member, std::string sentence) {
    const auto expected = fmt::format("a {} such as \"postfix\", or \"\"", unit);
    return {std::move(name), std::move(unit), std::move(sentence),
            [=](Settings& settings, const SettingValue& value) -> std::optional<std::string> {
                const auto* text = std::get_if<std::string>(&value);
                if (text == nullptr || !(text->empty() || is_account_name(*text))) return expected;
                member(settings) = *text;
                return std::nullopt;
            },
            [=](const Settings& settings) { return toml_string(member(settings)); }};
}

template <typename Member>
SettingRow boolean(std::string name, Member member, std::string sentence) {
    return {
        std::move(name), "true or false", std::move(sentence),
        [=](Settings& settings, const SettingValue& value) -> std::optional<std::string> {
            const auto* flag = std::get_if<bool>(&value);
            if (flag == nullptr) return "true or false";
            member(settings) = *flag;
            return std::nullopt;
        },
        [=](const Settings& settings) { return std::string(member(settings) ? "true" : "false"); }};
}

template <typename Value>
using Choices = std::vector<std::pair<std::string, Value>>;

template <typename Value, typename Member>
SettingRow choice(std::string name, const Choices<Value>& choices, Member member,
                  std::string sentence) {
    std::string names;
    for (const auto& [word, unused] : choices) names += (names.empty() ? "" : ", ") + word;
    return {std::move(name), "one of: " + names, std::move(sentence),
            [=](Settings& settings, const SettingValue& value) -> std::optional<std::string> {
                const auto* text = std::get_if<std::string>(&value);
                for (const auto& [word, meaning] : choices) {
                    if (text == nullptr || *text != word) continue;
                    member(settings) = meaning;
                    return std::nullopt;
                }
                return "one of: " + names;
            },
            [=](const Settings& settings) {
                for (const auto& [word, meaning] : choices)
                    if (member(settings) == meaning) return toml_string(word);
                return toml_string("");
            }};
}

// Every level but the one that switches TLS off: that cannot be a floor.
Choices<TlsLevel> floor_choices() {
    Choices<TlsLevel> choices;
    for (const auto level :
         {TlsLevel::may, TlsLevel::encrypt, TlsLevel::fingerprint, TlsLevel::dane,
          TlsLevel::dane_only, TlsLevel::verify, TlsLevel::secure})
        choices.emplace_back(std::string(to_string(level)), level);
    return choices;
}

// `parse` gives the element to keep, or nothing for what is none.
template <typename Parse, typename Render, typename Member>
SettingRow list(std::string name, std::string unit, const std::string& expected, Parse parse,
                Render render, Member member, std::string sentence) {
    constexpr std::size_t most = 10'000;
    return {std::move(name), std::move(unit), std::move(sentence),
            [=](Settings& settings, const SettingValue& value) -> std::optional<std::string> {
                const auto* texts = std::get_if<std::vector<std::string>>(&value);
                if (texts == nullptr || texts->size() > most) return "a list of " + expected;
                std::remove_reference_t<decltype(member(settings))> kept;
                for (const auto& text : *texts) {
                    auto element = parse(text);
                    if (!element) return "a list of " + expected;
                    if (std::find(kept.begin(), kept.end(), *element) == kept.end())
                        kept.push_back(std::move(*element));
                }
                member(settings) = std::move(kept);
                return std::nullopt;
            },
            [=](const Settings& settings) {
                std::string text;
                for (const auto& element : member(settings))
                    text += (text.empty() ? "" : ", ") + toml_string(render(element));
                return '[' + text + ']';
            }};
}

std::optional<std::string> canonical_next_hop(const std::string& text) {
    const auto parsed = parse_next_hop(text);
    if (!parsed) return std::nullopt;
    return to_string(*parsed);
}

// Mail may be deferred for what is wrong, not for what is well or not known.
std::optional<DiagnosisId> parse_fault(const std::string& text) {
    const auto id = parse_diagnosis_id(text);
    if (id == DiagnosisId::healthy || id == DiagnosisId::pmtu_reduced ||
        id == DiagnosisId::inconclusive)
        return std::nullopt;
    return id;
}

template <typename Member>
SettingRow next_hops(std::string name, Member member, std::string sentence) {
    return list(
        std::move(name), "list of next hops",
        "next hops such as \"example.org\" or \"[mail.example.org]:587\"", canonical_next_hop,
        [](const std::string& text) { return text; }, member, std::move(sentence));
}

// `parse_one`, or the word for all.
auto or_all(std::optional<std::string> (*parse_one)(const std::string&)) {
    return [parse_one](const std::string& text) {
        return text == Settings::Tables::all ? std::optional(text) : parse_one(text);
    };
}

std::optional<std::string> canonical_address(const std::string& text) {
    const auto parsed = IpAddress::parse(text);
    if (!parsed) return std::nullopt;
    return parsed->to_string();
}

// "ada", "@group", or the word for all.
std::optional<std::string> account_or_group(const std::string& text) {
    const bool group = text.starts_with('@');
    if (text != Settings::Admin::all && !is_account_name(group ? text.substr(1) : text))
        return std::nullopt;
    return text;
}

template <typename Member>
SettingRow accounts(std::string name, Member member, std::string sentence) {
    return list(
        std::move(name), "list of users and groups",
        "users such as \"ada\" and groups such as \"@postfathom\", or \"*\" for all",
        account_or_group, [](const std::string& text) { return text; }, member,
        std::move(sentence));
}

template <typename Member>
SettingRow diagnoses(std::string name, Member member, std::string sentence) {
    return list(
        std::move(name), "list of diagnoses",
        "diagnoses of a fault such as \"pmtu-black-hole\" or \"peer-stall\"", parse_fault,
        [](DiagnosisId id) { return std::string(to_string(id)); }, member, std::move(sentence));
}

// "127.0.0.1:10040", "[::1]:10040", or "" for none.
template <typename Member>
SettingRow tcp_place(std::string name, Member member, std::string sentence) {
    return {std::move(name), "address and port", std::move(sentence),
            [=](Settings& settings, const SettingValue& value) -> std::optional<std::string> {
                constexpr std::string_view expected =
                    "an address and a port such as \"127.0.0.1:10040\" or \"[::1]:10040\", or "
                    "\"\" for none";
                const auto* text = std::get_if<std::string>(&value);
                if (text == nullptr) return std::string(expected);
                auto& target = member(settings);
                target.reset();
                if (text->empty()) return std::nullopt;
                const auto parsed = parse_next_hop(*text);
                if (!parsed || !parsed->literal || !parsed->port) return std::string(expected);
                target = TcpPlace{*parsed->literal, *parsed->port};
                return std::nullopt;
            },
            [=](const Settings& settings) {
                const auto& place = member(settings);
                return toml_string(place ? to_string(*place) : "");
            }};
}

const Choices<PolicyMode>& policy_modes() {
    static const Choices<PolicyMode> modes{{"observe", PolicyMode::observe},
                                           {"warn", PolicyMode::warn},
                                           {"tag", PolicyMode::tag},
                                           {"defer", PolicyMode::defer}};
    return modes;
}

// member(settings.probe.timeout), for const and other Settings alike.
// NOLINTNEXTLINE(bugprone-macro-parentheses): a member's name cannot stand in parentheses
#define POSTFATHOM_MEMBER(path) [](auto& settings) -> auto& { return settings.path; }

std::vector<SettingRow> make_rows() {
    constexpr auto year = 24h * 365;
    return {
        choice("log.target",
               Choices<log::Target>{{"stderr", log::Target::standard_error},
                                    {"syslog", log::Target::syslog}},
               POSTFATHOM_MEMBER(log.target),
               "Where the daemons log: standard error (which systemd puts into the journal) or "
               "syslog, facility mail."),
        choice("log.level",
               Choices<log::Level>{{"debug", log::Level::debug},
                                   {"info", log::Level::info},
                                   {"warning", log::Level::warning},
                                   {"error", log::Level::error}},
               POSTFATHOM_MEMBER(log.level), "The least important lines that are logged."),

        choice("confinement.mode",
               Choices<ConfinementMode>{{"auto", ConfinementMode::automatic},
                                        {"required", ConfinementMode::required},
                                        {"off", ConfinementMode::off}},
               POSTFATHOM_MEMBER(confinement.mode),
               "Whether each daemon confines itself, with Landlock and seccomp, to the files, "
               "sockets and system calls that it needs: as far as the kernel lets it (auto), so "
               "that it does not start where the kernel does not (required), or not at all (off)."),

        path("cache.directory", Empty::refused, POSTFATHOM_MEMBER(cache.directory),
             "Directory of the probe cache; postfathom-probed writes it, the other daemons read "
             "it. Under systemd another one has to be named to all three services "
             "(ReadWritePaths= of systemd.exec(5))."),
        bytes("cache.max_bytes", std::uint64_t{1} << 20, std::uint64_t{1} << 40,
              POSTFATHOM_MEMBER(cache.max_bytes),
              "Most that the cache may take; what was confirmed longest ago goes first."),
        count("cache.max_destinations", 10, 10'000'000, POSTFATHOM_MEMBER(cache.max_destinations),
              "Most next hops that are remembered."),
        duration("cache.good_refresh", 1min, year, POSTFATHOM_MEMBER(cache.age.good_refresh),
                 "A good verdict older than this is still used, and refreshed when it is wanted."),
        duration("cache.good_expire", 1min, year, POSTFATHOM_MEMBER(cache.age.good_expire),
                 "A good verdict older than this says nothing any more."),
        duration("cache.ill_refresh", 10s, year, POSTFATHOM_MEMBER(cache.age.ill_refresh),
                 "A bad verdict older than this is still used, and probed again."),
        duration("cache.ill_expire", 10s, year, POSTFATHOM_MEMBER(cache.age.ill_expire),
                 "A bad verdict older than this says nothing any more."),

        socket("notice.socket", POSTFATHOM_MEMBER(notice.socket),
               "UNIX datagram socket on which postfathom-probed takes notices from the other "
               "daemons."),

        choice("mail_log.source", Choices<bool>{{"file", false}, {"journal", true}},
               POSTFATHOM_MEMBER(mail_log.journal),
               "Where Postfix's log is read: the file below, or the systemd journal by way of "
               "journalctl(1)."),
        path("mail_log.file", Empty::allowed, POSTFATHOM_MEMBER(mail_log.file),
             "Postfix's log file (maillog_file of Postfix, or what syslog writes); empty to follow "
             "none, which leaves deferrals without a host in their text untagged."),

        path("mail_log.dovecot_file", Empty::allowed, POSTFATHOM_MEMBER(mail_log.dovecot_file),
             "Dovecot's log file, where that is another one; its failed handshakes count for the "
             "clients' networks (postfathom list --clients)."),

        socket("tlsrpt.socket", POSTFATHOM_MEMBER(tlsrpt.socket),
               "UNIX datagram socket for smtp_tlsrpt_socket_name of Postfix 3.10 and later, below "
               "its queue directory; empty for none. Postfix sends its reports to one socket only.",
               Empty::allowed),
        socket_mode("tlsrpt.socket_mode", POSTFATHOM_MEMBER(tlsrpt.rights.mode),
                    "Permissions of tlsrpt.socket."),
        account("tlsrpt.socket_owner", "user name", POSTFATHOM_MEMBER(tlsrpt.rights.owner),
                "User that tlsrpt.socket is given to; empty for that of postfathom-probed."),
        account("tlsrpt.socket_group", "group name", POSTFATHOM_MEMBER(tlsrpt.rights.group),
                "Group that tlsrpt.socket is given to; empty for postfix, where it may be given."),
        socket(
            "tlsrpt.forward_to", POSTFATHOM_MEMBER(tlsrpt.forward_to),
            "Socket of the TLSRPT collector that Postfix would otherwise send to (tlsrpt-collectd "
            "of tlsrpt-reporter): each datagram is passed on as it came, without waiting; empty "
            "for none.",
            Empty::allowed),

        boolean(
            "socket_watch.enabled", POSTFATHOM_MEMBER(socket_watch.enabled),
            "Whether the kernel is asked for the counters of this host's own connections to and "
            "from mail ports: a black hole shows in them, without a probe. Needs no privilege."),
        duration("socket_watch.interval", 1s, 1min, POSTFATHOM_MEMBER(socket_watch.interval),
                 "Time from one look at the connections to the next."),

        host_name("probe.ehlo_name", POSTFATHOM_MEMBER(probe.ehlo_name),
                  "Name that probes give in EHLO; empty for this host's name."),
        path("probe.ca_file", Empty::allowed, POSTFATHOM_MEMBER(probe.ca_file),
             "PEM file with the trust anchors for server certificates; empty for the system's."),
        duration("probe.connect_timeout", 100ms, 10min, POSTFATHOM_MEMBER(probe.connect_timeout),
                 "Longest wait for a TCP connection."),
        duration("probe.greeting_timeout", 100ms, 10min, POSTFATHOM_MEMBER(probe.greeting_timeout),
                 "Longest wait for the server's greeting; slow greetings are no fault."),
        duration("probe.reply_timeout", 100ms, 10min, POSTFATHOM_MEMBER(probe.reply_timeout),
                 "Longest wait for any other reply."),
        duration("probe.handshake_timeout", 100ms, 10min,
                 POSTFATHOM_MEMBER(probe.handshake_timeout),
                 "Longest wait for a TLS handshake to end before it counts as stalled."),
        duration("probe.timeout", 1s, 1h, POSTFATHOM_MEMBER(probe.timeout),
                 "Longest time for one endpoint, all connections together."),
        count("probe.max_connections", 1, 64, POSTFATHOM_MEMBER(probe.max_connections),
              "Most connections to one endpoint in one probe that a person asked for."),
        count("probe.budget_connections", 1, 1000, POSTFATHOM_MEMBER(probe.budget_connections),
              "Most connections to one server address within probe.budget_window, unless a person "
              "asks."),
        count("probe.budget_aborted", 1, 1000, POSTFATHOM_MEMBER(probe.budget_aborted),
              "Most handshakes left unfinished with one server address within "
              "probe.budget_window, unless a person asks; a server's fail2ban counts them, "
              "usually up to 5 in 10 minutes."),
        duration("probe.budget_window", 1s, 24h, POSTFATHOM_MEMBER(probe.budget_window),
                 "The time for which probe.budget_connections and probe.budget_aborted hold."),
        duration("probe.apart", 0ms, 1min, POSTFATHOM_MEMBER(probe.apart),
                 "Least time between two connections to one endpoint, unless a person asks."),
        count(
            "probe.parallel", 2, 16, POSTFATHOM_MEMBER(probe.parallel),
            "Most connections to one endpoint at a time; the search for a size needs at least two, "
            "as the first one stays open meanwhile."),
        boolean(
            "probe.datagrams", POSTFATHOM_MEMBER(probe.datagrams),
            "After a size was found that does not pass, send a few UDP and ICMP echo packets of "
            "about that size to the server's address, to learn which router drops them."),
        duration("probe.back_off", 1s, 24h, POSTFATHOM_MEMBER(probe.back_off),
                 "How long a server that asks us to come again later (421, a rate limit) is left "
                 "alone, unless a person asks; doubles each time that it asks again."),
        duration("probe.longest_back_off", 1s, 24h * 7, POSTFATHOM_MEMBER(probe.longest_back_off),
                 "Most that probe.back_off grows to."),
        count(
            "probe.max_addresses", 1, 64, POSTFATHOM_MEMBER(probe.max_addresses),
            "Most addresses of one next hop that are probed, as Postfix's smtp_mx_address_limit."),
        count("probe.concurrent", 1, 256, POSTFATHOM_MEMBER(probe.concurrent),
              "Most probes at a time, each to another next hop."),
        count("probe.per_hour", 1, 1'000'000, POSTFATHOM_MEMBER(probe.per_hour),
              "Most probes of this host in an hour."),
        duration("probe.min_interval", 1s, 24h, POSTFATHOM_MEMBER(probe.min_interval),
                 "Least time between two probes of one next hop, unless an operator asks."),

        choice("tls.floor", floor_choices(), POSTFATHOM_MEMBER(tls.floor),
               "The TLS level that Postfix enforces where nothing else is known "
               "(smtp_tls_security_level); nothing Postfathom says goes below it."),
        path("tls.trust_anchor", Empty::allowed, POSTFATHOM_MEMBER(tls.trust_anchor),
             "File of DNSSEC trust anchors, to look up the TLSA records (DANE) of next hops whose "
             "handshake fails; \"\": they are not looked up."),
        boolean("tls.mta_sts", POSTFATHOM_MEMBER(tls.mta_sts),
                "Fetch the MTA-STS policy of next hops whose handshake fails."),

        socket("policy.socket", POSTFATHOM_MEMBER(policy.socket),
               "UNIX socket for check_policy_service; below Postfix's queue directory, so that "
               "chrooted services reach it."),
        socket_mode("policy.socket_mode", POSTFATHOM_MEMBER(policy.rights.mode),
                    "Permissions of policy.socket."),
        account("policy.socket_owner", "user name", POSTFATHOM_MEMBER(policy.rights.owner),
                "User that policy.socket is given to; empty for that of postfathom-policyd."),
        account("policy.socket_group", "group name", POSTFATHOM_MEMBER(policy.rights.group),
                "Group that policy.socket is given to; empty for postfix, where it may be given."),
        tcp_place("policy.listen", POSTFATHOM_MEMBER(policy.listen),
                  "Address and port on which policy requests are taken as well, for a Postfix that "
                  "cannot reach the UNIX socket; empty for none."),
        boolean("policy.listen_anywhere", POSTFATHOM_MEMBER(policy.listen_anywhere),
                "Whether policy.listen may be another address than one of this host's loopback "
                "interface; whoever reaches it can ask what is known of any next hop."),
        choice("policy.mode", policy_modes(), POSTFATHOM_MEMBER(policy.mode),
               "What a policy request for an ill next hop gets: nothing (observe), a line in "
               "Postfix's log (warn), a header (tag), or a refusal until later (defer) where "
               "defer.diagnoses and defer.next_hops both say so; else mail is accepted. A check of "
               "its own mode names it in its policy_context."),
        count("policy.max_connections", 1, 100'000, POSTFATHOM_MEMBER(policy.max_connections),
              "Most connections of Postfix to each of policyd's sockets."),
        duration("policy.request_timeout", 1s, 10min, POSTFATHOM_MEMBER(policy.request_timeout),
                 "Longest time from the first to the last byte of a request, and for taking its "
                 "answer; a connection that takes longer is closed."),

        diagnoses("defer.diagnoses", POSTFATHOM_MEMBER(defer.diagnoses),
                  "Diagnoses for which a recipient may be refused until later, where a mode says "
                  "so."),
        next_hops("defer.next_hops", POSTFATHOM_MEMBER(defer.next_hops),
                  "Next hops whose recipients may be refused until later, where a mode says so."),

        socket("dsn.socket", POSTFATHOM_MEMBER(dsn.socket),
               "UNIX socket for smtp_delivery_status_filter (socketmap table \"dsn\")."),
        socket_mode("dsn.socket_mode", POSTFATHOM_MEMBER(dsn.rights.mode),
                    "Permissions of dsn.socket."),
        account("dsn.socket_owner", "user name", POSTFATHOM_MEMBER(dsn.rights.owner),
                "User that dsn.socket is given to; empty for that of postfathom-policyd."),
        account("dsn.socket_group", "group name", POSTFATHOM_MEMBER(dsn.rights.group),
                "Group that dsn.socket is given to; empty for postfix, where it may be given."),
        duration("dsn.log_wait", 0ms, 10s, POSTFATHOM_MEMBER(dsn.log_wait),
                 "Longest wait for the log line that names the destination of a deferral; only a "
                 "delivery that has failed already waits."),

        socket("tables.socket", POSTFATHOM_MEMBER(tables.socket),
               "UNIX socket for smtp_tls_policy_maps (socketmap table \"tls\") and "
               "smtp_discard_ehlo_keyword_address_maps (table \"ehlo\"); empty for none. Where "
               "main.cf "
               "names it and nobody answers, Postfix defers all mail.",
               Empty::allowed),
        socket_mode("tables.socket_mode", POSTFATHOM_MEMBER(tables.rights.mode),
                    "Permissions of tables.socket."),
        account("tables.socket_owner", "user name", POSTFATHOM_MEMBER(tables.rights.owner),
                "User that tables.socket is given to; empty for that of postfathom-policyd."),
        account("tables.socket_group", "group name", POSTFATHOM_MEMBER(tables.rights.group),
                "Group that tables.socket is given to; empty for postfix, where it may be given."),
        list(
            "tables.tls_next_hops", "list of next hops",
            "next hops such as \"example.org\" or \"[mail.example.org]:587\", or \"*\" for all",
            or_all(canonical_next_hop), [](const std::string& text) { return text; },
            POSTFATHOM_MEMBER(tables.tls_next_hops),
            "Next hops, or \"*\" for all, for which table tls answers \"encrypt\" while their path "
            "is at fault and TLS is known to work there, so that Postfix does not fall to clear "
            "text; nothing where tls.floor, or what Postfix had for it when it was probed, is "
            "encrypt or more, or is not known."),
        list(
            "tables.ehlo_addresses", "list of addresses",
            "addresses such as \"192.0.2.1\" or \"2001:db8::1\", or \"*\" for all",
            or_all(canonical_address), [](const std::string& text) { return text; },
            POSTFATHOM_MEMBER(tables.ehlo_addresses),
            "Server addresses, or \"*\" for all, for which table ehlo answers \"pipelining\" while "
            "groups of commands are lost on the way to them."),

        socket("milter.socket", POSTFATHOM_MEMBER(milter.socket), "UNIX socket for smtpd_milters."),
        socket_mode("milter.socket_mode", POSTFATHOM_MEMBER(milter.rights.mode),
                    "Permissions of milter.socket."),
        account("milter.socket_owner", "user name", POSTFATHOM_MEMBER(milter.rights.owner),
                "User that milter.socket is given to; empty for that of postfathom-milter."),
        account("milter.socket_group", "group name", POSTFATHOM_MEMBER(milter.rights.group),
                "Group that milter.socket is given to; empty for postfix, where it may be given."),
        choice(
            "milter.mode", policy_modes(), POSTFATHOM_MEMBER(milter.mode),
            "What happens to a message with recipients behind an ill next hop: a line in our log "
            "for each such next hop and hour (observe) or each message (warn), which leave all "
            "messages as they are; the header X-Postfathom-Diagnosis (tag), of which forged copies "
            "are removed; or that header, and until later no recipients for whom defer.diagnoses "
            "and defer.next_hops both say so (defer)."),
        host_name("milter.host_token", POSTFATHOM_MEMBER(milter.host_token),
                  "Name at the start of the header that says who wrote it; empty for this host's "
                  "name."),

        socket("admin.socket", POSTFATHOM_MEMBER(admin.socket),
               "UNIX socket of the admin query interface (HTTP with JSON)."),
        socket_mode("admin.socket_mode", POSTFATHOM_MEMBER(admin.rights.mode),
                    "Permissions of admin.socket."),
        account("admin.socket_owner", "user name", POSTFATHOM_MEMBER(admin.rights.owner),
                "User that admin.socket is given to; empty for that of postfathom-probed."),
        account("admin.socket_group", "group name", POSTFATHOM_MEMBER(admin.rights.group),
                "Group that admin.socket is given to; empty for that of postfathom-probed."),
        accounts("admin.readers", POSTFATHOM_MEMBER(admin.readers),
                 "Who may read on admin.socket, of those whom its permissions let connect: users "
                 "by name, groups as \"@name\", or \"*\" for all. Root, the daemon's own user and "
                 "admin.changers may always."),
        accounts("admin.changers", POSTFATHOM_MEMBER(admin.changers),
                 "Who may also have a place probed, or forgotten. Root and the daemon's own user "
                 "may always."),
        count("admin.max_connections", 1, 10'000, POSTFATHOM_MEMBER(admin.max_connections),
              "Most connections to each of admin.socket and admin.http_port."),
        count("admin.http_port", 0, 65'535, POSTFATHOM_MEMBER(admin.http_port),
              "TCP port on 127.0.0.1 for reading the same answers, /metrics among them; 0: none. "
              "Every user of this host may read there."),
    };
}

#undef POSTFATHOM_MEMBER

}  // namespace

const std::vector<SettingRow>& setting_rows() {
    static const std::vector<SettingRow> rows = make_rows();
    return rows;
}

std::string_view to_string(PolicyMode mode) {
    for (const auto& [word, meaning] : policy_modes())
        if (meaning == mode) return word;
    return "";
}

std::optional<PolicyMode> parse_policy_mode(std::string_view text) {
    for (const auto& [word, meaning] : policy_modes())
        if (word == text) return meaning;
    return std::nullopt;
}

std::string to_string(const TcpPlace& place) {
    const bool v6 = place.address.family() == IpFamily::v6;
    return fmt::format("{}{}{}:{}", v6 ? "[" : "", place.address.to_string(), v6 ? "]" : "",
                       place.port);
}

bool Settings::Defer::permits(DiagnosisId id, std::string_view next_hop) const {
    return std::find(diagnoses.begin(), diagnoses.end(), id) != diagnoses.end() &&
           std::find(next_hops.begin(), next_hops.end(), next_hop) != next_hops.end();
}

namespace {

const ConfiguredRoute* exact_route(const std::vector<ConfiguredRoute>& routes,
                                   std::string_view domain) {
    const auto found =
        std::lower_bound(routes.begin(), routes.end(), domain,
                         [](const auto& route, auto name) { return route.domain < name; });
    return found != routes.end() && found->domain == domain ? &*found : nullptr;
}

}  // namespace

const ConfiguredRoute* find_route(const std::vector<ConfiguredRoute>& routes,
                                  std::string_view domain) {
    if (routes.empty()) return nullptr;
    if (const auto* own = exact_route(routes, domain)) return own;
    for (auto dot = domain.find('.', 1); dot != domain.npos; dot = domain.find('.', dot + 1))
        if (const auto* parent = exact_route(routes, domain.substr(dot))) return parent;
    return exact_route(routes, "*");
}

std::optional<RouteFault> add_route(Settings& settings, const std::string& domain,
                                    const std::string& next_hop) {
    const auto name = to_lower(domain);
    const std::string_view bare = name.starts_with('.') ? std::string_view(name).substr(1) : name;
    const auto parsed = parse_next_hop(bare);
    const bool is_domain = parsed && parsed->mx_lookup && !parsed->port && parsed->host == bare;
    if (name != "*" && !is_domain)
        return RouteFault{"domain",
                          "a domain such as \"example.org\", \".example.org\" for those below it, "
                          "or \"*\" for all others"};
    const auto hop = parse_next_hop(next_hop);
    if (!hop || next_hop.find_first_of("\"\\") != std::string::npos)
        return RouteFault{"next_hop",
                          "a next hop such as \"[mail.example.org]:587\" or \"example.net\""};
    if (exact_route(settings.routes, name) != nullptr)
        return RouteFault{"domain", "each domain in one [[route]] only"};
    // Blanks and line ends around it are no part of the name.
    ConfiguredRoute route{name, to_string(*hop), std::string(trim(next_hop))};
    const auto place =
        std::lower_bound(settings.routes.begin(), settings.routes.end(), name,
                         [](const auto& known, const auto& key) { return known.domain < key; });
    settings.routes.insert(place, std::move(route));
    return std::nullopt;
}

std::vector<SettingConflict> find_conflicts(const Settings& settings) {
    std::vector<SettingConflict> conflicts;
    const auto& age = settings.cache.age;
    const auto not_shorter = [&](const char* name, auto value, const char* other, auto least) {
        if (value >= least) return;
        conflicts.push_back(
            {name, other,
             fmt::format("expected at least {} (\"{}\"), found \"{}\"", other,
                         render_duration(std::chrono::duration_cast<milliseconds>(least)),
                         render_duration(std::chrono::duration_cast<milliseconds>(value)))});
    };
    not_shorter("cache.good_expire", age.good_expire, "cache.good_refresh", age.good_refresh);
    not_shorter("cache.ill_expire", age.ill_expire, "cache.ill_refresh", age.ill_refresh);
    not_shorter("probe.timeout", settings.probe.timeout, "probe.handshake_timeout",
                settings.probe.handshake_timeout);
    not_shorter("probe.longest_back_off", settings.probe.longest_back_off, "probe.back_off",
                settings.probe.back_off);

    if (const auto wait = settings.dsn.log_wait; wait > 0ms && wait < least_log_wait)
        conflicts.push_back(
            {"dsn.log_wait", "dsn.log_wait",
             fmt::format("expected \"0s\" for no wait, or at least \"{}\", below which "
                         "no line can be trusted; found \"{}\"",
                         render_duration(least_log_wait), render_duration(wait))});

    const auto& policy = settings.policy;
    if (policy.listen && !policy.listen->address.is_loopback() && !policy.listen_anywhere)
        conflicts.push_back(
            {"policy.listen", "policy.listen_anywhere",
             fmt::format("expected a loopback address such as \"127.0.0.1:10040\", or "
                         "policy.listen_anywhere = true beside it; found \"{}\"",
                         to_string(*policy.listen))});
    for (const auto& [name, mode] :
         {std::pair{"policy.mode", policy.mode}, std::pair{"milter.mode", settings.milter.mode}}) {
        if (mode != PolicyMode::defer) continue;
        if (settings.defer.diagnoses.empty())
            conflicts.push_back({name, "defer.diagnoses",
                                 "expected the diagnoses in defer.diagnoses beside \"defer\", "
                                 "found none; nothing would be deferred"});
        if (settings.defer.next_hops.empty())
            conflicts.push_back({name, "defer.next_hops",
                                 "expected the next hops in defer.next_hops beside \"defer\", "
                                 "found none; nothing would be deferred"});
    }

    std::vector<std::pair<std::string, std::string>> sockets{
        {"notice.socket", settings.notice.socket},
        {"policy.socket", settings.policy.socket},
        {"dsn.socket", settings.dsn.socket},
        {"milter.socket", settings.milter.socket},
        {"admin.socket", settings.admin.socket}};
    if (!settings.tables.socket.empty())
        sockets.emplace_back("tables.socket", settings.tables.socket);
    const auto& tlsrpt = settings.tlsrpt;
    if (!tlsrpt.socket.empty()) sockets.emplace_back("tlsrpt.socket", tlsrpt.socket);
    if (!tlsrpt.forward_to.empty()) sockets.emplace_back("tlsrpt.forward_to", tlsrpt.forward_to);
    if (!tlsrpt.forward_to.empty() && tlsrpt.socket.empty())
        conflicts.push_back({"tlsrpt.forward_to", "tlsrpt.socket",
                             "expected tlsrpt.socket beside it, found none; nothing would come in "
                             "to be passed on"});
    for (auto later = sockets.begin(); later != sockets.end(); ++later)
        for (auto earlier = sockets.begin(); earlier != later; ++earlier)
            if (earlier->second == later->second)
                conflicts.push_back(
                    {later->first, earlier->first,
                     fmt::format("expected a path of its own, found that of {}: \"{}\"",
                                 earlier->first, later->second)});
    return conflicts;
}

}  // namespace postfathom
