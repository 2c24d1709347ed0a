// SPDX-License-Identifier: Apache-2.0
#include "probes/postfix_floor.hpp"

#include "lib/base/log.hpp"
#include "lib/postfix/read_configuration.hpp"
#include "lib/postfix/tls_policy.hpp"

namespace postfathom {

namespace {

// "" is no TLS.
std::optional<TlsLevel> level_of(std::string_view word) {
    return word.empty() ? TlsLevel::none : parse_tls_level(word);
}

}  // namespace

std::optional<TlsFloor> postfix_tls_level(const std::string& next_hop,
                                          const std::string& own_tables_socket) {
    const auto printed =
        postconf("", {"-x", "queue_directory", "smtp_enforce_tls", "smtp_tls_policy_maps",
                      "smtp_tls_security_level", "smtp_use_tls"});
    if (!printed && printed.error().code == ErrorCode::not_found) return std::nullopt;
    if (!printed) {
        log::debug("the TLS level of {} is not known: {}", next_hop, printed.error().message);
        return TlsFloor::uncertain(TlsLevel::may);
    }
    bool sound = true;
    const auto look_up = [&](const std::string& table,
                             const std::string& key) -> std::optional<std::string> {
        if (!sound) return std::nullopt;
        const auto found = postmap("", table, key);
        if (found) return *found;
        sound = false;
        log::debug("the TLS level of {} is not known: {}", next_hop, found.error().message);
        return std::nullopt;
    };
    auto parameters = parse_parameters(*printed);
    const auto level =
        level_of(tls_level_in_force(next_hop, parameters, own_tables_socket, look_up));
    if (sound && level) return *level;
    parameters.erase("smtp_tls_policy_maps");
    const auto without =
        level_of(tls_level_in_force(next_hop, parameters, own_tables_socket, look_up));
    return TlsFloor::uncertain(without.value_or(TlsLevel::may));
}

std::optional<IpFamily> postfix_family() {
    const auto printed = postconf("", {"-x", "inet_protocols"});
    if (!printed) return std::nullopt;
    const auto parameters = parse_parameters(*printed);
    const auto found = parameters.find("inet_protocols");
    const auto words =
        found == parameters.end() ? std::vector<std::string>{} : list_items(found->second);
    if (words == std::vector<std::string>{"ipv4"}) return IpFamily::v4;
    if (words == std::vector<std::string>{"ipv6"}) return IpFamily::v6;
    return std::nullopt;
}

}  // namespace postfathom
