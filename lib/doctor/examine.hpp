// SPDX-License-Identifier: Apache-2.0
// What is wrong with this host, from facts of it. Pure: facts in, findings out.
#pragma once

#include <vector>

#include "lib/doctor/facts.hpp"
#include "lib/doctor/finding.hpp"

namespace postfathom {

// In the order of examination; each matter that was looked at has a finding, `ok` where there is
// nothing to mend.
std::vector<Finding> examine(const DoctorFacts& facts);

}  // namespace postfathom
