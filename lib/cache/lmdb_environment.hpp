// SPDX-License-Identifier: Apache-2.0
// LMDB's C interface with owners: an open environment with our databases in it, transactions,
// cursors. Says nothing about records.
#pragma once

#include <lmdb.h>

#include <array>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/result.hpp"
#include "lib/cache/lmdb_file.hpp"

namespace postfathom {

// The named databases. Values are JSON, except in meta.
enum class Table : std::size_t {
    next_hop,  // NEXTHOP
    endpoint,  // "ADDRESS PORT NAME", so that all of an address are neighbours
    path,      // "DESTINATION SOURCE"
    route,     // DOMAIN
    report,    // NEXTHOP
    client,    // NETWORK
    age,       // what was confirmed when, the oldest first (eviction.hpp); only the writer uses it
    meta,      // "magic", "format", "max_bytes"
};
inline constexpr std::size_t table_count = 8;
// Readers at one moment, of all processes together. LMDB's default of 126 is too few for a milter,
// whose threads grow with Postfix's connections.
inline constexpr unsigned max_cache_readers = 1024;
inline constexpr const char* data_file_name = "data.mdb";
inline constexpr const char* lock_file_name = "lock.mdb";

MDB_val to_val(std::string_view text);
std::string_view to_view(const MDB_val& value);
// corrupt for what LMDB finds wrong in the file, full for a full map, io otherwise.
Error lmdb_error(int code, std::string_view what);

class LmdbEnvironment;

// One snapshot for reading, from the environment's pool and back to it: a warm one costs no system
// call. Holds the environment open.
class ReadTransaction {
  public:
    static Result<ReadTransaction> begin(std::shared_ptr<LmdbEnvironment> environment);
    ReadTransaction(ReadTransaction&&) noexcept = default;
    ReadTransaction& operator=(ReadTransaction&&) = delete;
    ~ReadTransaction();

    MDB_txn* get() const { return transaction_; }
    std::size_t id() const { return mdb_txn_id(transaction_); }
    const LmdbEnvironment& environment() const { return *environment_; }
    // Points into the map; valid as long as this transaction.
    std::optional<std::string_view> find(Table table, std::string_view key) const;

  private:
    ReadTransaction(std::shared_ptr<LmdbEnvironment> environment, MDB_txn* transaction)
        : environment_(std::move(environment)), transaction_(transaction) {}
    std::shared_ptr<LmdbEnvironment> environment_;
    MDB_txn* transaction_;
};

class WriteTransaction {
  public:
    explicit WriteTransaction(LmdbEnvironment& environment);  // see status()
    WriteTransaction(const WriteTransaction&) = delete;
    WriteTransaction& operator=(const WriteTransaction&) = delete;
    ~WriteTransaction() { abort(); }

    // The first thing that went wrong (MDB_SUCCESS so far); after it nothing is done any more.
    int status() const { return status_; }
    void put(Table table, std::string_view key, std::string_view value);
    bool remove(Table table, std::string_view key);  // false: there was none
    std::optional<std::string_view> find(Table table, std::string_view key);
    std::uint64_t entries(Table table);
    void clear(Table table);
    int commit();  // gives status()
    void abort();
    MDB_txn* get() const { return transaction_; }
    LmdbEnvironment& environment() { return environment_; }

  private:
    LmdbEnvironment& environment_;
    MDB_txn* transaction_ = nullptr;
    int status_ = MDB_SUCCESS;
};

class Cursor {
  public:
    Cursor(MDB_txn* transaction, MDB_dbi database);
    Cursor(const Cursor&) = delete;
    Cursor& operator=(const Cursor&) = delete;
    ~Cursor();

    // The first entry whose key is not below `key`, then one after the other; false at the end.
    bool seek(std::string_view key);
    bool next();
    std::string_view key() const { return to_view(key_); }
    std::string_view value() const { return to_view(value_); }

  private:
    bool move(MDB_cursor_op operation);
    MDB_cursor* cursor_ = nullptr;
    MDB_val key_{};
    MDB_val value_{};
};

bool on_read_only_disk(const std::filesystem::path& directory);

class LmdbEnvironment {
  public:
    // For writing when `map_bytes` is given. The caller has checked the file and sees to it that
    // this process opens no directory twice: closing one would drop the POSIX locks of the other,
    // and with them the protection of its readers (lmdb.h, "Caveats").
    static Result<std::shared_ptr<LmdbEnvironment>> open(const std::filesystem::path& directory,
                                                         std::optional<std::uint64_t> map_bytes);
    LmdbEnvironment(const LmdbEnvironment&) = delete;
    LmdbEnvironment& operator=(const LmdbEnvironment&) = delete;
    ~LmdbEnvironment();

    MDB_env* get() const { return environment_; }
    MDB_dbi database(Table table) const { return databases_[static_cast<std::size_t>(table)]; }
    // Another for each environment this process opens.
    std::uint64_t serial() const { return serial_; }
    bool is_file(std::uint64_t device, std::uint64_t inode) const {
        return device == device_ && inode == inode_;
    }
    // Opened on a read-only disk, where LMDB does without the lock file: nothing keeps the pages
    // that we read once somebody can write.
    bool without_lock() const { return without_lock_; }
    // Opens the named databases, but for one of ages that an earlier version did not keep.
    // not_found: there are none.
    Result<void> open_tables();
    // Creates those that are missing and notes `facts` in the meta table, all in one transaction.
    Result<void> create_tables(const std::map<std::string, std::string>& facts);

  private:
    friend class ReadTransaction;
    LmdbEnvironment() = default;
    int open_tables_in(MDB_txn* transaction, unsigned flags);
    MDB_txn* take_idle();
    void put_idle(MDB_txn* transaction);

    MDB_env* environment_ = nullptr;
    std::array<MDB_dbi, table_count> databases_{};
    std::uint64_t serial_ = 0;
    std::uint64_t device_ = 0;
    std::uint64_t inode_ = 0;
    bool without_lock_ = false;
    std::mutex mutex_;
    std::vector<MDB_txn*> idle_;
};

}  // namespace postfathom
