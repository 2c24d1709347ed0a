// SPDX-License-Identifier: Apache-2.0
#include "lib/postfix/setup.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "lib/base/text.hpp"
#include "lib/postfix/hook_lines.hpp"

namespace postfathom {

namespace {

constexpr PostfixVersion hooks_that_fail_open{3, 0};

constexpr const char* recipient_list = "smtpd_recipient_restrictions";
constexpr const char* filter = "smtp_delivery_status_filter";
constexpr const char* tls_maps = "smtp_tls_policy_maps";
constexpr const char* ehlo_maps = "smtp_discard_ehlo_keyword_address_maps";

std::string join(const std::string& before, const std::string& after) {
    if (trim(before).empty()) return after;
    if (trim(after).empty()) return before;
    return before + (before.back() == ',' ? " " : ", ") + after;
}

// `unix:PATH` that is right with and without chroot, where the socket is below the queue directory.
Result<std::string> spelled(const PostfixConfiguration& written, const std::string& socket,
                            const std::string& setting, std::initializer_list<const char*> users) {
    const auto& queue = written.value("queue_directory");
    if (socket.rfind(queue + '/', 0) == 0) return "unix:" + socket.substr(queue.size() + 1);
    for (const auto& service : written.services)
        for (const auto* program : users)
            if (service.chroot && service.program == program)
                return fail(ErrorCode::unsupported,
                            fmt::format("{0} is {1}, and {2}/{3} of master.cf is chrooted in {4}: "
                                        "set {0} to a place below it in postfathom.toml",
                                        setting, socket, service.name, service.type, queue));
    return "unix:" + socket;
}

// `postconf -P` takes no blanks in a value; commas separate as well. Where blanks are within an
// attribute they stay.
std::string compact(std::string_view list) {
    std::string text;
    for (const auto& item : list_items(list)) {
        if (!text.empty()) text += ',';
        const bool braces = item.size() >= 2 && item.front() == '{' && item.back() == '}';
        const auto inner = braces ? std::string_view(item).substr(1, item.size() - 2) : "";
        const bool plain = braces && inner.find('{') == std::string_view::npos &&
                           inner.find(" =") == std::string_view::npos &&
                           inner.find("= ") == std::string_view::npos;
        text += plain ? '{' + compact(inner) + '}' : item;
    }
    return text;
}

bool has_hook(const std::string& queue, std::string_view list, const OwnPlaces& own, Hook hook) {
    for (const auto& item : list_items(list)) {
        const auto endpoint = parse_hook(item).endpoint;
        const auto table = socketmap_endpoint(item);
        const bool ours = hook == Hook::policy ? is_own_policy(queue, endpoint, own)
                          : hook == Hook::milter
                              ? is_own_endpoint(queue, endpoint, own.milter_socket)
                          : hook == Hook::tags ? is_own_endpoint(queue, table, own.dsn_socket)
                                               : is_own_endpoint(queue, table, own.tables_socket);
        if (ours) return true;
    }
    return false;
}

// Where a word of a restriction list ends; npos where it is not in it.
std::size_t end_of_word(std::string_view list, std::string_view word) {
    constexpr std::string_view between = " \t\r\n,";
    const auto separates = [&](std::size_t at) {
        return at >= list.size() || between.find(list[at]) != std::string_view::npos;
    };
    for (auto at = list.find(word); at != std::string_view::npos; at = list.find(word, at + 1))
        if ((at == 0 || separates(at - 1)) && separates(at + word.size())) return at + word.size();
    return std::string_view::npos;
}

std::size_t end_of_relay_check(std::string_view list) {
    for (const auto* word : {"reject_unauth_destination", "defer_unauth_destination"})
        if (const auto end = end_of_word(list, word); end != std::string_view::npos) return end;
    return std::string_view::npos;
}

// A recipient is to be asked about after the relay check, and before a permit_mynetworks that ends
// the list for just those whose mail leaves this host. Where smtpd_relay_restrictions are looked at
// before this list, its beginning is such a place.
std::string with_policy(const PostfixConfiguration& written, const std::string& relay,
                        const std::string& list, const std::string& check) {
    const bool relay_first = written.value("smtpd_relay_before_recipient_restrictions") == "yes" &&
                             end_of_relay_check(relay) != std::string_view::npos;
    if (relay_first) return join(check, list);
    const auto end = end_of_relay_check(list);
    if (end == std::string_view::npos) return join(list, check);
    return list.substr(0, end) + ", " + check + list.substr(end);
}

class Planner {
  public:
    Planner(const PostfixConfiguration& written, const OwnPlaces& own)
        : written_(written), own_(own), queue_(written.value("queue_directory")) {}

    Result<void> add(Hook hook) {
        switch (hook) {
            case Hook::policy:
                return add_policy();
            case Hook::milter:
                return add_milter();
            case Hook::tags:
                return add_table(hook, filter, own_.dsn_socket, "dsn.socket", "dsn");
            case Hook::tls:
                return add_closed(hook, tls_maps, "tls");
            case Hook::ehlo:
                return add_closed(hook, ehlo_maps, "ehlo");
        }
        return {};
    }

    SetupPlan take() { return std::move(plan_); }

  private:
    // In main.cf, and for each service that has a list of its own. `make` is told the service.
    template <typename Make>
    void change(Hook hook, const char* parameter, const char* program, Make make) {
        const auto& value = written_.value(parameter);
        if (!has_hook(queue_, value, own_, hook))
            plan_.changes.push_back({"", parameter, make(value, nullptr), false});
        for (const auto& service : written_.services) {
            const auto option = service.options.find(parameter);
            if (service.program != program || option == service.options.end()) continue;
            const auto name = service.name + '/' + service.type;
            if (trim(option->second).empty())
                plan_.notes.push_back(name + " of master.cf has an empty " + parameter +
                                      " on purpose, as it seems: it is left alone");
            else if (!has_hook(queue_, option->second, own_, hook))
                change_service(name, parameter, make(option->second, &service));
        }
    }

    void change_service(const std::string& name, const char* parameter, const std::string& value) {
        const auto written = compact(value);
        if (written.find_first_of(" \t") == std::string::npos)
            plan_.changes.push_back({name, parameter, written, false});
        else
            plan_.notes.push_back("postconf cannot set " + std::string(parameter) + " of " + name +
                                  " in master.cf; by hand: -o { " + parameter + " = " + value +
                                  " }");
    }

    Result<void> add_policy() {
        const auto endpoint = spelled(written_, own_.policy_socket, "policy.socket", {"smtpd"});
        if (!endpoint) return tl::make_unexpected(endpoint.error());
        const auto check = policy_check(*endpoint);
        const auto& in_main = written_.value("smtpd_relay_restrictions");
        change(Hook::policy, recipient_list, "smtpd",
               [&](const std::string& list, const PostfixService* service) {
                   const auto* relay = &in_main;
                   if (service != nullptr)
                       if (const auto own = service->options.find("smtpd_relay_restrictions");
                           own != service->options.end())
                           relay = &own->second;
                   return with_policy(written_, *relay, list, check);
               });
        return {};
    }

    Result<void> add_milter() {
        const auto endpoint =
            spelled(written_, own_.milter_socket, "milter.socket", {"smtpd", "cleanup"});
        if (!endpoint) return tl::make_unexpected(endpoint.error());
        const auto line = milter_entry(*endpoint);
        change(Hook::milter, "smtpd_milters", "smtpd",
               [&](const std::string& list, const PostfixService*) { return join(list, line); });
        return {};
    }

    Result<void> add_table(Hook hook, const char* parameter, const std::string& socket,
                           const std::string& setting, const std::string& map) {
        const auto endpoint = spelled(written_, socket, setting, {"smtp"});
        if (!endpoint) return tl::make_unexpected(endpoint.error());
        const auto table = "socketmap:" + *endpoint + ':' + map;
        const auto& value = written_.value(parameter);
        // The filter's own default is what another parameter has.
        const auto base = hook == Hook::tags && value == "$default_delivery_status_filter"
                              ? written_.value("default_delivery_status_filter")
                              : value;
        if (hook == Hook::tags && !trim(base).empty() && !has_hook(queue_, base, own_, hook))
            plan_.notes.push_back(std::string(parameter) +
                                  " has a table already: the first that answers wins, so that a "
                                  "text which it changes gets no diagnosis");
        change(hook, parameter, "smtp", [&](const std::string& list, const PostfixService*) {
            return join(list == value ? base : list, table);
        });
        return {};
    }

    Result<void> add_closed(Hook hook, const char* parameter, const std::string& map) {
        if (own_.tables_socket.empty())
            return fail(ErrorCode::unsupported,
                        "the hook " + map +
                            " needs tables.socket in postfathom.toml, and a restart of "
                            "postfathom-policyd");
        plan_.notes.push_back(
            std::string(parameter) +
            " fails closed: when postfathom-policyd is down, Postfix defers mail. "
            "Let its service restart it.");
        return add_table(hook, parameter, own_.tables_socket, "tables.socket", map);
    }

    const PostfixConfiguration& written_;
    const OwnPlaces& own_;
    const std::string& queue_;
    SetupPlan plan_;
};

// The list without what is ours. What stays keeps its spelling.
std::string without(const std::string& queue, const std::string& list, const OwnPlaces& own) {
    std::string kept;
    const auto items = list_items(list);
    for (std::size_t i = 0; i < items.size(); ++i) {
        const bool check = iequals(items[i], "check_policy_service") && i + 1 < items.size();
        if (check && has_hook(queue, items[i + 1], own, Hook::policy)) {
            ++i;
            continue;
        }
        const bool ours = has_hook(queue, items[i], own, Hook::milter) ||
                          has_hook(queue, items[i], own, Hook::tags) ||
                          has_hook(queue, items[i], own, Hook::tls);
        if (ours) continue;
        if (check) {
            kept = join(kept, items[i] + ' ' + items[i + 1]);
            ++i;
        } else {
            kept = join(kept, items[i]);
        }
    }
    return kept;
}

bool mentions_ours(const std::string& queue, const std::string& list, const OwnPlaces& own) {
    for (const auto hook : {Hook::policy, Hook::milter, Hook::tags, Hook::tls})
        if (has_hook(queue, list, own, hook)) return true;
    return false;
}

}  // namespace

std::optional<Hook> parse_hook_name(std::string_view name) {
    if (name == "policy") return Hook::policy;
    if (name == "milter") return Hook::milter;
    if (name == "tags") return Hook::tags;
    if (name == "tls") return Hook::tls;
    if (name == "ehlo") return Hook::ehlo;
    return std::nullopt;
}

Result<SetupPlan> plan_setup(const PostfixConfiguration& written, const OwnPlaces& own,
                             const std::set<Hook>& hooks) {
    const auto& version = written.value("mail_version");
    if (parse_postfix_version(version) < hooks_that_fail_open)
        return fail(ErrorCode::unsupported,
                    "Postfix " + version +
                        " cannot be told to go on without a milter or policy service of its own; "
                        "3.0 and later can");
    Planner planner(written, own);
    for (const auto hook : hooks)
        if (const auto added = planner.add(hook); !added) return tl::make_unexpected(added.error());
    return planner.take();
}

SetupPlan plan_removal(const PostfixConfiguration& written,
                       const std::map<std::string, std::string>& defaults, const OwnPlaces& own) {
    std::vector<std::string> parameters(restriction_lists.begin(), restriction_lists.end());
    for (const auto* more : {"smtpd_milters", "non_smtpd_milters", filter, tls_maps, ehlo_maps})
        parameters.emplace_back(more);
    const auto& queue = written.value("queue_directory");
    SetupPlan plan;
    for (const auto& parameter : parameters) {
        if (const auto& value = written.value(parameter); mentions_ours(queue, value, own)) {
            const auto kept = without(queue, value, own);
            const auto standard = defaults.find(parameter);
            // An empty filter means what its default means, unless that one is set.
            const bool unset = standard != defaults.end() &&
                               (kept == standard->second || (kept.empty() && parameter == filter));
            plan.changes.push_back({"", parameter, kept, unset});
        }
        for (const auto& service : written.services) {
            const auto option = service.options.find(parameter);
            if (option == service.options.end() || !mentions_ours(queue, option->second, own))
                continue;
            plan.changes.push_back({service.name + '/' + service.type, parameter,
                                    compact(without(queue, option->second, own)), false});
        }
    }
    return plan;
}

std::vector<std::string> postconf_arguments(const SetupChange& change) {
    if (change.unset) return {"-X", change.parameter};
    const auto setting = change.parameter + " = " + change.value;
    if (change.service.empty()) return {"-e", setting};
    return {"-P", change.service + '/' + change.parameter + '=' + change.value};
}

}  // namespace postfathom
