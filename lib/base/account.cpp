// SPDX-License-Identifier: Apache-2.0
#include "lib/base/account.hpp"

#include <fmt/format.h>
#include <grp.h>
#include <pwd.h>

#include <cerrno>
#include <vector>

#include "lib/base/text.hpp"

namespace postfathom {

namespace {

constexpr std::size_t first_buffer = 4096;
constexpr std::size_t last_buffer = std::size_t{1} << 22;

// getpwnam_r(3), getpwuid_r(3) and getgrnam_r(3) have the same shape. The buffer keeps what the
// entry points to. Null without one; `error` then says why, or 0.
template <typename Entry, typename Key>
const Entry* look_up(int (*ask)(Key, Entry*, char*, std::size_t, Entry**), Key key, Entry& entry,
                     std::vector<char>& buffer, int& error) {
    Entry* found = nullptr;
    buffer.resize(first_buffer);
    while ((error = ask(key, &entry, buffer.data(), buffer.size(), &found)) == ERANGE &&
           buffer.size() < last_buffer)
        buffer.resize(buffer.size() * 4);
    return found;
}

template <typename Entry, typename Number>
Result<Number> number_of(int (*ask)(const char*, Entry*, char*, std::size_t, Entry**),
                         Number Entry::* number, const std::string& name, std::string_view kind) {
    Entry entry{};
    std::vector<char> buffer;
    int error = 0;
    if (const auto* found = look_up(ask, name.c_str(), entry, buffer, error)) return found->*number;
    if (error != 0)
        return tl::make_unexpected(
            errno_error(error, fmt::format("look up {} {}", kind, printable(name, 64))));
    return fail(ErrorCode::not_found,
                fmt::format("there is no {} {} on this system; create it or name another", kind,
                            printable(name, 64)));
}

}  // namespace

Result<uid_t> user_number(const std::string& name) {
    return number_of(&::getpwnam_r, &passwd::pw_uid, name, "user");
}

Result<gid_t> group_number(const std::string& name) {
    return number_of(&::getgrnam_r, &group::gr_gid, name, "group");
}

std::string user_name(uid_t user) {
    passwd entry{};
    std::vector<char> buffer;
    int error = 0;
    const auto* found = look_up(&::getpwuid_r, user, entry, buffer, error);
    return found != nullptr ? printable(found->pw_name, 64) : std::to_string(user);
}

}  // namespace postfathom
