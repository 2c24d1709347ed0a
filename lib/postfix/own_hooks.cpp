// SPDX-License-Identifier: Apache-2.0
#include "lib/postfix/own_hooks.hpp"

namespace postfathom {

bool is_own_endpoint(const std::string& queue_directory, std::string_view endpoint,
                     const std::string& socket) {
    constexpr std::string_view unix_prefix = "unix:";
    if (socket.empty() || endpoint.substr(0, unix_prefix.size()) != unix_prefix) return false;
    const auto path = endpoint.substr(unix_prefix.size());
    if (path == socket || socket_file(path, queue_directory, true) == socket) return true;
    const auto name = std::string_view(socket).substr(socket.rfind('/') + 1);
    const auto ends_so =
        path.size() > name.size() && path.substr(path.size() - name.size()) == name;
    return ends_so && path.find("postfathom") != std::string_view::npos;
}

bool is_own_policy(const std::string& queue_directory, std::string_view endpoint,
                   const OwnPlaces& own) {
    return is_own_endpoint(queue_directory, endpoint, own.policy_socket) ||
           (!own.policy_listen.empty() && endpoint == "inet:" + own.policy_listen);
}

std::string socketmap_endpoint(std::string_view table) {
    constexpr std::string_view socketmap = "socketmap:";
    if (table.substr(0, socketmap.size()) != socketmap) return "";
    table.remove_prefix(socketmap.size());
    return std::string(table.substr(0, table.rfind(':')));
}

}  // namespace postfathom
