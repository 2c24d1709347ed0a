// SPDX-License-Identifier: Apache-2.0
// What postconf prints of Postfix's configuration.
#include "lib/postfix/configuration.hpp"
#include "lib/postfix/own_hooks.hpp"
#include "lib/postfix/tls_policy.hpp"
#include "tests/fuzz/target.hpp"

namespace postfathom::fuzz {

const bool takes_pieces = false;

std::string tell(const Input& input) {
    std::string told;
    input.pieces([&](std::string_view bytes) {
        const auto parameters = parse_parameters(bytes);
        for (const auto& [name, value] : parameters) {
            told += name + '=' + value + '\n';
            for (const auto& item : list_items(value)) told += parse_hook(item).endpoint + '\n';
            if (const auto time = parse_postfix_time(value))
                require(*time == *time, "times are numbers");
        }
        for (const auto& service : parse_services(bytes))
            for (const auto& [name, value] : service.options)
                told += service.name + ' ' + name + '=' + value + '\n';
        const auto version = parse_postfix_version(bytes);
        require(version.major >= 0 && version.minor >= 0, "versions are not negative");
        told += socketmap_endpoint(bytes) + socket_file(bytes, "/var/spool/postfix", true);
        const auto nothing = [](const std::string&, const std::string&) {
            return std::optional<std::string>();
        };
        told += tls_level_in_force("example.org", parameters, "/run/tables.sock", nothing);
        for (const auto& key : tls_policy_keys(bytes)) told += key + '\n';
    });
    return told;
}

}  // namespace postfathom::fuzz
