// SPDX-License-Identifier: Apache-2.0
#include "lib/cache/writer_files.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <thread>

#include "lib/base/log.hpp"
#include "lib/base/units.hpp"
#include "lib/cache/cache_format.hpp"
#include "lib/cache/eviction.hpp"

namespace postfathom {
namespace {

constexpr const char* writer_lock_name = "writer.lock";
constexpr mode_t data_mode = 0640;
// Every LMDB reader notes in the lock file which snapshot it reads, so that its pages are kept:
// readers of the group need to write there, and only there.
constexpr mode_t lock_mode = 0660;
// What LMDB makes of it for its readers: a place of 64 bytes for each, and two for itself.
constexpr off_t lock_file_bytes = (max_cache_readers + 2) * 64;

// Creates the file when there is none, with the directory's group and `mode` whatever the umask.
Result<void> prepare_file(const std::filesystem::path& file, mode_t mode) {
    const Descriptor opened(::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    struct stat status{};
    struct stat directory{};
    if (!opened || ::fstat(opened.get(), &status) != 0 ||
        ::stat(file.parent_path().c_str(), &directory) != 0)
        return tl::make_unexpected(errno_error(errno, fmt::format("open {}", file.string())));
    if (status.st_gid != directory.st_gid &&
        ::fchown(opened.get(), static_cast<uid_t>(-1), directory.st_gid) != 0)
        log::warning(
            "{}: the group of its directory cannot be given to it, so that group cannot read "
            "the cache: {}",
            file.string(), errno_error(errno, "fchown").message);
    if ((status.st_mode & 07777) != mode && ::fchmod(opened.get(), mode) != 0)
        return tl::make_unexpected(
            errno_error(errno, fmt::format("set mode of {}", file.string())));
    return {};
}

// LMDB copies every page it changes, also to remove records: so the map has room beyond the limit,
// or beyond what an earlier and larger limit left.
std::uint64_t bytes_to_map(std::uint64_t max_bytes, std::uint64_t used) {
    constexpr std::uint64_t page = 65536;
    const auto reserve = std::max<std::uint64_t>(max_bytes / 8, std::uint64_t{4} << 20);
    return (std::max(max_bytes, used) + reserve + page - 1) / page * page;
}

// Extends the file to the whole map, without using disk space: a file that is shorter than its
// header says was cut then, and no page of the map lies beyond the end of the file (SIGBUS).
Result<void> extend_file(LmdbEnvironment& environment, std::uint64_t map_bytes) {
    mdb_filehandle_t file{};
    struct stat status{};
    mdb_env_get_fd(environment.get(), &file);
    if (::fstat(file, &status) != 0 || (static_cast<std::uint64_t>(status.st_size) < map_bytes &&
                                        ::ftruncate(file, static_cast<off_t>(map_bytes)) != 0))
        return tl::make_unexpected(errno_error(errno, "cache: extend data.mdb"));
    return {};
}

// Readers write to the mapped lock file; where it has holes and the disk is full, that ends them
// (SIGBUS). So it gets its disk space now: before LMDB opens it, since whoever closes a file gives
// up all of the process's locks of it (fcntl(2)), LMDB's too.
void fill_lock_file(const std::filesystem::path& file) {
    const Descriptor opened(::open(file.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW));
    if (!opened || ::fallocate(opened.get(), 0, 0, lock_file_bytes) != 0)
        log::warning("{}: no disk space for all of it; readers may end: {}", file.string(),
                     errno_error(errno, "fallocate").message);
}

// not_found: the environment has nothing in it yet.
Result<void> check_content(const std::shared_ptr<LmdbEnvironment>& environment,
                           const std::filesystem::path& file) {
    MDB_txn* transaction = nullptr;
    MDB_dbi unnamed{};
    MDB_stat content{};
    int code = mdb_txn_begin(environment->get(), nullptr, MDB_RDONLY, &transaction);
    if (code == MDB_SUCCESS) code = mdb_dbi_open(transaction, nullptr, 0, &unnamed);
    if (code == MDB_SUCCESS) code = mdb_stat(transaction, unnamed, &content);
    if (transaction != nullptr) mdb_txn_abort(transaction);
    if (code != MDB_SUCCESS) return tl::make_unexpected(lmdb_error(code, file.string()));
    if (content.ms_entries == 0) return fail(ErrorCode::not_found, "nothing there yet");
    if (auto tables = environment->open_tables(); !tables) {
        if (tables.error().code != ErrorCode::not_found) return tables;
        return fail(ErrorCode::corrupt,
                    fmt::format("{}: an LMDB file that is not Postfathom's", file.string()));
    }
    const auto snapshot = ReadTransaction::begin(environment);
    if (!snapshot) return tl::make_unexpected(snapshot.error());
    return check_format(*snapshot, file);
}

// Databases, magic and format in one transaction: a cache that has some of them has all of them.
Result<void> begin_cache(LmdbEnvironment& environment, std::uint64_t max_bytes) {
    return environment.create_tables({{"magic", std::string(cache_magic)},
                                      {"format", std::string(cache_format)},
                                      {"max_bytes", std::to_string(max_bytes)}});
}

Result<std::shared_ptr<LmdbEnvironment>> open_sound(const std::filesystem::path& directory,
                                                    std::uint64_t max_bytes) {
    const auto file = directory / data_file_name;
    auto facts = check_lmdb_pages(file);
    if (!facts && facts.error().code != ErrorCode::not_found)
        return tl::make_unexpected(facts.error());
    const auto map_bytes = bytes_to_map(max_bytes, facts ? facts->used : 0);
    if (auto ready = prepare_file(directory / lock_file_name, lock_mode); !ready)
        return tl::make_unexpected(ready.error());
    fill_lock_file(directory / lock_file_name);
    if (auto ready = prepare_file(file, data_mode); !ready)
        return tl::make_unexpected(ready.error());
    auto opened = LmdbEnvironment::open(directory, map_bytes);
    if (!opened) return opened;
    if (auto content = check_content(*opened, file);
        !content && content.error().code != ErrorCode::not_found)
        return tl::make_unexpected(content.error());
    if (auto extended = extend_file(**opened, map_bytes); !extended)
        return tl::make_unexpected(extended.error());
    if (auto begun = begin_cache(**opened, max_bytes); !begun)
        return tl::make_unexpected(begun.error());
    if (auto aged = mend_ages(**opened); !aged) return tl::make_unexpected(aged.error());
    int dead = 0;
    mdb_reader_check((*opened)->get(), &dead);
    return opened;
}

}  // namespace

Result<WriterLock> WriterLock::take(const std::filesystem::path& directory) {
    std::error_code ignored;
    if (!std::filesystem::is_directory(directory, ignored))
        return fail(
            ErrorCode::not_found,
            fmt::format("cache.directory: {} is not a directory that can be reached; create it, "
                        "owned by the user that runs postfathom-probed: install -d -m 0750 {}",
                        directory.string(), directory.string()));
    const auto file = directory / writer_lock_name;
    Descriptor opened(::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640));
    if (!opened)
        return tl::make_unexpected(errno_error(errno, fmt::format("open {}", file.string())));
    // A writer that was killed while it started a program leaves its lock to that child until the
    // child's exec(3), some milliseconds.
    const auto patience = std::chrono::steady_clock::now() + std::chrono::seconds(2);
    while (::flock(opened.get(), LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK)
            return tl::make_unexpected(errno_error(errno, fmt::format("lock {}", file.string())));
        char holder[16] = {};
        unsigned long process = 0;
        const auto got = ::pread(opened.get(), holder, sizeof holder, 0);
        std::from_chars(holder, holder + std::max<ssize_t>(got, 0), process);
        const bool gone =
            process > 0 && ::kill(static_cast<pid_t>(process), 0) != 0 && errno == ESRCH;
        if (gone && std::chrono::steady_clock::now() < patience) {
            std::this_thread::sleep_for(std::chrono::milliseconds(5));
            continue;
        }
        return fail(ErrorCode::refused,
                    fmt::format("{}: process {} writes this cache already; stop it first, or set "
                                "another cache.directory",
                                directory.string(), process));
    }
    const auto process = fmt::format("{}\n", ::getpid());
    // Only for the message above, so a full disk does not matter here.
    if (::ftruncate(opened.get(), 0) != 0 ||
        ::pwrite(opened.get(), process.data(), process.size(), 0) < 0)
        log::debug("{}: cannot note our process in it", file.string());
    return WriterLock(std::move(opened));
}

Result<void> set_aside(const std::filesystem::path& directory, const std::string& why) {
    const auto file = directory / data_file_name;
    const auto name = fmt::format("{}.damaged-{}", file.string(), to_rfc3339(wall_now()));
    auto free_name = name;
    std::error_code ignored;
    for (int i = 2; std::filesystem::exists(free_name, ignored); ++i)
        free_name = fmt::format("{}-{}", name, i);
    if (::rename(file.c_str(), free_name.c_str()) != 0 && errno != ENOENT)
        return tl::make_unexpected(
            errno_error(errno, fmt::format("cache: set {} aside ({})", file.string(), why)));
    // Readers of the old file go on with the old lock file until they notice; it holds no
    // knowledge.
    if (::unlink((directory / lock_file_name).c_str()) != 0 && errno != ENOENT)
        return tl::make_unexpected(errno_error(errno, "cache: remove lock.mdb"));
    log::error("cache: set aside as {} and begun anew, what was known is probed again: {}",
               free_name, why);
    return {};
}

Result<std::shared_ptr<LmdbEnvironment>> open_or_start_over(const std::filesystem::path& directory,
                                                            std::uint64_t max_bytes) {
    auto opened = open_sound(directory, max_bytes);
    if (opened || opened.error().code != ErrorCode::corrupt) return opened;
    if (auto aside = set_aside(directory, opened.error().message); !aside)
        return tl::make_unexpected(aside.error());
    return open_sound(directory, max_bytes);
}

}  // namespace postfathom
