// SPDX-License-Identifier: Apache-2.0
#include "lib/config/settings.hpp"

#include <fmt/format.h>
#include <sys/un.h>

#include <algorithm>
#include <limits>

#include "lib/config/duration.hpp"
#include "lib/config/setting_rows.hpp"

namespace postfathom {

namespace {

using namespace std::chrono_literals;
using std::chrono::milliseconds;

// A line that comes sooner may be followed by one that contradicts it (policyd/delivery_join.hpp).
constexpr milliseconds least_log_wait{20};

// TOML basic strings; what we render holds no control characters but may hold these two.
std::string quoted(std::string_view text) {
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
                return quoted(
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
            [=](const Settings& settings) { return quoted(render_bytes(member(settings))); }};
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
            [=](const Settings& settings) { return quoted(member(settings)); }};
}

template <typename Member>
SettingRow socket(std::string name, Member member, std::string sentence) {
    static constexpr std::size_t longest = sizeof(sockaddr_un::sun_path) - 1;
    auto row = path(std::move(name), Empty::refused, member, std::move(sentence));
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
            [=](const Settings& settings) { return quoted(member(settings)); }};
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
            [=](const Settings& settings) { return quoted(member(settings)); }};
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
                    if (member(settings) == meaning) return quoted(word);
                return quoted("");
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

        path("cache.directory", Empty::refused, POSTFATHOM_MEMBER(cache.directory),
             "Directory of the probe cache; postfathom-probed writes it, the other daemons read "
             "it."),
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

        path("mail_log.file", Empty::allowed, POSTFATHOM_MEMBER(mail_log.file),
             "Postfix's log file (maillog_file of Postfix, or what syslog writes); empty to follow "
             "none, which leaves deferrals without a host in their text untagged."),

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

        socket("policy.socket", POSTFATHOM_MEMBER(policy.socket),
               "UNIX socket for check_policy_service; below Postfix's queue directory, so that "
               "chrooted services reach it."),
        socket_mode("policy.socket_mode", POSTFATHOM_MEMBER(policy.socket_mode),
                    "Permissions of policy.socket."),
        choice("policy.mode",
               Choices<PolicyMode>{{"observe", PolicyMode::observe},
                                   {"warn", PolicyMode::warn},
                                   {"tag", PolicyMode::tag}},
               POSTFATHOM_MEMBER(policy.mode),
               "What a policy request for an ill next hop gets: nothing (observe), a line in "
               "Postfix's log (warn), or a header (tag); mail is accepted in each."),
        count("policy.max_connections", 1, 100'000, POSTFATHOM_MEMBER(policy.max_connections),
              "Most connections of Postfix to policy.socket and dsn.socket, each."),

        socket("dsn.socket", POSTFATHOM_MEMBER(dsn.socket),
               "UNIX socket for smtp_delivery_status_filter (socketmap table \"dsn\")."),
        socket_mode("dsn.socket_mode", POSTFATHOM_MEMBER(dsn.socket_mode),
                    "Permissions of dsn.socket."),
        duration("dsn.log_wait", 0ms, 10s, POSTFATHOM_MEMBER(dsn.log_wait),
                 "Longest wait for the log line that names the destination of a deferral; only a "
                 "delivery that has failed already waits."),

        socket("milter.socket", POSTFATHOM_MEMBER(milter.socket), "UNIX socket for smtpd_milters."),
        socket_mode("milter.socket_mode", POSTFATHOM_MEMBER(milter.socket_mode),
                    "Permissions of milter.socket."),
        boolean(
            "milter.add_header", POSTFATHOM_MEMBER(milter.add_header),
            "Whether a message to an ill next hop gets the header X-Postfathom-Diagnosis; forged "
            "copies are removed either way."),
        host_name("milter.host_token", POSTFATHOM_MEMBER(milter.host_token),
                  "Name at the start of the header that says who wrote it; empty for this host's "
                  "name."),

        socket("admin.socket", POSTFATHOM_MEMBER(admin.socket),
               "UNIX socket of the admin query interface (HTTP with JSON)."),
        socket_mode("admin.socket_mode", POSTFATHOM_MEMBER(admin.socket_mode),
                    "Permissions of admin.socket."),
        count("admin.max_connections", 1, 10'000, POSTFATHOM_MEMBER(admin.max_connections),
              "Most connections to admin.socket."),
    };
}

#undef POSTFATHOM_MEMBER

}  // namespace

const std::vector<SettingRow>& setting_rows() {
    static const std::vector<SettingRow> rows = make_rows();
    return rows;
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

    // The header that policyd prepends has reached the milter as one of the message's own.
    if (settings.policy.mode == PolicyMode::tag && !settings.milter.add_header)
        conflicts.push_back(
            {"milter.add_header", "policy.mode",
             "expected true beside policy.mode = \"tag\": the milter takes the header "
             "of policyd, which it cannot tell from a forged one, and adds its own"});

    std::vector<std::pair<std::string, std::string>> sockets{
        {"notice.socket", settings.notice.socket},
        {"policy.socket", settings.policy.socket},
        {"dsn.socket", settings.dsn.socket},
        {"milter.socket", settings.milter.socket},
        {"admin.socket", settings.admin.socket}};
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
