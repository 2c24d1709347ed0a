// SPDX-License-Identifier: Apache-2.0
#include "lib/net/service_manager.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <time.h>

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "lib/base/text.hpp"

namespace postfathom {
namespace {

// Those that were passed and not asked for yet.
std::vector<int>& passed() {
    static std::vector<int> descriptors = [] {
        std::vector<int> all;
        // The variables go, so that programs which we start do not take the sockets for theirs.
        const int count = sd_listen_fds(1);
        for (int number = 0; number < count; ++number) all.push_back(SD_LISTEN_FDS_START + number);
        return all;
    }();
    return descriptors;
}

std::string bound_at(int descriptor) {
    sockaddr_un address{};
    socklen_t size = sizeof address;
    if (::getsockname(descriptor, reinterpret_cast<sockaddr*>(&address), &size) != 0 ||
        address.sun_family != AF_UNIX)
        return fmt::format("descriptor {}, which is no UNIX socket", descriptor);
    return printable({address.sun_path, ::strnlen(address.sun_path, sizeof address.sun_path)},
                     sizeof address.sun_path);
}

}  // namespace

void tell_ready(std::string_view status) {
    sd_notify(0, fmt::format("READY=1\nSTATUS={}", printable(status)).c_str());
}

void tell_reloading() {
    timespec now{};
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    const auto microseconds = static_cast<std::uint64_t>(now.tv_sec) * 1'000'000 +
                              static_cast<std::uint64_t>(now.tv_nsec) / 1'000;
    sd_notify(0, fmt::format("RELOADING=1\nMONOTONIC_USEC={}", microseconds).c_str());
}

void tell_stopping() { sd_notify(0, "STOPPING=1"); }

void tell_alive() { sd_notify(0, "WATCHDOG=1"); }

std::optional<std::chrono::milliseconds> watchdog_interval() {
    std::uint64_t patience = 0;
    if (sd_watchdog_enabled(0, &patience) <= 0) return std::nullopt;
    return std::chrono::milliseconds(std::max<std::uint64_t>(patience / 2'000, 1));
}

std::optional<int> passed_socket(const std::string& path, int type) {
    const auto found = std::find_if(passed().begin(), passed().end(), [&](int descriptor) {
        return sd_is_socket_unix(descriptor, type, type == SOCK_STREAM ? 1 : 0, path.c_str(), 0) >
               0;
    });
    if (found == passed().end()) return std::nullopt;
    const int descriptor = *found;
    passed().erase(found);
    ::fcntl(descriptor, F_SETFD, FD_CLOEXEC);
    ::fcntl(descriptor, F_SETFL, ::fcntl(descriptor, F_GETFL) | O_NONBLOCK);
    return descriptor;
}

std::vector<std::string> unclaimed_sockets() {
    std::vector<std::string> places;
    for (const int descriptor : passed()) places.push_back(bound_at(descriptor));
    return places;
}

}  // namespace postfathom
