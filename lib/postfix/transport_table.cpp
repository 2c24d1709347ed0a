// SPDX-License-Identifier: Apache-2.0
#include "lib/postfix/transport_table.hpp"

#include <algorithm>
#include <utility>

#include "lib/base/text.hpp"

namespace postfathom {
namespace {

bool delivers_by_smtp(const PostfixConfiguration& postfix, std::string_view transport) {
    return std::any_of(
        postfix.services.begin(), postfix.services.end(), [&](const PostfixService& service) {
            return service.name == transport && service.type == "unix" && service.program == "smtp";
        });
}

// Tables whose patterns are of whole addresses: they are asked for nothing else (DICT_FLAG_PATTERN
// of Postfix's src/util/dict_*.c).
bool has_patterns(std::string_view table) {
    constexpr std::string_view proxy = "proxy:";
    if (table.starts_with(proxy)) table.remove_prefix(proxy.size());
    const auto type = table.substr(0, table.find(':'));
    return type == "pcre" || type == "regexp" || type == "cidr" || type == "tcp";
}

bool is_address(std::string_view key) { return key.find('@') != key.npos; }

bool matches_subdomains(const PostfixConfiguration& postfix, std::string_view parameter) {
    const auto lists = list_items(postfix.value("parent_domain_matches_subdomains"));
    return std::find(lists.begin(), lists.end(), parameter) != lists.end();
}

// ".b.example", ".example" of "a.b.example".
std::vector<std::string> parents_of(const std::string& domain) {
    std::vector<std::string> parents;
    for (auto dot = domain.find('.', 1); dot != domain.npos; dot = domain.find('.', dot + 1))
        parents.push_back(domain.substr(dot));
    return parents;
}

// Outer: a table does not answer. Inner: no table has an entry.
Result<std::optional<std::string>> entry_of(const PostfixConfiguration& postfix,
                                            const std::string& domain,
                                            const TransportLookup& look_up) {
    const auto tables = list_items(postfix.value("transport_maps"));
    for (const auto& key : transport_keys(postfix, domain))
        for (const auto& table : tables) {
            if (has_patterns(table) && !is_address(key)) continue;
            if (auto found = look_up(table, key); !found || *found) return found;
        }
    return std::nullopt;
}

// Whether a list such as relay_domains has the domain. An error where a table of it does not
// answer, or where it is a file or an exception, which are not read.
Result<bool> list_has(const PostfixConfiguration& postfix, const std::string& parameter,
                      const std::string& domain, const TransportLookup& look_up) {
    std::vector<std::string> names{domain};
    if (matches_subdomains(postfix, parameter))
        for (const auto& parent : parents_of(domain)) names.push_back(parent.substr(1));
    for (const auto& item : list_items(postfix.value(parameter))) {
        if (item.starts_with('/') || item.starts_with('!'))
            return fail(ErrorCode::not_found, parameter + ": " + item + " is not read");
        for (const auto& name : names) {
            if (item.find(':') == item.npos || item.starts_with('[')) {
                if (to_lower(item) == name) return true;
                continue;
            }
            const auto found = look_up(item, name);
            if (!found) return tl::make_unexpected(found.error());
            if (*found) return true;
        }
    }
    return false;
}

// The transport of the class that the domain is of (ADDRESS_CLASS_README); nothing where that
// cannot be told.
std::optional<std::string> transport_of_class(const PostfixConfiguration& postfix,
                                              const std::string& domain,
                                              const TransportLookup& look_up) {
    constexpr std::pair<const char*, const char*> classes[] = {
        {"mydestination", "local_transport"},
        {"virtual_mailbox_domains", "virtual_transport"},
        {"relay_domains", "relay_transport"}};
    for (const auto& [domains, transport] : classes) {
        const auto has = list_has(postfix, domains, domain, look_up);
        if (!has) return std::nullopt;
        if (*has) return postfix.value(transport);
    }
    if (!postfix.value("sender_dependent_default_transport_maps").empty()) return std::nullopt;
    return postfix.value("default_transport");
}

}  // namespace

std::vector<std::string> transport_keys(const PostfixConfiguration& postfix,
                                        const std::string& domain) {
    std::vector<std::string> keys{"postfathom-asks-for-anybody@" + domain, domain};
    const bool dots = !matches_subdomains(postfix, "transport_maps");
    for (const auto& parent : parents_of(domain)) keys.push_back(parent.substr(dots ? 0 : 1));
    keys.emplace_back("*");
    return keys;
}

std::optional<DomainRoute> route_of_domain(const PostfixConfiguration& postfix,
                                           const std::string& domain,
                                           const TransportLookup& look_up) {
    const auto entry = entry_of(postfix, domain, look_up);
    if (!entry) return std::nullopt;
    // transport(5), RESULT FORMAT: ":" changes nothing, "smtp:" is the recipient's domain whatever
    // relayhost says.
    if (const std::string_view value = *entry ? trim(**entry) : ":"; value != ":") {
        const auto colon = value.find(':');
        if (colon == value.npos) return std::nullopt;
        const auto transport = colon == 0 ? transport_of_class(postfix, domain, look_up)
                                          : std::string(value.substr(0, colon));
        if (!transport || !delivers_by_smtp(postfix, *transport)) return std::nullopt;
        const auto next_hop = value.substr(colon + 1);
        if (next_hop.empty()) return DomainRoute{};
        return DomainRoute{DomainRoute::By::transport_maps, std::string(next_hop)};
    }
    const auto transport = transport_of_class(postfix, domain, look_up);
    if (!transport || !delivers_by_smtp(postfix, *transport) ||
        !postfix.value("sender_dependent_relayhost_maps").empty())
        return std::nullopt;
    if (const auto& relay = postfix.value("relayhost"); !relay.empty())
        return DomainRoute{DomainRoute::By::relayhost, relay};
    return DomainRoute{};
}

}  // namespace postfathom
