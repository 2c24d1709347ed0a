// SPDX-License-Identifier: Apache-2.0
// The probe cache in LMDB: one environment in a directory, memory-mapped by all daemons. Readers
// take no lock and make no system call on the way of mail.
#pragma once

#include <filesystem>
#include <memory>

#include "lib/cache/probe_cache.hpp"

namespace postfathom {

struct CacheLimits {
    std::uint64_t bytes = std::uint64_t{256} << 20;  // size of the map
    std::uint64_t entries = 100'000;                 // next hops; routes have ten times as many
};

// Opens for writing, creates the directory's files when there are none (mode 0640, so that the
// group reads). A file that is not ours, is damaged or of a newer format is set aside (data.mdb ->
// data.mdb.damaged-TIME) with an error in the log, and an empty cache takes its place.
// ErrorCode::refused when another process has it open for writing.
Result<std::unique_ptr<CacheWriter>> open_cache_for_writing(const std::filesystem::path& directory,
                                                            const CacheLimits& limits);

// Opens for reading. The result is usable even when there is no cache yet: every lookup answers
// "absent", and the files are looked for again at most once a second. Thread-safe.
std::unique_ptr<CacheReader> open_cache_for_reading(const std::filesystem::path& directory);

}  // namespace postfathom
