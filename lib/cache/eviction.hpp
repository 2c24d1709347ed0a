// SPDX-License-Identifier: Apache-2.0
// Which records were confirmed longest ago. A table of its own (Table::age) has their keys in that
// order and is kept up in the transactions that change them, so that making room costs what is
// removed, however much there is.
#pragma once

#include <cstdint>
#include <string_view>

#include "lib/base/result.hpp"
#include "lib/base/units.hpp"
#include "lib/cache/lmdb_environment.hpp"

namespace postfathom {

// A record's key and what stands before it in the table of ages have to fit into LMDB's 511 bytes.
inline constexpr std::size_t max_record_key_bytes = 502;

// When an encoded record was last confirmed, without parsing it; 1970 for one that does not say.
WallTime confirmed_at(std::string_view record);

// Every change of a record but those of Table::meta. A report is as old as its next hop, which is
// to be put before it, and goes with it. False: there was none.
void put_record(WriteTransaction& writing, Table table, std::string_view key,
                std::string_view value);
bool remove_record(WriteTransaction& writing, Table table, std::string_view key);

// Removes the records of a table that were confirmed longest ago, and before `before`: at most
// `most` of them. Gives how many.
std::uint64_t remove_oldest(WriteTransaction& writing, Table table, std::uint64_t most,
                            WallTime before = WallTime::max());

// Makes the table of ages anew where it does not have each record: a version that did not keep it
// wrote this cache. In several transactions; some seconds for a million destinations.
Result<void> mend_ages(LmdbEnvironment& environment);

std::uint64_t entries(const ReadTransaction& snapshot, Table table);

}  // namespace postfathom
