// SPDX-License-Identifier: Apache-2.0
// Looks at LMDB's data file with read(2), before it is mapped: LMDB trusts what it maps, and a cut
// or overwritten file ends the process (SIGBUS, SIGSEGV, assert) where a message would do. Knows
// LMDB's data format 1 on 64-bit hosts (mdb.c of LMDB 0.9: MDB_page, MDB_meta, MDB_db, MDB_node).
#pragma once

#include <cstdint>
#include <filesystem>

#include "lib/base/result.hpp"

namespace postfathom {

struct LmdbFileFacts {
    std::uint64_t device = 0;
    std::uint64_t inode = 0;
    std::uint64_t size = 0;  // 0: created, nothing written yet
    std::uint64_t used = 0;  // bytes up to the last page in use
};

// The two header pages and the file's size. A few microseconds; not_found when there is no file,
// corrupt when LMDB must not see it.
Result<LmdbFileFacts> check_lmdb_header(const std::filesystem::path& file);

// The header and every page that can be reached from it. Reads the whole file once; for the
// writer's start.
Result<LmdbFileFacts> check_lmdb_pages(const std::filesystem::path& file);

}  // namespace postfathom
