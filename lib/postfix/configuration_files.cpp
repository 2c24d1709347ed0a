// SPDX-License-Identifier: Apache-2.0
#include "lib/postfix/configuration_files.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>

#include "lib/base/descriptor.hpp"

namespace postfathom {

namespace {

constexpr std::array<const char*, 2> kept_files{"main.cf", "master.cf"};
constexpr auto before = ".before-postfathom";
constexpr auto with = ".with-postfathom";
constexpr std::size_t most_bytes = std::size_t{16} << 20;

Result<std::string> content_of(const std::string& path) {
    const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file) return tl::make_unexpected(errno_error(errno, path));
    std::string content;
    std::array<char, 65536> buffer{};
    for (;;) {
        const auto length = ::read(file.get(), buffer.data(), buffer.size());
        if (length < 0 && errno == EINTR) continue;
        if (length < 0) return tl::make_unexpected(errno_error(errno, path));
        if (length == 0) return content;
        content.append(buffer.data(), static_cast<std::size_t>(length));
        if (content.size() > most_bytes) return fail(ErrorCode::full, path + ": too large");
    }
}

Result<void> write_all(const Descriptor& file, const std::string& content,
                       const std::string& path) {
    std::size_t written = 0;
    while (written < content.size()) {
        const auto length = ::write(file.get(), content.data() + written, content.size() - written);
        if (length < 0 && errno == EINTR) continue;
        if (length < 0) return tl::make_unexpected(errno_error(errno, path));
        written += static_cast<std::size_t>(length);
    }
    if (::fsync(file.get()) != 0) return tl::make_unexpected(errno_error(errno, path));
    return {};
}

// `to` has the content, owner and mode of `from`, or is not touched at all.
Result<void> copy(const std::string& from, const std::string& to) {
    const auto content = content_of(from);
    if (!content) return tl::make_unexpected(content.error());
    struct stat status{};
    if (::stat(from.c_str(), &status) != 0) return tl::make_unexpected(errno_error(errno, from));
    auto unfinished = to + ".XXXXXX";
    const Descriptor file(::mkostemp(unfinished.data(), O_CLOEXEC));
    if (!file) return tl::make_unexpected(errno_error(errno, unfinished));
    auto done = write_all(file, *content, unfinished);
    // Only root may give files away; who is not root owns these files already.
    if (done && ::fchown(file.get(), status.st_uid, status.st_gid) != 0 && ::geteuid() == 0)
        done = tl::make_unexpected(errno_error(errno, unfinished));
    if (done && ::fchmod(file.get(), status.st_mode & 07777) != 0)
        done = tl::make_unexpected(errno_error(errno, unfinished));
    if (done && ::rename(unfinished.c_str(), to.c_str()) != 0)
        done = tl::make_unexpected(errno_error(errno, to));
    if (!done) ::unlink(unfinished.c_str());
    return done;
}

bool same(const std::string& one, const std::string& other) {
    const auto a = content_of(one);
    const auto b = content_of(other);
    return a && b && *a == *b;
}

}  // namespace

bool ConfigurationFiles::unchanged_since_setup() const {
    for (const auto* name : kept_files) {
        const auto path = directory_ + '/' + name;
        if (::access((path + before).c_str(), F_OK) != 0 || !same(path, path + with)) return false;
    }
    return true;
}

Result<void> ConfigurationFiles::keep() const {
    if (unchanged_since_setup()) return {};
    for (const auto* name : kept_files) {
        const auto path = directory_ + '/' + name;
        // Without the second copy an interrupted change is not taken for a finished one.
        if (::unlink((path + with).c_str()) != 0 && errno != ENOENT)
            return tl::make_unexpected(errno_error(errno, path + with));
        if (const auto copied = copy(path, path + before); !copied) return copied;
    }
    return {};
}

Result<void> ConfigurationFiles::mark_applied() const {
    for (const auto* name : kept_files) {
        const auto path = directory_ + '/' + name;
        if (const auto copied = copy(path, path + with); !copied) return copied;
    }
    return {};
}

Result<void> ConfigurationFiles::take_back() const {
    for (const auto* name : kept_files) {
        const auto path = directory_ + '/' + name;
        // keep() leaves the second copy only where it is what the file was.
        const bool set_up = ::access((path + with).c_str(), F_OK) == 0;
        if (const auto copied = copy(path + (set_up ? with : before), path); !copied) return copied;
    }
    return {};
}

Result<void> ConfigurationFiles::restore() const {
    for (const auto* name : kept_files) {
        const auto path = directory_ + '/' + name;
        if (const auto copied = copy(path + before, path); !copied) return copied;
    }
    for (const auto* name : kept_files)
        for (const auto* suffix : {before, with})
            ::unlink((directory_ + '/' + name + suffix).c_str());
    return {};
}

std::string ConfigurationFiles::backup_names() const {
    std::string list;
    for (const auto* name : kept_files)
        list += (list.empty() ? "" : ", ") + directory_ + '/' + name + before;
    return list;
}

}  // namespace postfathom
