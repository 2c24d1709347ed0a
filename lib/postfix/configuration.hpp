// SPDX-License-Identifier: Apache-2.0
// What Postfix's configuration says, from what postconf(1) prints of it.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/result.hpp"

namespace postfathom {

// A line of master.cf; master(5) names the columns.
struct PostfixService {
    std::string name;
    std::string type;
    bool chroot = false;
    std::string program;                         // smtpd, smtp, ...
    std::map<std::string, std::string> options;  // what `-o` sets
    bool operator==(const PostfixService&) const = default;
};

struct PostfixConfiguration {
    std::map<std::string, std::string> parameters;
    std::vector<PostfixService> services;

    // "" where postconf printed none.
    const std::string& value(const std::string& parameter) const;
};

// `postconf` and `postconf -M`. A line that cannot be read is left out.
std::map<std::string, std::string> parse_parameters(std::string_view printed);
std::vector<PostfixService> parse_services(std::string_view printed);

// The pieces between blanks and commas; what stands in braces is one piece, with its braces.
std::vector<std::string> list_items(std::string_view value);

// One of smtpd_milters, or what follows check_policy_service: `unix:path`, or
// `{ unix:path, name=value, ... }`.
struct PostfixHook {
    std::string endpoint;                           // "unix:run/x.sock", "inet:127.0.0.1:10040"
    std::map<std::string, std::string> attributes;  // names in lower case
    bool operator==(const PostfixHook&) const = default;
};
PostfixHook parse_hook(std::string_view item);

// Seconds in a time of postconf(5), whose unit is `unit` where the text has none.
std::optional<double> parse_postfix_time(std::string_view text, char unit = 's');

// 3.7.11 and 3.12-20260821 are 3.7 and 3.12. {0, 0} for what is no version.
struct PostfixVersion {
    int major = 0;
    int minor = 0;
    auto operator<=>(const PostfixVersion&) const = default;
};
PostfixVersion parse_postfix_version(std::string_view mail_version);

// The file that `unix:PATH` of a service means: below the queue directory when it is relative,
// since services begin there, and when the service is locked up there.
std::string socket_file(std::string_view path, const std::string& queue_directory, bool chroot);

}  // namespace postfathom
