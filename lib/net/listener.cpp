// SPDX-License-Identifier: Apache-2.0
#include "lib/net/listener.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <grp.h>
#include <netinet/in.h>
#include <pwd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>
#include <vector>

#include "lib/base/descriptor.hpp"
#include "lib/base/log.hpp"
#include "lib/base/text.hpp"
#include "lib/net/service_manager.hpp"

namespace postfathom {
namespace {

constexpr int listen_backlog = 1024;  // the kernel lowers it to net.core.somaxconn

// Paths of the sockets that a service manager bound for us.
std::vector<std::string>& of_the_manager() {
    static std::vector<std::string> paths;
    return paths;
}

Result<sockaddr_un> socket_address(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.empty() || path.find('\0') != std::string::npos)
        return fail(ErrorCode::invalid_input, "socket path: expected a file name, found none");
    if (path.size() >= sizeof address.sun_path)
        return fail(
            ErrorCode::invalid_input,
            fmt::format("{}: {} bytes are too long for the path of a UNIX socket, which holds "
                        "{} (unix(7)); choose a shorter path",
                        path, path.size(), sizeof address.sun_path - 1));
    std::memcpy(address.sun_path, path.data(), path.size());
    return address;
}

Result<void> require_parent(const std::string& path) {
    const auto parent = std::filesystem::path(path).parent_path();
    if (parent.empty()) return {};
    struct stat status{};
    if (::stat(parent.c_str(), &status) != 0) {
        if (errno != ENOENT)
            return tl::make_unexpected(
                errno_error(errno, fmt::format("{}: look at directory {}", path, parent.string())));
        return fail(
            ErrorCode::not_found,
            fmt::format("{}: directory {} does not exist; create it, owned by the user that "
                        "runs this program: install -d -m 0750 {}",
                        path, parent.string(), parent.string()));
    }
    if (!S_ISDIR(status.st_mode))
        return fail(ErrorCode::invalid_input,
                    fmt::format("{}: {} is not a directory", path, parent.string()));
    return {};
}

// "postfathom-policyd, process 4711", for the message to the person who must stop it.
std::string describe_peer(int connected) {
    ucred peer{};
    socklen_t size = sizeof peer;
    if (::getsockopt(connected, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0 || peer.pid <= 0)
        return "another process";
    std::string name;
    std::ifstream comm(fmt::format("/proc/{}/comm", peer.pid));
    if (!std::getline(comm, name)) return fmt::format("process {}", peer.pid);
    return fmt::format("{}, process {}", printable(name, 32), peer.pid);
}

// Frees the path when what is there is the socket of a server that ended. Only a refused connection
// says so; a full backlog, a missing permission or any other file does not.
Result<void> remove_stale(const std::string& path, const sockaddr_un& address, int type) {
    struct stat status{};
    if (::lstat(path.c_str(), &status) != 0) {
        if (errno == ENOENT) return {};
        return tl::make_unexpected(errno_error(errno, fmt::format("{}: look at", path)));
    }
    if (!S_ISSOCK(status.st_mode))
        return fail(
            ErrorCode::refused,
            fmt::format("{}: expected a socket or nothing, found another kind of file; move it "
                        "away or choose another path",
                        path));
    const Descriptor asker(::socket(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!asker) return tl::make_unexpected(errno_error(errno, "socket"));
    if (::connect(asker.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0)
        return fail(ErrorCode::refused,
                    fmt::format("{}: in use by {}; stop it first, or choose another path", path,
                                describe_peer(asker.get())));
    switch (errno) {
        case ENOENT:
            return {};
        case ECONNREFUSED:
            if (::unlink(path.c_str()) == 0 || errno == ENOENT) return {};
            return tl::make_unexpected(errno_error(
                errno,
                fmt::format("{}: remove the socket that an ended server left behind", path)));
        case EPROTOTYPE:  // a live socket of another type
        case EAGAIN:      // a live server with a full backlog
            return fail(ErrorCode::refused,
                        fmt::format("{}: in use by another process (ss -xap shows which); stop it "
                                    "first, or choose another path",
                                    path));
        default:
            return tl::make_unexpected(
                errno_error(errno, fmt::format("{}: find out whether a server is there", path)));
    }
}

// getpwnam_r and getgrnam_r have the same shape. -1, which chown(2) takes as "leave it", when
// empty.
template <typename Entry, typename Id>
Result<Id> look_up_name(int (*look_up)(const char*, Entry*, char*, std::size_t, Entry**),
                        Id Entry::* id, const std::string& name, std::string_view kind) {
    if (name.empty()) return static_cast<Id>(-1);
    std::vector<char> buffer(4096);
    Entry entry{};
    Entry* found = nullptr;
    int error = 0;
    while ((error = look_up(name.c_str(), &entry, buffer.data(), buffer.size(), &found)) ==
               ERANGE &&
           buffer.size() < (std::size_t{1} << 22))
        buffer.resize(buffer.size() * 4);
    if (found != nullptr) return found->*id;
    if (error != 0)
        return tl::make_unexpected(
            errno_error(error, fmt::format("look up {} {}", kind, printable(name, 64))));
    return fail(ErrorCode::not_found,
                fmt::format("there is no {} {} on this system; create it or name another", kind,
                            printable(name, 64)));
}

Result<void> set_ownership(const SocketPlace& place) {
    const auto user = look_up_name(&::getpwnam_r, &passwd::pw_uid, place.owner, "user");
    if (!user) return fail(user.error().code, place.path + ": " + user.error().message);
    const auto grp = look_up_name(&::getgrnam_r, &group::gr_gid, place.group, "group");
    if (!grp) return fail(grp.error().code, place.path + ": " + grp.error().message);
    if (*user == static_cast<uid_t>(-1) && *grp == static_cast<gid_t>(-1)) return {};
    if (::lchown(place.path.c_str(), *user, *grp) != 0)
        return tl::make_unexpected(
            errno_error(errno, fmt::format("{}: give it to user '{}', group '{}'", place.path,
                                           place.owner, place.group)));
    return {};
}

Result<Descriptor> bind_at(const SocketPlace& place, int type) {
    const auto address = socket_address(place.path);
    if (!address) return tl::make_unexpected(address.error());
    if (auto there = require_parent(place.path); !there) return tl::make_unexpected(there.error());
    if (auto free = remove_stale(place.path, *address, type); !free)
        return tl::make_unexpected(free.error());

    Descriptor bound(::socket(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!bound) return tl::make_unexpected(errno_error(errno, "socket"));
    // On Linux the socket's own mode, less the umask, becomes the file's (unix(7),
    // net/unix/af_unix.c). With none set nobody but root gets in between bind and chmod, and
    // umask(2), which belongs to all threads, stays as it is.
    if (::fchmod(bound.get(), 0) != 0)
        return tl::make_unexpected(errno_error(errno, fmt::format("{}: fchmod", place.path)));
    if (::bind(bound.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof *address) != 0) {
        const int error = errno;
        if (error == EADDRINUSE)
            return fail(
                ErrorCode::refused,
                fmt::format("{}: another process took it just now; run only one", place.path));
        return tl::make_unexpected(errno_error(error, fmt::format("{}: bind", place.path)));
    }
    auto owned = set_ownership(place);
    if (owned && ::fchmodat(AT_FDCWD, place.path.c_str(), place.mode, AT_SYMLINK_NOFOLLOW) != 0)
        owned = tl::make_unexpected(
            errno_error(errno, fmt::format("{}: set mode {:04o}", place.path, place.mode)));
    if (!owned) {
        ::unlink(place.path.c_str());
        return tl::make_unexpected(owned.error());
    }
    return bound;
}

}  // namespace

Result<mode_t> parse_socket_mode(const std::string& text) {
    const auto octal = [](char digit) { return digit >= '0' && digit <= '7'; };
    if (text.empty() || text.size() > 4 || !std::all_of(text.begin(), text.end(), octal) ||
        (text.size() == 4 && text[0] != '0'))
        return fail(ErrorCode::invalid_input,
                    fmt::format("expected a mode in octal digits, at most 0777, such as \"0660\"; "
                                "found \"{}\"",
                                printable(text, 32)));
    mode_t mode = 0;
    for (const char digit : text) mode = mode * 8 + static_cast<mode_t>(digit - '0');
    return mode;
}

std::string as_postfix_writes(const std::string& path) {
    constexpr std::string_view queue_directory = "/var/spool/postfix/";  // Debian's; postconf(5)
    return path.starts_with(queue_directory) ? path.substr(queue_directory.size()) : path;
}

Result<int> listen_unix(const SocketPlace& place) {
    if (const auto passed = passed_socket(place.path, SOCK_STREAM)) {
        of_the_manager().push_back(place.path);
        return *passed;
    }
    auto bound = bind_at(place, SOCK_STREAM);
    if (!bound) return tl::make_unexpected(bound.error());
    if (::listen(bound->get(), listen_backlog) != 0) {
        const int error = errno;
        ::unlink(place.path.c_str());
        return tl::make_unexpected(errno_error(error, fmt::format("{}: listen", place.path)));
    }
    return bound->release();
}

namespace {

Result<int> open_for_postfix(Result<int> (*open)(const SocketPlace&), const std::string& path,
                             mode_t mode) {
    const bool has_group = ::getgrnam("postfix") != nullptr;
    auto listening = open({path, mode, "", has_group ? "postfix" : ""});
    if (listening || !has_group || ::geteuid() == 0) return listening;
    // Not a member of the group: the operator may have arranged access otherwise.
    auto as_we_are = open({path, mode, "", ""});
    if (!as_we_are) return listening;
    log::warning(
        "{}: cannot give the socket to group postfix ({}); see that user postfix may "
        "connect to it",
        path, listening.error().message);
    return as_we_are;
}

}  // namespace

Result<int> listen_unix_for_postfix(const std::string& path, mode_t mode) {
    return open_for_postfix(&listen_unix, path, mode);
}

Result<int> listen_tcp(const IpAddress& address, std::uint16_t port) {
    sockaddr_storage storage{};
    socklen_t size = 0;
    if (address.family() == IpFamily::v4) {
        auto* v4 = reinterpret_cast<sockaddr_in*>(&storage);
        v4->sin_family = AF_INET;
        v4->sin_port = htons(port);
        std::memcpy(&v4->sin_addr, address.bytes().data(), sizeof v4->sin_addr);
        size = sizeof *v4;
    } else {
        auto* v6 = reinterpret_cast<sockaddr_in6*>(&storage);
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons(port);
        std::memcpy(&v6->sin6_addr, address.bytes().data(), sizeof v6->sin6_addr);
        size = sizeof *v6;
    }
    const auto place = fmt::format("{}, port {}", address.to_string(), port);
    Descriptor bound(::socket(storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!bound) return tl::make_unexpected(errno_error(errno, place + ": socket"));
    // A port whose old connections are still in TIME_WAIT is free all the same.
    const int yes = 1;
    ::setsockopt(bound.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (::bind(bound.get(), reinterpret_cast<const sockaddr*>(&storage), size) != 0) {
        if (errno == EADDRINUSE)
            return fail(ErrorCode::refused,
                        place +
                            ": in use by another process (ss -ltnp shows which); stop it first, "
                            "or choose another port");
        return tl::make_unexpected(errno_error(errno, place + ": bind"));
    }
    if (::listen(bound.get(), listen_backlog) != 0)
        return tl::make_unexpected(errno_error(errno, place + ": listen"));
    return bound.release();
}

void remove_socket(const std::string& path) {
    const auto& kept = of_the_manager();
    if (!path.empty() && std::find(kept.begin(), kept.end(), path) == kept.end())
        ::unlink(path.c_str());
}

void raise_descriptor_limit() {
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
}

Result<int> bind_unix_datagram(const SocketPlace& place) {
    if (const auto passed = passed_socket(place.path, SOCK_DGRAM)) {
        of_the_manager().push_back(place.path);
        return *passed;
    }
    auto bound = bind_at(place, SOCK_DGRAM);
    if (!bound) return tl::make_unexpected(bound.error());
    return bound->release();
}

Result<int> bind_unix_datagram_for_postfix(const std::string& path, mode_t mode) {
    return open_for_postfix(&bind_unix_datagram, path, mode);
}

}  // namespace postfathom
