// SPDX-License-Identifier: Apache-2.0
#include "probes/admin_peer.hpp"

#include <asm/socket.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "lib/base/account.hpp"
#include "lib/base/log.hpp"

namespace postfathom {

namespace {

std::vector<std::uint32_t> groups_of(int socket) {
    std::vector<gid_t> groups(64);
    socklen_t bytes = 0;
    const auto ask = [&] {
        bytes = static_cast<socklen_t>(groups.size() * sizeof(gid_t));
        return ::getsockopt(socket, SOL_SOCKET, SO_PEERGROUPS, groups.data(), &bytes) == 0;
    };
    bool told = ask();
    if (!told && errno == ERANGE) {  // `bytes` is what it takes
        groups.resize(bytes / sizeof(gid_t));
        told = ask();
    }
    groups.resize(told ? bytes / sizeof(gid_t) : 0);
    return {groups.begin(), groups.end()};
}

AccountList numbers_of(const std::vector<std::string>& names, const char* setting) {
    AccountList list;
    list.names = names;
    for (const auto& name : names) {
        Result<std::uint32_t> number = 0;
        if (name == Settings::Admin::all) {
            list.all = true;
        } else if (name.starts_with('@')) {
            number = group_number(name.substr(1));
            if (number) list.groups.push_back(*number);
        } else {
            number = user_number(name);
            if (number) list.users.push_back(*number);
        }
        // The default's group need not be there.
        const auto level = names == std::vector<std::string>{"@postfathom"} ? log::Level::debug
                                                                            : log::Level::warning;
        if (!number)
            log::write(level, std::string(setting) + ": nobody is let in by \"" + name +
                                  "\": " + number.error().message);
    }
    return list;
}

}  // namespace

AdminPeer peer_of(int socket) {
    ucred credentials{};
    socklen_t size = sizeof credentials;
    if (::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) return {};
    AdminPeer peer{credentials.uid, groups_of(socket)};
    if (std::find(peer.groups.begin(), peer.groups.end(), credentials.gid) == peer.groups.end())
        peer.groups.insert(peer.groups.begin(), credentials.gid);
    return peer;
}

AdminRights admin_rights(const Settings::Admin& settings) {
    AdminRights rights{::geteuid(),
                       numbers_of(settings.readers, "admin.readers"),
                       numbers_of(settings.changers, "admin.changers"),
                       {}};
    for (const auto* service : {"postfathom-policyd", "postfathom-milter"})
        if (const auto number = user_number(service)) rights.never.push_back(*number);
    return rights;
}

}  // namespace postfathom
