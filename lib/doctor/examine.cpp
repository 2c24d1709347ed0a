// SPDX-License-Identifier: Apache-2.0
#include "lib/doctor/examine.hpp"

#include "lib/doctor/rules.hpp"

namespace postfathom {

std::vector<Finding> examine(const DoctorFacts& facts) {
    Findings findings;
    if (facts.links) {
        examine_links(*facts.links, facts, findings);
        examine_routes(*facts.links, findings);
    }
    if (facts.firewall) examine_firewall(*facts.firewall, findings);
    if (facts.kernel) examine_kernel(*facts.kernel, facts, findings);
    if (facts.postfix) {
        examine_hooks(*facts.postfix, facts, findings);
        examine_postfix(*facts.postfix, facts, findings);
    }
    if (facts.sockets) examine_sockets(*facts.sockets, facts, findings);
    if (facts.log) examine_log(*facts.log, facts, findings);
    if (facts.prober) examine_prober(*facts.prober, findings);
    for (const auto& unread : facts.unread)
        findings.push_back(
            {"unread", Severity::unknown, "could not read " + unread.what, unread.why, {}});
    return findings;
}

}  // namespace postfathom
