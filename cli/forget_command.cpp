// SPDX-License-Identifier: Apache-2.0
// `postfathom forget`: the daemon deletes what it knows of a next hop.
#include <fmt/format.h>

#include "cli/commands.hpp"
#include "cli/daemon_answer.hpp"
#include "lib/base/text.hpp"

namespace postfathom {

int run_forget(const ShowOptions& options, const Settings& settings) {
    const auto asked =
        ask_daemon(settings, {"/v1/destinations/" + percent_encoded(options.next_hop), "DELETE"});
    if (!asked.body) return asked.exit_status;
    if (options.json)
        fmt::print("{}\n", trim(*asked.body));
    else
        fmt::print("{}: forgotten\n", text(parse_answer(*asked.body), "next_hop"));
    return 0;
}

}  // namespace postfathom
