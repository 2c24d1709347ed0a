// SPDX-License-Identifier: Apache-2.0
#include "lib/cache/eviction.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <tuple>
#include <utility>

namespace postfathom {
namespace {

struct Aged {
    WallTime confirmed;
    std::string key;
};

std::vector<Aged> ages(const ReadTransaction& snapshot, Table table) {
    std::vector<Aged> found;
    found.reserve(entries(snapshot, table));
    Cursor cursor(snapshot.get(), snapshot.environment().database(table));
    for (bool more = cursor.seek({}); more; more = cursor.next()) {
        auto record = cursor.value();
        if (table == Table::report)
            record = snapshot.find(Table::next_hop, cursor.key()).value_or(std::string_view{});
        found.push_back({confirmed_at(record), std::string(cursor.key())});
    }
    return found;
}

std::vector<std::string> keys(std::vector<Aged>& records) {
    std::vector<std::string> found;
    found.reserve(records.size());
    for (auto& record : records) found.push_back(std::move(record.key));
    // In key order neighbours share pages, so that their removal changes fewer of them.
    std::sort(found.begin(), found.end());
    return found;
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

std::vector<std::string> oldest(const ReadTransaction& snapshot, Table table, std::uint64_t count) {
    if (count == 0) return {};
    auto found = ages(snapshot, table);
    if (count < found.size()) {
        const auto end = found.begin() + static_cast<std::ptrdiff_t>(count);
        std::nth_element(found.begin(), end, found.end(), [](const Aged& a, const Aged& b) {
            return std::tie(a.confirmed, a.key) < std::tie(b.confirmed, b.key);
        });
        found.erase(end, found.end());
    }
    return keys(found);
}

std::vector<std::string> older_than(const ReadTransaction& snapshot, Table table, WallTime before) {
    auto found = ages(snapshot, table);
    std::erase_if(found, [before](const Aged& record) { return record.confirmed >= before; });
    return keys(found);
}

std::uint64_t entries(const ReadTransaction& snapshot, Table table) {
    MDB_stat found{};
    mdb_stat(snapshot.get(), snapshot.environment().database(table), &found);
    return found.ms_entries;
}

}  // namespace postfathom
