// SPDX-License-Identifier: Apache-2.0
#include "lib/confine/landlock.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <filesystem>

#include "lib/base/descriptor.hpp"

namespace postfathom {

namespace {

// linux/landlock.h, up to ABI 7.
struct RulesetAttributes {
    std::uint64_t handled_files;
    std::uint64_t handled_ports;  // ABI 4
    std::uint64_t scoped;         // ABI 6
};
struct [[gnu::packed]] PathBeneath {
    std::uint64_t allowed;
    std::int32_t parent;
};
struct PortRule {
    std::uint64_t allowed;
    std::uint64_t port;
};
constexpr std::uint32_t ask_version = 1;
constexpr int rule_path_beneath = 1;
constexpr int rule_port = 2;

enum Right : std::uint64_t {
    execute = 1 << 0,
    write_file = 1 << 1,
    read_file = 1 << 2,
    read_directory = 1 << 3,
    remove_file = 1 << 5,
    make_file = 1 << 8,
    truncate_file = 1 << 14,  // ABI 3
};
constexpr std::uint64_t bind_tcp = 1 << 0;
constexpr std::uint64_t connect_tcp = 1 << 1;
constexpr std::uint64_t scope_abstract_sockets = 1 << 0;
constexpr std::uint64_t scope_signals = 1 << 1;

// Rights that a rule for a single file may have; for others it is refused (EINVAL).
constexpr std::uint64_t of_files = execute | write_file | read_file | truncate_file;

std::uint64_t all_rights(int abi) {
    unsigned count = 13;
    if (abi >= 2) count = 14;  // to other directories
    if (abi >= 3) count = 15;  // truncate
    if (abi >= 5) count = 16;  // ioctl(2) of devices
    return (std::uint64_t{1} << count) - 1;
}

std::uint64_t rights_for(Access access) {
    constexpr std::uint64_t read = read_file | read_directory;
    constexpr std::uint64_t share = read | write_file | truncate_file | make_file;
    switch (access) {
        case Access::read:
            return read;
        case Access::run:
            return read | execute;
        case Access::share:
            return share;
        case Access::keep:
            return share | remove_file;
        case Access::remove:
            return remove_file;
        case Access::device:
            return read_file | write_file;
    }
    return 0;
}

// Where the place is: for a file its directory, and that of what it is a link to.
std::vector<std::filesystem::path> directories_of(const Place& place) {
    const std::filesystem::path path(place.path);
    if (!place.is_file || path.parent_path() == path.root_path()) return {path};
    std::vector<std::filesystem::path> found{path.parent_path()};
    std::error_code error;
    const auto target = std::filesystem::canonical(path, error);
    if (!error && target.parent_path() != found.front()) found.push_back(target.parent_path());
    return found;
}

Descriptor open_place(std::filesystem::path path, bool may_come) {
    constexpr int how = O_PATH | O_CLOEXEC;
    Descriptor found(::open(path.c_str(), how));
    // Never the root: that would be no confinement at all.
    while (!found && may_come && errno == ENOENT &&
           path.parent_path() != path.parent_path().root_path()) {
        path = path.parent_path();
        found.reset(::open(path.c_str(), how));
    }
    return found;
}

Result<std::size_t> allow(int ruleset, const Place& place, int abi) {
    std::size_t count = 0;
    for (const auto& path : directories_of(place)) {
        const auto found = open_place(path, place.may_come);
        struct stat status{};
        if (!found || ::fstat(found.get(), &status) != 0) continue;
        auto rights = rights_for(place.access) & all_rights(abi);
        if (!S_ISDIR(status.st_mode)) rights &= of_files;
        const PathBeneath rule{rights, found.get()};
        if (rights == 0) continue;
        if (::syscall(SYS_landlock_add_rule, ruleset, rule_path_beneath, &rule, 0) != 0)
            return tl::make_unexpected(
                errno_error(errno, fmt::format("Landlock: allow {}", path.string())));
        ++count;
    }
    return count;
}

// The service manager's socket may be an abstract one (sd_notify(3)).
bool told_through_abstract_socket() {
    const char* socket = std::getenv("NOTIFY_SOCKET");
    return socket != nullptr && socket[0] == '@';
}

}  // namespace

int landlock_abi() {
    const auto version = ::syscall(SYS_landlock_create_ruleset, nullptr, 0, ask_version);
    return version > 0 ? static_cast<int>(version) : 0;
}

Result<std::size_t> restrict_files_and_ports(const Needs& needs, int abi) {
    RulesetAttributes attributes{all_rights(abi), 0, 0};
    if (abi >= 4) attributes.handled_ports = needs.network ? bind_tcp : bind_tcp | connect_tcp;
    if (abi >= 6)
        attributes.scoped =
            scope_signals | (told_through_abstract_socket() ? 0 : scope_abstract_sockets);
    const Descriptor ruleset(static_cast<int>(
        ::syscall(SYS_landlock_create_ruleset, &attributes, sizeof attributes, 0)));
    if (!ruleset) return tl::make_unexpected(errno_error(errno, "Landlock: make a ruleset"));
    std::size_t places = 0;
    for (const auto& place : needs.places) {
        const auto allowed = allow(ruleset.get(), place, abi);
        if (!allowed) return allowed;
        places += *allowed;
    }
    // A probe from a certain source address binds to port 0: the kernel takes one that is free.
    const PortRule any_free{bind_tcp, 0};
    if (abi >= 4 && needs.network &&
        ::syscall(SYS_landlock_add_rule, ruleset.get(), rule_port, &any_free, 0) != 0)
        return tl::make_unexpected(errno_error(errno, "Landlock: allow port 0"));
    if (::syscall(SYS_landlock_restrict_self, ruleset.get(), 0) != 0)
        return tl::make_unexpected(errno_error(errno, "Landlock: restrict this process"));
    return places;
}

}  // namespace postfathom
