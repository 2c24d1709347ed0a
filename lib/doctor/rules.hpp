// SPDX-License-Identifier: Apache-2.0
// The parts of examine(): each appends its findings.
#pragma once

#include <string>
#include <vector>

#include "lib/doctor/facts.hpp"
#include "lib/doctor/finding.hpp"

namespace postfathom {

using Findings = std::vector<Finding>;

void examine_links(const LinkFacts& links, const DoctorFacts& facts, Findings& findings);
void examine_routes(const LinkFacts& links, Findings& findings);
void examine_firewall(const Firewall& firewall, Findings& findings);
void examine_kernel(const KernelFacts& kernel, const DoctorFacts& facts, Findings& findings);
void examine_hooks(const PostfixConfiguration& postfix, const DoctorFacts& facts,
                   Findings& findings);
void examine_postfix(const PostfixConfiguration& postfix, const DoctorFacts& facts,
                     Findings& findings);
void examine_sockets(const std::vector<SocketFacts>& sockets, const DoctorFacts& facts,
                     Findings& findings);
void examine_log(const LogFacts& log, const DoctorFacts& facts, Findings& findings);
void examine_prober(const DaemonFacts& prober, Findings& findings);

// True where a service of master.cf that runs `program` is locked up in the queue directory.
bool any_chrooted(const PostfixConfiguration& postfix, const std::string& program);

}  // namespace postfathom
