// SPDX-License-Identifier: Apache-2.0
#include "lib/cache/eviction.hpp"

#include <array>
#include <charconv>
#include <string>
#include <vector>

#include "lib/base/log.hpp"

namespace postfathom {
namespace {

constexpr std::array aged_tables{Table::next_hop, Table::endpoint, Table::path,
                                 Table::route,    Table::report,   Table::client};
constexpr std::size_t mended_per_transaction = 10'000;

// A byte for the table and eight for the time, both in the order of their numbers.
constexpr std::size_t prefix_bytes = 9;

std::string age_key(Table table, WallTime confirmed, std::string_view key) {
    std::string made(1, static_cast<char>('a' + static_cast<int>(table)));
    const auto milliseconds =
        std::chrono::duration_cast<std::chrono::milliseconds>(confirmed.time_since_epoch()).count();
    // The sign's bit turned over, so that what is before 1970 comes first.
    const auto ordered = static_cast<std::uint64_t>(milliseconds) ^ (std::uint64_t{1} << 63);
    for (int shift = 56; shift >= 0; shift -= 8)
        made.push_back(static_cast<char>(ordered >> shift & 255));
    return made.append(key);
}

// Where the record of a table has its age; `value` is the record.
std::string age_of(WriteTransaction& writing, Table table, std::string_view key,
                   std::string_view value) {
    if (table == Table::report) value = writing.find(Table::next_hop, key).value_or("");
    return age_key(table, confirmed_at(value), key);
}

void move_age(WriteTransaction& writing, const std::string& from, const std::string& to) {
    if (from == to) return;
    if (!from.empty()) writing.remove(Table::age, from);
    if (!to.empty()) writing.put(Table::age, to, "");
}

// The first ages of a table, as far as they are wanted.
std::vector<std::string> first_ages(WriteTransaction& writing, Table table, std::uint64_t most,
                                    WallTime before) {
    std::vector<std::string> found;
    if (writing.status() != MDB_SUCCESS) return found;
    const auto begin = age_key(table, WallTime::min(), {});
    const auto end = age_key(table, before, {});
    Cursor cursor(writing.get(), writing.environment().database(Table::age));
    for (bool more = cursor.seek(begin.substr(0, 1)); more && found.size() < most;
         more = cursor.next()) {
        if (cursor.key().substr(0, 1) != begin.substr(0, 1) ||
            cursor.key().substr(0, prefix_bytes) >= end)
            break;
        found.emplace_back(cursor.key());
    }
    return found;
}

// Ages for some records of a table, in one transaction; the key to go on after, empty at the end.
Result<std::string> mend_some(LmdbEnvironment& environment, Table table, const std::string& after) {
    WriteTransaction writing(environment);
    std::vector<std::string> ages;
    if (writing.status() == MDB_SUCCESS) {
        Cursor cursor(writing.get(), environment.database(table));
        bool more = cursor.seek(after);
        if (more && cursor.key() == after) more = cursor.next();
        for (; more && ages.size() < mended_per_transaction; more = cursor.next())
            ages.push_back(age_of(writing, table, cursor.key(), cursor.value()));
    }
    for (const auto& age : ages) writing.put(Table::age, age, "");
    if (const int code = writing.commit(); code != MDB_SUCCESS)
        return tl::make_unexpected(lmdb_error(code, "cache: note the ages of records"));
    return ages.empty() ? std::string() : ages.back().substr(prefix_bytes);
}

}  // namespace

WallTime confirmed_at(std::string_view record) {
    // A quote within a JSON text is escaped, so this cannot be found inside one.
    for (const std::string_view name : {"\"measured_at\":", "\"learned_at\":"}) {
        const auto at = record.rfind(name);
        if (at == std::string_view::npos) continue;
        const auto digits = record.substr(at + name.size());
        std::int64_t milliseconds = 0;
        std::from_chars(digits.data(), digits.data() + digits.size(), milliseconds);
        return WallTime{std::chrono::milliseconds{milliseconds}};
    }
    return WallTime{};
}

void put_record(WriteTransaction& writing, Table table, std::string_view key,
                std::string_view value) {
    const auto known = writing.find(table, key);
    const auto from = known ? age_of(writing, table, key, *known) : std::string();
    const auto was = known ? confirmed_at(*known) : WallTime{};
    // LMDB's views of the file end here, with the first change.
    move_age(writing, from, age_of(writing, table, key, value));
    if (table == Table::next_hop && writing.find(Table::report, key))
        move_age(writing, age_key(Table::report, was, key),
                 age_key(Table::report, confirmed_at(value), key));
    writing.put(table, key, value);
}

bool remove_record(WriteTransaction& writing, Table table, std::string_view key) {
    const auto known = writing.find(table, key);
    if (!known) return false;
    const auto age = age_of(writing, table, key, *known);
    if (table == Table::next_hop) remove_record(writing, Table::report, key);
    move_age(writing, age, {});
    return writing.remove(table, key);
}

std::uint64_t remove_oldest(WriteTransaction& writing, Table table, std::uint64_t most,
                            WallTime before) {
    std::uint64_t removed = 0;
    for (const auto& age : first_ages(writing, table, most, before)) {
        const auto key = std::string_view(age).substr(prefix_bytes);
        const auto value = writing.find(table, key);
        // A version that kept no ages may have changed the record.
        if (!value || age_of(writing, table, key, *value) != age)
            writing.remove(Table::age, age);
        else
            removed += remove_record(writing, table, key) ? 1 : 0;
    }
    return removed;
}

Result<void> mend_ages(LmdbEnvironment& environment) {
    std::uint64_t records = 0;
    {
        WriteTransaction looking(environment);
        for (const auto table : aged_tables) records += looking.entries(table);
        if (looking.status() == MDB_SUCCESS && looking.entries(Table::age) == records) return {};
        looking.clear(Table::age);
        if (const int code = looking.commit(); code != MDB_SUCCESS)
            return tl::make_unexpected(lmdb_error(code, "cache: look at the ages of records"));
    }
    if (records > 0) log::info("cache: the ages of {} records are noted", records);
    for (const auto table : aged_tables) {
        std::string after;
        do {
            auto done = mend_some(environment, table, after);
            if (!done) return tl::make_unexpected(done.error());
            after = std::move(*done);
        } while (!after.empty());
    }
    return {};
}

std::uint64_t entries(const ReadTransaction& snapshot, Table table) {
    MDB_stat found{};
    mdb_stat(snapshot.get(), snapshot.environment().database(table), &found);
    return found.ms_entries;
}

}  // namespace postfathom
