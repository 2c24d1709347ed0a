// SPDX-License-Identifier: Apache-2.0
// The one environment that this process has open for a cache directory: found when it appears, left
// when the writer puts another in its place, shared by all readers and the writer of the process.
#pragma once

#include <atomic>
#include <chrono>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "lib/cache/lmdb_environment.hpp"

namespace postfathom {

class SharedEnvironment {
  public:
    static std::shared_ptr<SharedEnvironment> of(const std::filesystem::path& directory);
    explicit SharedEnvironment(std::filesystem::path directory)
        : directory_(std::move(directory)) {}

    // A snapshot; nothing when there is no cache that can be read. Looks at the files at most once
    // a second, otherwise makes no system call.
    std::optional<ReadTransaction> read();

    // For the writer: leaves the environment there is, waits until no reader uses it, and takes
    // what `open` gives in its place. The writer keeps no share in it, only the address.
    template <typename Open>
    Result<LmdbEnvironment*> replace(Open open) {
        const std::lock_guard lock(mutex_);
        leave_and_wait();
        writer_ = false;
        Result<std::shared_ptr<LmdbEnvironment>> opened = open();
        if (!opened) return tl::make_unexpected(opened.error());
        current_ = std::move(*opened);
        writer_ = true;
        return current_.get();
    }
    void writer_leaves();

    const std::filesystem::path& directory() const { return directory_; }
    // Records met by this process that could not be read.
    mutable std::atomic<std::uint64_t> unreadable{0};

  private:
    using Clock = std::chrono::steady_clock;
    std::shared_ptr<LmdbEnvironment> current();
    std::shared_ptr<LmdbEnvironment> reopen(const LmdbEnvironment* failed);
    void look();
    void leave_and_wait();
    void complain(const Error& error);

    const std::filesystem::path directory_;
    std::mutex mutex_;
    std::shared_ptr<LmdbEnvironment> current_;
    bool writer_ = false;  // current_ is the writer's, which itself knows when the file changes
    Clock::time_point next_look_{};
    bool had_one_ = false;  // what is missing was there
    std::string last_complaint_;
};

}  // namespace postfathom
