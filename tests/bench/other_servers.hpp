// SPDX-License-Identifier: Apache-2.0
// Policy and socketmap servers of Debian, to be measured beside ours, each in the setting that
// costs it least. They are taken from where their packages were unpacked, or from the system.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace postfathom::bench {

struct OtherServer {
    std::string name;  // of the package
    bool policy = false;
    std::string place;
    std::function<int()> work;  // for a Server; empty when it is not there
    double least_ratio = 0;     // of our requests per second to its own
    std::string why_not;        // what is missing
};

// `unpacked` is a root directory made by dpkg -x; `scratch` takes their files.
std::vector<OtherServer> other_servers(const std::filesystem::path& unpacked,
                                       const std::filesystem::path& scratch, int destinations);

}  // namespace postfathom::bench
