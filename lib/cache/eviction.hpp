// SPDX-License-Identifier: Apache-2.0
// Which records were confirmed longest ago. Looking costs as much as there are records, so many are
// chosen at a time.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/units.hpp"
#include "lib/cache/lmdb_environment.hpp"

namespace postfathom {

// When an encoded record was last confirmed, without parsing it; 1970 for one that does not say.
WallTime confirmed_at(std::string_view record);

// Keys of the `count` records that were confirmed longest ago. A report is as old as its next hop.
std::vector<std::string> oldest(const ReadTransaction& snapshot, Table table, std::uint64_t count);

// Keys of all records that were confirmed before `before`.
std::vector<std::string> older_than(const ReadTransaction& snapshot, Table table, WallTime before);

std::uint64_t entries(const ReadTransaction& snapshot, Table table);

}  // namespace postfathom
