// SPDX-License-Identifier: Apache-2.0
// What tells our cache from another program's LMDB file, and this version's from a newer one's.
#pragma once

#include <filesystem>

#include "lib/cache/lmdb_environment.hpp"

namespace postfathom {

inline constexpr std::string_view cache_magic = "postfathom";
inline constexpr std::string_view cache_format = "1";

// corrupt, with what was found, unless both are there.
Result<void> check_format(const ReadTransaction& snapshot, const std::filesystem::path& file);

// Size of the writer's limit as it noted it for readers; 0 when unknown.
std::uint64_t noted_max_bytes(const ReadTransaction& snapshot);

// Bytes in use: all pages ever used less those that are free again.
std::uint64_t bytes_used(MDB_env* environment, MDB_txn* transaction);

}  // namespace postfathom
