// SPDX-License-Identifier: Apache-2.0
// What the doctor found, by name.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "lib/doctor/finding.hpp"

namespace postfathom {

inline const Finding* find(const std::vector<Finding>& findings, const std::string& id) {
    const auto found = std::find_if(findings.begin(), findings.end(),
                                    [&](const Finding& each) { return each.id == id; });
    return found == findings.end() ? nullptr : &*found;
}

}  // namespace postfathom
