// SPDX-License-Identifier: Apache-2.0
#include "lib/postfix/read_configuration.hpp"

#include <unistd.h>

#include "lib/base/program.hpp"
#include "lib/base/text.hpp"

namespace postfathom {

namespace {
constexpr ProgramLimits limits{std::chrono::seconds{20}, std::size_t{4} << 20};
constexpr ProgramLimits table_limits{std::chrono::seconds{5}, 4096};
// An ordinary user's PATH has no /usr/sbin on Debian.
std::string program(const std::string& name) {
    const auto path = "/usr/sbin/" + name;
    return ::access(path.c_str(), X_OK) == 0 ? path : name;
}

}  // namespace

Result<std::string> postconf(const std::string& directory, const std::vector<std::string>& words) {
    std::vector<std::string> command{program("postconf")};
    if (!directory.empty()) {
        command.emplace_back("-c");
        command.push_back(directory);
    }
    command.insert(command.end(), words.begin(), words.end());
    std::string printed;
    const auto ended =
        run_program(command, limits, [&](std::string_view piece) { printed += piece; });
    if (!ended) return tl::make_unexpected(ended.error());
    if (ended->cut) return fail(ErrorCode::timed_out, "postconf: no end within 20 s or 4 MiB");
    // 127 is what a spawned process that finds no program may end with.
    if (ended->status == 127) return fail(ErrorCode::not_found, "postconf: not found");
    if (ended->status != 0)
        return fail(ErrorCode::io, "postconf: " + printable(trim(ended->error), 400));
    return printed;
}

Result<PostfixConfiguration> read_postfix(const std::string& directory, PostfixNames names) {
    const bool expanded = names == PostfixNames::expanded;
    const auto parameters = expanded ? postconf(directory, {"-x"}) : postconf(directory, {});
    if (!parameters) return tl::make_unexpected(parameters.error());
    const auto services = postconf(directory, {expanded ? "-Mx" : "-M"});
    if (!services) return tl::make_unexpected(services.error());
    return PostfixConfiguration{parse_parameters(*parameters), parse_services(*services)};
}

Result<std::optional<std::string>> postmap(const std::string& directory, const std::string& table,
                                           const std::string& key) {
    // A key that postmap(1) would read as an option, or from its standard input, is no next hop.
    if (key.empty() || key.front() == '-') return std::nullopt;
    std::vector<std::string> command{program("postmap")};
    if (!directory.empty()) {
        command.emplace_back("-c");
        command.push_back(directory);
    }
    command.insert(command.end(), {"-q", key, table});
    std::string printed;
    const auto ended =
        run_program(command, table_limits, [&](std::string_view piece) { printed += piece; });
    if (!ended) return tl::make_unexpected(ended.error());
    if (ended->cut) return fail(ErrorCode::timed_out, "postmap: " + table + ": no answer in time");
    if (ended->status == 0) return std::string(trim(printed));
    // 1 says that the key is not there, or, with a word of it, that it could not be looked up
    // (msg_fatal(3)). Warnings, as of a table that is older than its source, come with either.
    if (ended->status == 1 && ended->error.find("fatal: ") == std::string::npos &&
        ended->error.find("error: ") == std::string::npos)
        return std::nullopt;
    return fail(ErrorCode::io, "postmap: " + printable(trim(ended->error), 400));
}

}  // namespace postfathom
