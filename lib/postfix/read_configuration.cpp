// SPDX-License-Identifier: Apache-2.0
#include "lib/postfix/read_configuration.hpp"

#include "lib/base/program.hpp"
#include "lib/base/text.hpp"

namespace postfathom {

namespace {
constexpr ProgramLimits limits{std::chrono::seconds{20}, std::size_t{4} << 20};
}  // namespace

Result<std::string> postconf(const std::string& directory, const std::vector<std::string>& words) {
    std::vector<std::string> command{"postconf"};
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

}  // namespace postfathom
