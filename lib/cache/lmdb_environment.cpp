// SPDX-License-Identifier: Apache-2.0
#include "lib/cache/lmdb_environment.hpp"

#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <atomic>
#include <cerrno>

namespace postfathom {
namespace {

constexpr std::array<const char*, table_count> table_names = {
    "next_hop", "endpoint", "path", "route", "report", "client", "age", "meta"};

}  // namespace

MDB_val to_val(std::string_view text) {
    // LMDB takes keys and values by pointers to non-const, and does not write through them.
    return {text.size(), const_cast<char*>(text.data())};  // NOLINT
}

std::string_view to_view(const MDB_val& value) {
    return {static_cast<const char*>(value.mv_data), value.mv_size};
}

Error lmdb_error(int code, std::string_view what) {
    if (code > 0) return errno_error(code, what);
    Error error{ErrorCode::io, fmt::format("{}: {}", what, mdb_strerror(code))};
    if (code == MDB_MAP_FULL || code == MDB_TXN_FULL || code == MDB_READERS_FULL)
        error.code = ErrorCode::full;
    if (code == MDB_CORRUPTED || code == MDB_PAGE_NOTFOUND || code == MDB_INVALID ||
        code == MDB_VERSION_MISMATCH || code == MDB_INCOMPATIBLE || code == MDB_BAD_TXN)
        error.code = ErrorCode::corrupt;
    if (code == MDB_NOTFOUND) error.code = ErrorCode::not_found;
    return error;
}

// ---- reading

Result<ReadTransaction> ReadTransaction::begin(std::shared_ptr<LmdbEnvironment> environment) {
    MDB_txn* transaction = environment->take_idle();
    int code = transaction != nullptr
                   ? mdb_txn_renew(transaction)
                   : mdb_txn_begin(environment->get(), nullptr, MDB_RDONLY, &transaction);
    // Readers that were killed keep their places; the writer frees them too, but it may be gone.
    int dead = 0;
    if (code == MDB_READERS_FULL && mdb_reader_check(environment->get(), &dead) == MDB_SUCCESS &&
        dead > 0)
        code = mdb_txn_begin(environment->get(), nullptr, MDB_RDONLY, &transaction);
    if (code != MDB_SUCCESS) {
        // A reset transaction whose renewal failed still owns its slot in the lock table.
        if (transaction != nullptr) mdb_txn_abort(transaction);
        return tl::make_unexpected(lmdb_error(code, "begin to read"));
    }
    return ReadTransaction(std::move(environment), transaction);
}

ReadTransaction::~ReadTransaction() {
    if (!environment_) return;
    mdb_txn_reset(transaction_);
    environment_->put_idle(transaction_);
}

std::optional<std::string_view> ReadTransaction::find(Table table, std::string_view key) const {
    if (key.empty()) return std::nullopt;
    auto wanted = to_val(key);
    MDB_val value{};
    if (mdb_get(transaction_, environment_->database(table), &wanted, &value) != MDB_SUCCESS)
        return std::nullopt;
    return to_view(value);
}

Cursor::Cursor(MDB_txn* transaction, MDB_dbi database) {
    if (mdb_cursor_open(transaction, database, &cursor_) != MDB_SUCCESS) cursor_ = nullptr;
}

Cursor::~Cursor() {
    if (cursor_ != nullptr) mdb_cursor_close(cursor_);
}

bool Cursor::move(MDB_cursor_op operation) {
    return cursor_ != nullptr && mdb_cursor_get(cursor_, &key_, &value_, operation) == MDB_SUCCESS;
}

bool Cursor::seek(std::string_view key) {
    if (key.empty()) return move(MDB_FIRST);
    key_ = to_val(key);
    return move(MDB_SET_RANGE);
}

bool Cursor::next() { return move(MDB_NEXT); }

// ---- writing

WriteTransaction::WriteTransaction(LmdbEnvironment& environment) : environment_(environment) {
    status_ = mdb_txn_begin(environment.get(), nullptr, 0, &transaction_);
    if (status_ != MDB_SUCCESS) transaction_ = nullptr;
}

void WriteTransaction::put(Table table, std::string_view key, std::string_view value) {
    if (status_ != MDB_SUCCESS) return;
    auto name = to_val(key);
    auto bytes = to_val(value);
    status_ = mdb_put(transaction_, environment_.database(table), &name, &bytes, 0);
}

bool WriteTransaction::remove(Table table, std::string_view key) {
    if (status_ != MDB_SUCCESS) return false;
    auto name = to_val(key);
    const int code = mdb_del(transaction_, environment_.database(table), &name, nullptr);
    if (code != MDB_SUCCESS && code != MDB_NOTFOUND) status_ = code;
    return code == MDB_SUCCESS;
}

std::optional<std::string_view> WriteTransaction::find(Table table, std::string_view key) {
    if (status_ != MDB_SUCCESS) return std::nullopt;
    auto name = to_val(key);
    MDB_val value{};
    const int code = mdb_get(transaction_, environment_.database(table), &name, &value);
    if (code == MDB_SUCCESS) return to_view(value);
    if (code != MDB_NOTFOUND) status_ = code;
    return std::nullopt;
}

std::uint64_t WriteTransaction::entries(Table table) {
    MDB_stat found{};
    if (status_ == MDB_SUCCESS)
        status_ = mdb_stat(transaction_, environment_.database(table), &found);
    return found.ms_entries;
}

void WriteTransaction::clear(Table table) {
    if (status_ == MDB_SUCCESS) status_ = mdb_drop(transaction_, environment_.database(table), 0);
}

int WriteTransaction::commit() {
    if (status_ != MDB_SUCCESS) {
        abort();
    } else {
        status_ = mdb_txn_commit(transaction_);
        transaction_ = nullptr;
    }
    return status_;
}

void WriteTransaction::abort() {
    if (transaction_ != nullptr) mdb_txn_abort(transaction_);
    transaction_ = nullptr;
}

// ---- the environment

bool on_read_only_disk(const std::filesystem::path& directory) {
    struct statvfs disk{};
    return ::statvfs(directory.c_str(), &disk) == 0 && (disk.f_flag & ST_RDONLY) != 0;
}

Result<std::shared_ptr<LmdbEnvironment>> LmdbEnvironment::open(
    const std::filesystem::path& directory, std::optional<std::uint64_t> map_bytes) {
    static std::atomic<std::uint64_t> last_serial{0};
    std::shared_ptr<LmdbEnvironment> opened(new LmdbEnvironment);
    opened->serial_ = ++last_serial;
    int code = mdb_env_create(&opened->environment_);
    if (code == MDB_SUCCESS) code = mdb_env_set_maxdbs(opened->get(), table_count);
    if (code == MDB_SUCCESS) code = mdb_env_set_maxreaders(opened->get(), max_cache_readers);
    if (code == MDB_SUCCESS && map_bytes) code = mdb_env_set_mapsize(opened->get(), *map_bytes);
    // MDB_NOTLS: a reader belongs to its transaction, not to its thread, so that threads share a
    // pool. MDB_NOMETASYNC: a crash of the host may cost the last change, never the file; the fsync
    // it saves is half the time of a store.
    const unsigned flags = MDB_NOTLS | (map_bytes ? MDB_NOMETASYNC : MDB_RDONLY);
    if (code == MDB_SUCCESS) code = mdb_env_open(opened->get(), directory.c_str(), flags, 0660);
    mdb_filehandle_t file{};
    if (code == MDB_SUCCESS) code = mdb_env_get_fd(opened->get(), &file);
    struct stat status{};
    if (code == MDB_SUCCESS && ::fstat(file, &status) != 0) code = errno;
    if (code != MDB_SUCCESS)
        return tl::make_unexpected(
            lmdb_error(code, fmt::format("open cache in {}", directory.string())));
    opened->device_ = status.st_dev;
    opened->inode_ = status.st_ino;
    opened->without_lock_ = !map_bytes && on_read_only_disk(directory);
    return opened;
}

LmdbEnvironment::~LmdbEnvironment() {
    for (auto* transaction : idle_) mdb_txn_abort(transaction);
    if (environment_ != nullptr) mdb_env_close(environment_);
}

int LmdbEnvironment::open_tables_in(MDB_txn* transaction, unsigned flags) {
    int code = MDB_SUCCESS;
    for (std::size_t i = 0; i < table_count && code == MDB_SUCCESS; ++i) {
        code = mdb_dbi_open(transaction, table_names[i], flags, &databases_[i]);
        if (code == MDB_NOTFOUND && i == static_cast<std::size_t>(Table::age)) code = MDB_SUCCESS;
    }
    return code;
}

Result<void> LmdbEnvironment::open_tables() {
    MDB_txn* transaction = nullptr;
    int code = mdb_txn_begin(environment_, nullptr, MDB_RDONLY, &transaction);
    if (code == MDB_SUCCESS) {
        code = open_tables_in(transaction, 0);
        // Handles stay open only when the transaction that opened them is committed, a reading one
        // too.
        if (code == MDB_SUCCESS)
            code = mdb_txn_commit(transaction);
        else
            mdb_txn_abort(transaction);
    }
    if (code != MDB_SUCCESS) return tl::make_unexpected(lmdb_error(code, "open the databases"));
    return {};
}

Result<void> LmdbEnvironment::create_tables(const std::map<std::string, std::string>& facts) {
    WriteTransaction writing(*this);
    int code = writing.status();
    if (code == MDB_SUCCESS) code = open_tables_in(writing.get(), MDB_CREATE);
    if (code == MDB_SUCCESS) {
        for (const auto& [name, value] : facts) writing.put(Table::meta, name, value);
        code = writing.commit();
    }
    if (code != MDB_SUCCESS) return tl::make_unexpected(lmdb_error(code, "create the databases"));
    return {};
}

MDB_txn* LmdbEnvironment::take_idle() {
    const std::lock_guard lock(mutex_);
    if (idle_.empty()) return nullptr;
    auto* transaction = idle_.back();
    idle_.pop_back();
    return transaction;
}

void LmdbEnvironment::put_idle(MDB_txn* transaction) {
    const std::lock_guard lock(mutex_);
    idle_.push_back(transaction);  // never more than there were readers at one moment
}

}  // namespace postfathom
