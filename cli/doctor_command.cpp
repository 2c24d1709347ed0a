// SPDX-License-Identifier: Apache-2.0
// `postfathom doctor`: looks at this host and says what makes mail hang, and how to mend it.
#include <fmt/core.h>

#include <boost/json/serialize.hpp>

#include "cli/commands.hpp"
#include "cli/doctor_facts.hpp"
#include "cli/terminal.hpp"
#include "lib/doctor/examine.hpp"

namespace postfathom {

int run_doctor(const DoctorOptions& options, const Settings& settings) {
    const auto findings = examine(read_doctor_facts(settings, options.config_directory));
    if (options.json)
        fmt::print("{}\n", boost::json::serialize(to_json(findings)));
    else
        fmt::print("{}", to_text(findings, coloured()));
    return exit_status(findings);
}

}  // namespace postfathom
