// SPDX-License-Identifier: Apache-2.0
#include "lib/base/host_name.hpp"

#include <unistd.h>

#include <array>

#include "lib/base/text.hpp"

namespace postfathom {

std::string host_name() {
    std::array<char, 256> name{};
    if (::gethostname(name.data(), name.size() - 1) != 0 || name[0] == '\0') return "localhost";
    return printable(name.data());
}

}  // namespace postfathom
