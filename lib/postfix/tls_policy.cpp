// SPDX-License-Identifier: Apache-2.0
#include "lib/postfix/tls_policy.hpp"

#include <algorithm>

#include "lib/base/text.hpp"
#include "lib/postfix/configuration.hpp"
#include "lib/postfix/own_hooks.hpp"

namespace postfathom {
namespace {

constexpr std::size_t most_tables = 8;
constexpr std::size_t most_keys = 16;

// "encrypt protocols=>=TLSv1.2": the level is the first word.
std::string first_word(std::string_view value) {
    const auto items = list_items(value);
    return items.empty() ? "" : to_lower(items.front());
}

bool is_host_name(std::string_view name) {
    return !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               c == '-' || c == '.' || c == '_';
    });
}

}  // namespace

std::vector<std::string> tls_policy_keys(std::string_view next_hop) {
    std::vector<std::string> keys{std::string(next_hop)};
    if (!is_host_name(next_hop)) return keys;
    for (auto dot = next_hop.find('.', 1); dot != next_hop.npos && keys.size() < most_keys;
         dot = next_hop.find('.', dot + 1))
        keys.emplace_back(next_hop.substr(dot));
    return keys;
}

std::string tls_level_in_force(std::string_view next_hop,
                               const std::map<std::string, std::string>& parameters,
                               const std::string& own_tables_socket, const TableLookup& look_up) {
    const auto value = [&](const char* name) {
        const auto found = parameters.find(name);
        return found == parameters.end() ? std::string{} : found->second;
    };
    const auto queue_directory = value("queue_directory");
    auto tables = list_items(value("smtp_tls_policy_maps"));
    std::erase_if(tables, [&](const std::string& table) {
        return is_own_endpoint(queue_directory, socketmap_endpoint(table), own_tables_socket);
    });
    tables.resize(std::min(tables.size(), most_tables));
    for (const auto& key : tls_policy_keys(next_hop))
        for (const auto& table : tables)
            if (const auto found = look_up(table, key)) return first_word(*found);
    if (const auto level = first_word(value("smtp_tls_security_level")); !level.empty())
        return level;
    if (to_lower(value("smtp_enforce_tls")) == "yes") return "encrypt";
    return to_lower(value("smtp_use_tls")) == "yes" ? "may" : "";
}

}  // namespace postfathom
