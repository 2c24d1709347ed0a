// SPDX-License-Identifier: Apache-2.0
#include "lib/cache/lmdb_cache.hpp"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <utility>

#include "lib/base/log.hpp"
#include "lib/cache/cache_format.hpp"
#include "lib/cache/client_codec.hpp"
#include "lib/cache/eviction.hpp"
#include "lib/cache/lmdb_reader.hpp"
#include "lib/cache/record_codec.hpp"
#include "lib/cache/writer_files.hpp"

namespace postfathom {
namespace {

constexpr std::size_t max_report_bytes = std::size_t{1} << 20;
constexpr int max_evictions_per_store = 64;
// Records removed in one transaction. Each copies at most a few pages, which the reserve has to
// hold.
constexpr std::uint64_t removals_per_transaction = 128;
// Where there is more than the limits allow, a store removes so many records for each that it
// brings, and some more: it takes as long whatever there is.
constexpr std::uint64_t removals_per_record = 4;
constexpr std::uint64_t removals_per_store = 32;
constexpr auto reader_check_interval = std::chrono::seconds(60);

struct Entry {
    Table table;
    std::string key;
    std::string value;
};

Result<std::vector<Entry>> encode_change(const CacheChange& change) {
    std::vector<Entry> entries;
    for (const auto& record : change.next_hops)
        entries.push_back({Table::next_hop, record.next_hop, encode(record)});
    for (const auto& record : change.endpoints)
        entries.push_back({Table::endpoint, endpoint_key(record.endpoint), encode(record)});
    for (const auto& record : change.paths)
        entries.push_back({Table::path, path_key(record), encode(record)});
    for (const auto& record : change.routes)
        entries.push_back({Table::route, record.domain, encode(record)});
    for (const auto& record : change.clients)
        entries.push_back({Table::client, record.network, encode(record)});
    for (const auto& report : change.reports) {
        if (report.json.size() <= max_report_bytes)
            entries.push_back({Table::report, report.next_hop, report.json});
        else
            log::warning("{}: its report of {} bytes is too long to be kept (at most {})",
                         report.next_hop, report.json.size(), max_report_bytes);
    }
    for (const auto& entry : entries) {
        if (entry.key.empty() || entry.key.size() > max_record_key_bytes)
            return fail(ErrorCode::invalid_input,
                        fmt::format("cache: expected a key of 1 to {} bytes, found {}",
                                    max_record_key_bytes, entry.key.size()));
        if (entry.table != Table::report && entry.value.size() > max_record_bytes)
            return fail(ErrorCode::invalid_input,
                        fmt::format("cache: {}: a record of {} bytes, at most {} are kept",
                                    entry.key, entry.value.size(), max_record_bytes));
    }
    return entries;
}

class LmdbWriter final : public LmdbReader, public CacheWriter {
  public:
    LmdbWriter(std::shared_ptr<SharedEnvironment> shared, WriterLock lock, CacheLimits limits)
        : LmdbReader(std::move(shared)), lock_(std::move(lock)), limits_(limits) {}
    LmdbWriter(const LmdbWriter&) = delete;
    LmdbWriter& operator=(const LmdbWriter&) = delete;
    ~LmdbWriter() override { shared().writer_leaves(); }

    Result<void> open() {
        auto opened = shared().replace(
            [this] { return open_or_start_over(shared().directory(), limits_.bytes); });
        if (!opened) return tl::make_unexpected(opened.error());
        environment_ = *opened;
        return {};
    }

    Result<void> store(const CacheChange& change) override {
        const auto records = encode_change(change);
        if (!records) return tl::make_unexpected(records.error());
        clear_dead_readers();
        leave_lost_file();
        if (auto room = keep_bytes(records->size()); !room) return room;
        return write([&](WriteTransaction& writing) {
            for (const auto& domain : change.lost_routes)
                remove_record(writing, Table::route, domain);
            for (const auto& record : *records)
                put_record(writing, record.table, record.key, record.value);
            keep_entries(writing, change);
        });
    }

    Result<bool> forget(std::string_view next_hop) override {
        bool known = false;
        auto written = write([&known, next_hop](WriteTransaction& writing) {
            const auto value = writing.find(Table::next_hop, next_hop);
            known = value.has_value();
            if (!value) return;
            const auto record = decode_next_hop(*value);
            remove_record(writing, Table::next_hop, next_hop);
            if (!record) return;
            for (const auto& endpoint : record->endpoints)
                leave_endpoint(writing, endpoint_key(endpoint), next_hop);
        });
        if (!written) return tl::make_unexpected(written.error());
        return known;
    }

    Result<std::uint64_t> remove_older_than(WallTime before, std::uint64_t most) override {
        std::uint64_t removed = 0;
        for (const auto table :
             {Table::next_hop, Table::endpoint, Table::path, Table::route, Table::client}) {
            const auto gone = remove(table, most, before);
            if (!gone) return gone;
            removed += *gone;
        }
        return removed;
    }

  private:
    // An endpoint that other next hops use as well stays, without this one.
    static void leave_endpoint(WriteTransaction& writing, const std::string& key,
                               std::string_view next_hop) {
        const auto value = writing.find(Table::endpoint, key);
        if (!value) return;
        auto record = decode_endpoint(*value);
        if (record) std::erase(record->next_hops, next_hop);
        if (record && !record->next_hops.empty())
            put_record(writing, Table::endpoint, key, encode(*record));
        else
            remove_record(writing, Table::endpoint, key);
    }

    // Runs `work` in one transaction; when the map is full, makes room and runs it again.
    template <typename Work>
    Result<void> write(Work work) {
        if (environment_ == nullptr)
            if (auto opened = open(); !opened) return opened;
        int code = MDB_SUCCESS;
        for (int round = 0; round < max_evictions_per_store; ++round) {
            WriteTransaction writing(*environment_);
            if (writing.status() == MDB_SUCCESS) work(writing);
            code = writing.commit();
            if (code == MDB_SUCCESS) return {};
            if (code != MDB_MAP_FULL && code != MDB_TXN_FULL) break;
            if (auto room = make_room(removals_per_transaction << std::min(round, 10)); !room)
                return room;
        }
        return tl::make_unexpected(failed(code, "write"));
    }

    Error failed(int code, std::string_view what) {
        auto error =
            lmdb_error(code, fmt::format("cache: {}: {}", shared().directory().string(), what));
        if (error.code == ErrorCode::corrupt)
            start_over(error.message);
        else if (refuses_all())
            leave_failed_environment();
        return error;
    }

    // Once it could not write the header LMDB takes no transaction any more.
    bool refuses_all() const {
        if (environment_ == nullptr) return false;
        MDB_txn* transaction = nullptr;
        const int code = mdb_txn_begin(environment_->get(), nullptr, MDB_RDONLY, &transaction);
        if (transaction != nullptr) mdb_txn_abort(transaction);
        return code == MDB_PANIC;
    }

    // The file is as before, or damaged; opening it again finds out which. While that fails,
    // write() tries again.
    void leave_failed_environment() {
        environment_ = nullptr;
        if (auto opened = open(); !opened) log::debug("{}", opened.error().message);
    }

    // The oldest, in several transactions: the pages that one gives back are there for the next but
    // one.
    Result<std::uint64_t> remove(Table table, std::uint64_t most,
                                 WallTime before = WallTime::max()) {
        std::uint64_t removed = 0;
        while (environment_ != nullptr && removed < most) {
            const auto wanted = std::min(most - removed, removals_per_transaction);
            WriteTransaction removing(*environment_);
            const auto gone = remove_oldest(removing, table, wanted, before);
            const int code = removing.commit();
            if (code != MDB_SUCCESS)
                return tl::make_unexpected(failed(code, "remove the oldest records"));
            removed += gone;
            if (gone < wanted) break;
        }
        return removed;
    }

    // Removes about so many records: reports first, as long as they are many, for only operators
    // read them; else of each kind its share.
    Result<void> make_room(std::uint64_t most) {
        const auto stored = counters();
        std::uint64_t reports = 0;
        if (const auto snapshot = shared().read()) reports = entries(*snapshot, Table::report);
        struct Share {
            Table table;
            std::uint64_t records;
        };
        std::vector<Share> from = {{Table::report, reports}};
        if (reports <= stored.next_hops / 16)
            from = {{Table::report, reports},
                    {Table::next_hop, stored.next_hops},
                    {Table::endpoint, stored.endpoints},
                    {Table::path, stored.paths},
                    {Table::route, stored.routes},
                    {Table::client, stored.clients}};
        std::uint64_t all = 0;
        for (const auto& share : from) all += share.records;
        std::uint64_t removed = 0;
        for (const auto& share : from) {
            if (share.records == 0) continue;
            const auto gone = remove(share.table, (share.records * most + all - 1) / all);
            if (!gone) return tl::make_unexpected(gone.error());
            removed += *gone;
        }
        if (removed == 0)
            return fail(ErrorCode::full,
                        fmt::format("cache: {} bytes are too few for this record even alone; raise "
                                    "cache.max_bytes",
                                    limits_.bytes));
        log::debug("cache: full, {} oldest records removed", removed);
        return {};
    }

    // The limit on bytes lies below the size of the map, so that there is always room to remove.
    Result<void> keep_bytes(std::uint64_t coming) {
        if (environment_ == nullptr) return {};
        MDB_envinfo facts{};
        MDB_stat statistics{};
        mdb_env_info(environment_->get(), &facts);
        mdb_env_stat(environment_->get(), &statistics);
        if ((facts.me_last_pgno + 1) * statistics.ms_psize <= limits_.bytes) return {};
        const auto used = counters();
        if (used.bytes_used <= limits_.bytes ||
            used.next_hops + used.endpoints + used.paths + used.routes + used.clients == 0)
            return {};
        return make_room(coming * removals_per_record + removals_per_store);
    }

    void keep_entries(WriteTransaction& writing, const CacheChange& change) const {
        struct Bound {
            Table table;
            std::uint64_t most;
            std::size_t coming;
        };
        const Bound bounds[] = {{Table::next_hop, limits_.entries, change.next_hops.size()},
                                {Table::endpoint, limits_.entries * 4, change.endpoints.size()},
                                {Table::path, limits_.entries * 4, change.paths.size()},
                                {Table::route, limits_.entries * 10, change.routes.size()},
                                {Table::client, limits_.entries, change.clients.size()},
                                {Table::report, limits_.entries, change.reports.size()}};
        for (const auto& bound : bounds) {
            const auto there = writing.entries(bound.table);
            if (there > bound.most)
                remove_oldest(writing, bound.table,
                              std::min(there - bound.most, bound.coming + removals_per_store));
        }
    }

    // A reader that was killed would keep the pages of its snapshot from being used again.
    void clear_dead_readers() {
        const auto now = std::chrono::steady_clock::now();
        if (environment_ == nullptr || now < next_reader_check_) return;
        next_reader_check_ = now + reader_check_interval;
        int dead = 0;
        mdb_reader_check(environment_->get(), &dead);
        if (dead > 0) log::debug("cache: {} readers ended without a word", dead);
    }

    // Somebody took the file away, or wrote over its header. What went on into it would reach no
    // reader; write() makes a new one.
    void leave_lost_file() {
        if (environment_ == nullptr) return;
        const auto file = shared().directory() / data_file_name;
        struct stat status{};
        if (::stat(file.c_str(), &status) == 0 &&
            environment_->is_file(status.st_dev, status.st_ino)) {
            // LMDB trusts the header that it has mapped, and would go on storing what no reader can
            // open any more.
            const auto header = check_lmdb_header(file);
            if (!header && header.error().code == ErrorCode::corrupt)
                start_over(header.error().message);
            return;
        }
        log::warning("cache: {} was removed or replaced; starting an empty one", file.string());
        environment_ = nullptr;
    }

    void start_over(const std::string& why) {
        environment_ = nullptr;
        auto opened = shared().replace([this, &why]() -> Result<std::shared_ptr<LmdbEnvironment>> {
            if (auto aside = set_aside(shared().directory(), why); !aside)
                return tl::make_unexpected(aside.error());
            return open_or_start_over(shared().directory(), limits_.bytes);
        });
        if (opened)
            environment_ = *opened;
        else
            log::error("{}", opened.error().message);
    }

    WriterLock lock_;
    CacheLimits limits_;
    LmdbEnvironment* environment_ = nullptr;  // shared() owns it
    std::chrono::steady_clock::time_point next_reader_check_{};
};

}  // namespace

Result<std::unique_ptr<CacheWriter>> open_cache_for_writing(const std::filesystem::path& directory,
                                                            const CacheLimits& limits) {
    auto lock = WriterLock::take(directory);
    if (!lock) return tl::make_unexpected(lock.error());
    auto writer =
        std::make_unique<LmdbWriter>(SharedEnvironment::of(directory), std::move(*lock), limits);
    if (auto opened = writer->open(); !opened) return tl::make_unexpected(opened.error());
    return writer;
}

std::unique_ptr<CacheReader> open_cache_for_reading(const std::filesystem::path& directory) {
    return std::make_unique<LmdbReader>(SharedEnvironment::of(directory));
}

}  // namespace postfathom
