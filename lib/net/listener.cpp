// SPDX-License-Identifier: Apache-2.0
#include "lib/net/listener.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <grp.h>
#include <netinet/in.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <thread>
#include <vector>

#include "lib/base/account.hpp"
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

// Between bind(2) and listen(2) a live server refuses connections as an ended one does. So from the
// look at what is there until it listens one has the directory for itself, among those that ask for
// it here; for want of that it goes on.
class DirectoryForOne {
  public:
    explicit DirectoryForOne(const std::string& path) {
        const auto parent = std::filesystem::path(path).parent_path();
        directory_.reset(
            ::open(parent.empty() ? "." : parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        const auto patience = std::chrono::steady_clock::now() + std::chrono::seconds(2);
        while (directory_ && ::flock(directory_.get(), LOCK_EX | LOCK_NB) != 0 &&
               (errno == EWOULDBLOCK || errno == EINTR) &&
               std::chrono::steady_clock::now() < patience)
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }

  private:
    Descriptor directory_;
};

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

// Gives the socket away as far as it can be, and answers the mode that it may have then.
Result<mode_t> give(const SocketPlace& place) {
    struct stat now{};
    if (::lstat(place.path.c_str(), &now) != 0)
        return tl::make_unexpected(errno_error(errno, fmt::format("{}: look at", place.path)));
    mode_t mode = place.mode;
    // A directory with the set-group-id bit has given it its group already.
    const auto give_to = [&](std::string_view kind, const std::string& name, const auto& number,
                             auto current, auto give_it) {
        if (number && (*number == current || give_it(*number) == 0)) return true;
        const auto trouble = number ? std::strerror(errno) : number.error().message;
        log::warning(
            "{}: cannot be given to {} {}: {}; {}", place.path, kind, printable(name, 64), trouble,
            kind == "user" ? "it stays ours; only root may give files to another user"
            : place.own_group_will_do
                ? "see that its members may connect: put our user into that group, or set the "
                  "set-group-id bit of the directory"
                : "it is closed to all groups; put our user into that group, or run us as root");
        return false;
    };
    const auto* path = place.path.c_str();
    constexpr auto stays = static_cast<uid_t>(-1);
    if (!place.group.empty() &&
        !give_to("group", place.group, group_number(place.group), now.st_gid,
                 [&](gid_t group) { return ::lchown(path, stays, group); }) &&
        !place.own_group_will_do)
        mode &= ~mode_t{S_IRWXG};
    if (!place.owner.empty())
        give_to("user", place.owner, user_number(place.owner), now.st_uid,
                [&](uid_t user) { return ::lchown(path, user, static_cast<gid_t>(-1)); });
    return mode;
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
    auto mode = give(place);
    if (mode && ::fchmodat(AT_FDCWD, place.path.c_str(), *mode, AT_SYMLINK_NOFOLLOW) != 0)
        mode = tl::make_unexpected(
            errno_error(errno, fmt::format("{}: set mode {:04o}", place.path, *mode)));
    if (!mode) {
        ::unlink(place.path.c_str());
        return tl::make_unexpected(mode.error());
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

Result<SocketPlace> socket_place(const std::string& path, const SocketRights& rights) {
    const auto mode = parse_socket_mode(rights.mode);
    if (!mode) return fail(mode.error().code, path + ": " + mode.error().message);
    return SocketPlace{path, *mode, rights.owner, rights.group};
}

Result<SocketPlace> socket_place_for_postfix(const std::string& path, const SocketRights& rights) {
    auto place = socket_place(path, rights);
    if (!place || !rights.group.empty() || ::getgrnam("postfix") == nullptr) return place;
    place->group = "postfix";
    // The operator may have arranged access otherwise.
    place->own_group_will_do = true;
    return place;
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
    const DirectoryForOne for_us(place.path);
    auto bound = bind_at(place, SOCK_STREAM);
    if (!bound) return tl::make_unexpected(bound.error());
    if (::listen(bound->get(), listen_backlog) != 0) {
        const int error = errno;
        ::unlink(place.path.c_str());
        return tl::make_unexpected(errno_error(error, fmt::format("{}: listen", place.path)));
    }
    return bound->release();
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
    const DirectoryForOne for_us(place.path);
    auto bound = bind_at(place, SOCK_DGRAM);
    if (!bound) return tl::make_unexpected(bound.error());
    return bound->release();
}

}  // namespace postfathom
