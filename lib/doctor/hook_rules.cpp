// SPDX-License-Identifier: Apache-2.0
// How Postfix is told to ask us, and what becomes of mail when we do not answer.
#include <fmt/format.h>

#include "lib/base/text.hpp"
#include "lib/doctor/rules.hpp"
#include "lib/postfix/hook_lines.hpp"

namespace postfathom {

namespace {

constexpr double longest_wait = 10;  // seconds that a hook may hold up mail

// A parameter with its value in main.cf or in an `-o` of a service in master.cf.
struct Place {
    std::string parameter;
    std::string value;
    const PostfixService* service = nullptr;  // none: main.cf
    std::string in_words() const {
        return service == nullptr ? parameter
                                  : fmt::format("{} of {}/{} in master.cf", parameter,
                                                service->name, service->type);
    }
};

std::vector<Place> places(const PostfixConfiguration& postfix, const std::string& parameter,
                          const std::string& program) {
    std::vector<Place> found{{parameter, postfix.value(parameter), nullptr}};
    for (const auto& service : postfix.services) {
        const auto option = service.options.find(parameter);
        if (service.program == program && option != service.options.end())
            found.push_back({parameter, option->second, &service});
    }
    return found;
}

bool is_ours(const PostfixConfiguration& postfix, const std::string& endpoint,
             const std::string& socket) {
    return is_own_endpoint(postfix.value("queue_directory"), endpoint, socket);
}

std::string attribute(const PostfixHook& hook, const std::string& name,
                      const std::string& otherwise) {
    const auto found = hook.attributes.find(name);
    return found == hook.attributes.end() ? otherwise : found->second;
}

// What `unix:` of this hook leads to, compared with where the daemon listens.
void examine_path(const Place& place, const std::string& endpoint, const std::string& socket,
                  bool chrooted, const PostfixConfiguration& postfix, Findings& findings) {
    constexpr std::string_view unix_prefix = "unix:";
    if (endpoint.rfind(unix_prefix, 0) != 0) return;
    const auto path = std::string_view(endpoint).substr(unix_prefix.size());
    const auto& queue = postfix.value("queue_directory");
    const auto file = socket_file(path, queue, chrooted);
    if (file == socket) return;
    const bool below = socket.rfind(queue + '/', 0) == 0;
    findings.push_back(
        {"hook-path", Severity::warning,
         fmt::format("{} leads to {}, and the daemon listens on {}", place.in_words(), file,
                     socket),
         chrooted
             ? "The service is chrooted (fifth column of master.cf): it sees nothing outside "
               "of the queue directory, which is its root."
             : "A path that begins with a slash is one of the whole host; one that does not is "
               "below the queue directory.",
         below
             ? std::vector<std::string>{fmt::format(
                   "unix:{}   # in {}: right with and without chroot",
                   socket.substr(queue.size() + 1), place.in_words())}
             : std::vector<std::string>{fmt::format(
                   "# let the daemon listen below {}, where chrooted services reach it", queue)}});
}

bool chrooted(const Place& place, const PostfixConfiguration& postfix, const std::string& program) {
    return place.service != nullptr ? place.service->chroot : any_chrooted(postfix, program);
}

void examine_milter(const PostfixConfiguration& postfix, const Place& place,
                    const PostfixHook& hook, const OwnPlaces& own, Findings& findings) {
    const auto action = attribute(hook, "default_action", postfix.value("milter_default_action"));
    if (action != "accept")
        findings.push_back(
            {"milter-default-action",
             Severity::critical,
             fmt::format("{}: default_action is {} for {}", place.in_words(),
                         action.empty() ? "not known" : action, hook.endpoint),
             "When postfathom-milter is down, Postfix refuses mail instead of going on without it.",
             {milter_entry(hook.endpoint)}});
    for (const auto* name : {"connect_timeout", "command_timeout", "content_timeout"}) {
        const auto value = attribute(hook, name, postfix.value(std::string("milter_") + name));
        const auto seconds = parse_postfix_time(value);
        if (!seconds || *seconds <= longest_wait) continue;
        findings.push_back(
            {"milter-timeout",
             Severity::warning,
             fmt::format("{}: {} is {} for {}", place.in_words(), name, value, hook.endpoint),
             "That is how long a message waits when the milter hangs.",
             {milter_entry(hook.endpoint)}});
        return;  // one line mends all three
    }
    examine_path(place, hook.endpoint, own.milter_socket, chrooted(place, postfix, "smtpd"),
                 postfix, findings);
}

bool examine_milters(const PostfixConfiguration& postfix, const OwnPlaces& own,
                     Findings& findings) {
    bool used = false;
    for (const auto* parameter : {"smtpd_milters", "non_smtpd_milters"})
        for (const auto& place : places(postfix, parameter, "smtpd"))
            for (const auto& item : list_items(place.value)) {
                const auto hook = parse_hook(item);
                if (!is_ours(postfix, hook.endpoint, own.milter_socket)) continue;
                used = true;
                examine_milter(postfix, place, hook, own, findings);
            }
    return used;
}

void examine_policy(const PostfixConfiguration& postfix, const Place& place,
                    const PostfixHook& hook, const OwnPlaces& own, Findings& findings) {
    const auto action =
        attribute(hook, "default_action", postfix.value("smtpd_policy_service_default_action"));
    if (!iequals(std::string_view(action).substr(0, 5), "DUNNO"))
        findings.push_back({"policy-default-action",
                            Severity::critical,
                            fmt::format("{}: default_action is \"{}\" for {}", place.in_words(),
                                        action, hook.endpoint),
                            "When postfathom-policyd is down, Postfix refuses mail instead of "
                            "going on without it.",
                            {policy_check(hook.endpoint)}});
    const auto limit = attribute(hook, "timeout", postfix.value("smtpd_policy_service_timeout"));
    const auto tries =
        attribute(hook, "try_limit", postfix.value("smtpd_policy_service_try_limit"));
    const auto seconds = parse_postfix_time(limit);
    if (seconds && *seconds > longest_wait)
        findings.push_back(
            {"policy-timeout",
             Severity::warning,
             fmt::format("{}: timeout is {} and try_limit {} for {}", place.in_words(), limit,
                         tries, hook.endpoint),
             "That is how long a recipient waits, as many times, when the policy service hangs.",
             {policy_check(hook.endpoint)}});
    examine_path(place, hook.endpoint, own.policy_socket, chrooted(place, postfix, "smtpd"),
                 postfix, findings);
}

bool examine_policies(const PostfixConfiguration& postfix, const OwnPlaces& own,
                      Findings& findings) {
    bool used = false;
    for (const auto* parameter : restriction_lists)
        for (const auto& place : places(postfix, parameter, "smtpd")) {
            const auto items = list_items(place.value);
            for (std::size_t i = 0; i + 1 < items.size(); ++i) {
                if (!iequals(items[i], "check_policy_service")) continue;
                const auto hook = parse_hook(items[i + 1]);
                if (!is_own_policy(postfix.value("queue_directory"), hook.endpoint, own)) continue;
                used = true;
                examine_policy(postfix, place, hook, own, findings);
            }
        }
    return used;
}

bool examine_tables(const PostfixConfiguration& postfix, const std::string& parameter,
                    const std::string& socket, Findings& findings) {
    bool used = false;
    for (const auto& place : places(postfix, parameter, "smtp"))
        for (const auto& table : list_items(place.value)) {
            const auto endpoint = socketmap_endpoint(table);
            if (!is_ours(postfix, endpoint, socket)) continue;
            used = true;
            examine_path(place, endpoint, socket, chrooted(place, postfix, "smtp"), postfix,
                         findings);
        }
    return used;
}

// These fail closed: without an answer Postfix defers the mail.
void examine_closed_tables(const PostfixConfiguration& postfix, const DoctorFacts& facts,
                           Findings& findings) {
    const auto& socket = facts.own.tables_socket;
    for (const auto* parameter :
         {"smtp_tls_policy_maps", "smtp_discard_ehlo_keyword_address_maps"}) {
        // Without a socket in our settings nobody listens, wherever the map points to.
        const auto expected = socket.empty()
                                  ? postfix.value("queue_directory") + "/run/postfathom/tables.sock"
                                  : socket;
        if (!examine_tables(postfix, parameter, expected, findings)) continue;
        bool listens = !facts.sockets;
        if (facts.sockets)
            for (const auto& each : *facts.sockets)
                listens |= each.setting == "tables.socket" && (each.state == SocketState::listens ||
                                                               each.state == SocketState::denied);
        if (listens && !socket.empty()) continue;
        findings.push_back(
            {"table-closed",
             Severity::critical,
             fmt::format("{} asks postfathom-policyd, and nobody listens there", parameter),
             "A lookup that fails makes Postfix defer every message to every destination. This "
             "table "
             "is the one hook that does not fail open.",
             {socket.empty() ? "# set tables.socket in postfathom.toml, and: systemctl restart "
                               "postfathom-policyd"
                             : "systemctl restart postfathom-policyd",
              fmt::format("# or take it out of {} and: postfix reload", parameter)}});
    }
}

}  // namespace

bool any_chrooted(const PostfixConfiguration& postfix, const std::string& program) {
    for (const auto& service : postfix.services)
        if (service.program == program && service.chroot) return true;
    return false;
}

void examine_hooks(const PostfixConfiguration& postfix, const DoctorFacts& facts,
                   Findings& findings) {
    const auto before = findings.size();
    const auto& own = facts.own;
    std::vector<std::string> unused;
    if (!examine_milters(postfix, own, findings)) unused.emplace_back("smtpd_milters");
    if (!examine_policies(postfix, own, findings)) unused.emplace_back("check_policy_service");
    if (!examine_tables(postfix, "smtp_delivery_status_filter", own.dsn_socket, findings))
        unused.emplace_back("smtp_delivery_status_filter");
    examine_closed_tables(postfix, facts, findings);
    if (!unused.empty()) {
        std::string names;
        for (const auto& name : unused) names += (names.empty() ? "" : ", ") + name;
        findings.push_back(
            {"hooks-unused",
             Severity::notice,
             "Postfix does not ask Postfathom by " + names,
             "Each hook works without the others; smtp_delivery_status_filter adds the "
             "diagnosis to deferrals in mailq and the log.",
             {"postfathom setup   # prints the lines for this Postfix; with --apply it sets "
              "them"}});
    }
    if (findings.size() == before)
        findings.push_back({"hooks",
                            Severity::ok,
                            "Postfix asks Postfathom, and goes on without it when it is down",
                            "",
                            {}});
}

}  // namespace postfathom
