// SPDX-License-Identifier: Apache-2.0
// `postfathom verify`: probes again after a fix, and says what has changed.
#include <fmt/format.h>

#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

#include "cli/commands.hpp"
#include "cli/daemon_answer.hpp"
#include "cli/terminal.hpp"
#include "lib/base/text.hpp"
#include "lib/config/duration.hpp"
#include "lib/diagnosis/mending.hpp"

namespace postfathom {

namespace {

int exit_status_of(Severity severity) {
    if (severity == Severity::critical) return 2;
    if (severity == Severity::warning) return 1;
    return severity == Severity::unknown ? 3 : 0;
}

}  // namespace

int run_verify(const VerifyOptions& options, const Settings& settings) {
    const auto limit = parse_duration(options.timeout);
    if (!limit || limit->count() <= 0) {
        fmt::print(stderr,
                   "postfathom verify: --timeout: found \"{}\", expected a duration such as "
                   "\"90s\"\n",
                   printable(options.timeout));
        return EX_USAGE;
    }
    const auto before =
        try_daemon(settings, {"/v1/destinations/" + percent_encoded(options.next_hop)});
    // What is asked about is the next hop that the mail of a domain goes to.
    const auto known = before.body ? parse_answer(*before.body) : boost::json::value(nullptr);
    const auto place = text(known, "next_hop").empty() ? options.next_hop : text(known, "next_hop");
    ProgressLine line;
    line.show(fmt::format("probing {}", printable(place)));
    const auto asked = ask_daemon(settings, probe_question(place, *limit));
    line.clear();
    if (!asked.body) return asked.exit_status == EX_USAGE ? EX_USAGE : EX_UNAVAILABLE;
    const auto found =
        mending(member(known, "report"), member(parse_answer(*asked.body), "report"));
    if (options.json)
        fmt::print("{}\n", boost::json::serialize(to_json(found)));
    else
        fmt::print("{}", to_text(found, coloured()));
    return exit_status_of(found.severity);
}

}  // namespace postfathom
