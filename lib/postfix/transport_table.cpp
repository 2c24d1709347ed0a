// SPDX-License-Identifier: Apache-2.0
#include "lib/postfix/transport_table.hpp"

#include <algorithm>

#include "lib/base/text.hpp"

namespace postfathom {
namespace {

bool delivers_by_smtp(const PostfixConfiguration& postfix, std::string_view transport) {
    return std::any_of(
        postfix.services.begin(), postfix.services.end(), [&](const PostfixService& service) {
            return service.name == transport && service.type == "unix" && service.program == "smtp";
        });
}

// Outer: a table does not answer. Inner: no table has an entry.
Result<std::optional<std::string>> entry_of(const PostfixConfiguration& postfix,
                                            const std::string& domain,
                                            const TransportLookup& look_up) {
    const auto tables = list_items(postfix.value("transport_maps"));
    for (const auto& key : transport_keys(domain))
        for (const auto& table : tables)
            if (auto found = look_up(table, key); !found || *found) return found;
    return std::nullopt;
}

}  // namespace

std::vector<std::string> transport_keys(const std::string& domain) {
    std::vector<std::string> keys{domain};
    for (auto dot = domain.find('.', 1); dot != domain.npos; dot = domain.find('.', dot + 1))
        keys.push_back(domain.substr(dot));
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
        const auto transport =
            colon == 0 ? postfix.value("default_transport") : value.substr(0, colon);
        if (!delivers_by_smtp(postfix, transport)) return std::nullopt;
        const auto next_hop = value.substr(colon + 1);
        if (next_hop.empty()) return DomainRoute{};
        return DomainRoute{DomainRoute::By::transport_maps, std::string(next_hop)};
    }
    if (!postfix.value("sender_dependent_relayhost_maps").empty() ||
        !postfix.value("sender_dependent_default_transport_maps").empty() ||
        !delivers_by_smtp(postfix, postfix.value("default_transport")))
        return std::nullopt;
    if (const auto& relay = postfix.value("relayhost"); !relay.empty())
        return DomainRoute{DomainRoute::By::relayhost, relay};
    return DomainRoute{};
}

}  // namespace postfathom
