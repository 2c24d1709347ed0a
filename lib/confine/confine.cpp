// SPDX-License-Identifier: Apache-2.0
#include "lib/confine/confine.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/prctl.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "lib/base/descriptor.hpp"
#include "lib/base/log.hpp"
#include "lib/base/text.hpp"
#include "lib/confine/landlock.hpp"
#include "lib/confine/system_calls.hpp"

namespace postfathom {

namespace {

// g++ says by macros what clang says by features.
#ifndef __has_feature
#define __has_feature(name) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || \
    __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
constexpr bool has_sanitizer = true;
#else
constexpr bool has_sanitizer = false;
#endif

// What one part did, or why not.
using Done = Result<std::string>;

Done confine_files(const Needs& needs) {
    const int abi = landlock_abi();
    if (abi == 0)
        return fail(ErrorCode::unsupported,
                    errno_error(errno, "Landlock").message +
                        " (expected Linux 5.13 or later with landlock in its lsm= list, and no "
                        "filter of a service manager that takes it away)");
    const auto places = restrict_files_and_ports(needs, abi);
    if (!places) return tl::make_unexpected(places.error());
    return fmt::format("{} places in the file system{} (Landlock, ABI {})", *places,
                       abi < 4         ? ""
                       : needs.network ? ", no TCP port to listen on"
                                       : ", no TCP",
                       abi);
}

Done confine_system_calls(const Needs& needs) {
    if (const auto done = restrict_system_calls(needs); !done)
        return tl::make_unexpected(done.error());
    return std::string(needs.network    ? "system calls"
                       : needs.programs ? "system calls, UNIX sockets only"
                                        : "system calls, UNIX sockets only, no programs") +
           " (seccomp)";
}

}  // namespace

Surroundings surroundings_of_process() {
    Surroundings found;
    const auto value = [](const char* name) {
        const char* text = std::getenv(name);
        return std::string_view(text == nullptr ? "" : text);
    };
    for (const auto path : split(value("PATH"), ':'))
        if (path.starts_with('/') && path.size() > 1) found.program_directories.emplace_back(path);
    // SSL_CTX_load_verify_locations(3).
    if (value("SSL_CERT_FILE").starts_with('/')) found.files.emplace_back(value("SSL_CERT_FILE"));
    for (const auto path : split(value("SSL_CERT_DIR"), ':'))
        if (path.starts_with('/')) found.directories.emplace_back(path);
    return found;
}

Result<void> confine(const Needs& needs, ConfinementMode mode) {
    if (mode == ConfinementMode::off) return {};
    std::string done;
    std::string lacking;
    const auto note = [&](const Done& part) {
        auto& text = part ? done : lacking;
        text += (text.empty() ? "" : "; ") + (part ? *part : part.error().message);
    };
    if (has_sanitizer) {
        lacking = "this program was built with a sanitizer, which needs more than we may leave it";
    } else if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
        lacking = errno_error(errno, "PR_SET_NO_NEW_PRIVS").message;
    } else {
        note(confine_files(needs));
        note(confine_system_calls(needs));
    }
    if (!done.empty()) log::info("confined to: {}", done);
    if (lacking.empty()) return {};
    if (mode == ConfinementMode::required)
        return fail(ErrorCode::unsupported,
                    fmt::format("confinement.mode is \"required\": {}; set \"auto\" to go on "
                                "without",
                                lacking));
    log::info("not confined as far as could be: {}", lacking);
    return {};
}

void warn_if_out_of_reach(const std::string& setting, const std::string& path) {
    if (path.empty()) return;
    const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
    if (file || errno == ENOENT) return;
    log::warning(
        "{}: {} cannot be read: {}; a daemon that confined itself reaches the places that were in "
        "the configuration at its start, so restart it",
        setting, path, std::strerror(errno));
}

}  // namespace postfathom
