// SPDX-License-Identifier: Apache-2.0
// The files of a cache directory as its writer leaves them: one writer, the right modes, and
// nothing in place that LMDB should not see.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "lib/base/descriptor.hpp"
#include "lib/cache/lmdb_environment.hpp"

namespace postfathom {

// Held as long as this process writes; goes with the process, however it ends.
class WriterLock {
  public:
    // refused when another process, or another writer in this one, has it.
    static Result<WriterLock> take(const std::filesystem::path& directory);

  private:
    explicit WriterLock(Descriptor descriptor) : descriptor_(std::move(descriptor)) {}
    Descriptor descriptor_;
};

// Renames data.mdb to data.mdb.damaged-TIME and says so in the log.
Result<void> set_aside(const std::filesystem::path& directory, const std::string& why);

// The cache that is there if it is sound and ours; otherwise that is set aside and a new one begun.
// The map is larger than `max_bytes`, by a reserve.
Result<std::shared_ptr<LmdbEnvironment>> open_or_start_over(const std::filesystem::path& directory,
                                                            std::uint64_t max_bytes);

}  // namespace postfathom
