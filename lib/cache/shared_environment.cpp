// SPDX-License-Identifier: Apache-2.0
#include "lib/cache/shared_environment.hpp"

#include <sys/stat.h>

#include <cerrno>
#include <map>
#include <thread>

#include "lib/base/log.hpp"
#include "lib/cache/cache_format.hpp"

namespace postfathom {
namespace {

constexpr auto look_interval = std::chrono::seconds(1);

Result<std::shared_ptr<LmdbEnvironment>> open_for_reading(const std::filesystem::path& directory) {
    const auto file = directory / data_file_name;
    const auto facts = check_lmdb_header(file);
    if (!facts) return tl::make_unexpected(facts.error());
    if (facts->size == 0) return fail(ErrorCode::not_found, "the cache is just being created");
    auto opened = LmdbEnvironment::open(directory, std::nullopt);
    if (!opened) return opened;
    // The file that was checked, and no other that took its name meanwhile.
    if (!(*opened)->is_file(facts->device, facts->inode))
        return fail(ErrorCode::not_found, "the cache is just being replaced");
    if (auto tables = (*opened)->open_tables(); !tables) return tl::make_unexpected(tables.error());
    auto snapshot = ReadTransaction::begin(*opened);
    if (!snapshot) return tl::make_unexpected(snapshot.error());
    if (auto ours = check_format(*snapshot, file); !ours) return tl::make_unexpected(ours.error());
    return opened;
}

}  // namespace

// LMDB forbids a second environment for the same files within one process, so that this list has to
// belong to the process.
std::shared_ptr<SharedEnvironment> SharedEnvironment::of(const std::filesystem::path& directory) {
    static std::mutex mutex;
    static std::map<std::string, std::weak_ptr<SharedEnvironment>> all;
    std::error_code ignored;
    auto canonical = std::filesystem::weakly_canonical(directory, ignored);
    if (canonical.empty()) canonical = directory;

    const std::lock_guard lock(mutex);
    std::erase_if(all, [](const auto& entry) { return entry.second.expired(); });
    auto& known = all[canonical.string()];
    auto shared = known.lock();
    if (!shared) {
        shared = std::make_shared<SharedEnvironment>(canonical);
        known = shared;
    }
    return shared;
}

std::optional<ReadTransaction> SharedEnvironment::read() {
    auto environment = current();
    if (!environment) return std::nullopt;
    auto transaction = ReadTransaction::begin(environment);
    if (transaction) return std::move(*transaction);
    // Most likely MDB_MAP_RESIZED: the writer came back with a larger map. Opening again maps it.
    const auto* const failed = environment.get();
    environment.reset();
    environment = reopen(failed);
    if (!environment) return std::nullopt;
    auto again = ReadTransaction::begin(std::move(environment));
    if (again) return std::move(*again);
    const std::lock_guard lock(mutex_);
    complain(again.error());
    return std::nullopt;
}

std::shared_ptr<LmdbEnvironment> SharedEnvironment::reopen(const LmdbEnvironment* failed) {
    const std::lock_guard lock(mutex_);
    if (!writer_ && current_.get() == failed) {
        leave_and_wait();
        look();
    }
    return current_;
}

std::shared_ptr<LmdbEnvironment> SharedEnvironment::current() {
    const std::lock_guard lock(mutex_);
    if (!writer_ && Clock::now() >= next_look_) look();
    return current_;
}

void SharedEnvironment::look() {
    next_look_ = Clock::now() + look_interval;
    if (current_) {
        struct stat status{};
        if (::stat((directory_ / data_file_name).c_str(), &status) == 0 &&
            current_->is_file(status.st_dev, status.st_ino) &&
            (!current_->without_lock() || on_read_only_disk(directory_)))
            return;
        leave_and_wait();
    }
    auto opened = open_for_reading(directory_);
    if (!opened) {
        if (had_one_ && opened.error().code == ErrorCode::not_found)
            log::warning("cache: {} is gone; no opinions until postfathom-probed writes it again",
                         (directory_ / data_file_name).string());
        had_one_ = false;
        return complain(opened.error());
    }
    had_one_ = true;
    current_ = *opened;
    last_complaint_.clear();
}

// Lookups last microseconds, and whoever wants a new snapshot waits for the mutex we hold. The last
// owner has to be us: the files may be opened again only after mdb_env_close has returned.
void SharedEnvironment::leave_and_wait() {
    while (current_.use_count() > 1) std::this_thread::yield();
    current_.reset();
}

void SharedEnvironment::writer_leaves() {
    const std::lock_guard lock(mutex_);
    leave_and_wait();
    writer_ = false;
    next_look_ = {};
}

void SharedEnvironment::complain(const Error& error) {
    // A cache that is not there yet is no news, and each trouble is told once.
    if (error.code == ErrorCode::not_found || error.message == last_complaint_) return;
    last_complaint_ = error.message;
    log::warning("cache: no verdicts can be read: {}", error.message);
}

}  // namespace postfathom
