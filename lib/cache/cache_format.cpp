// SPDX-License-Identifier: Apache-2.0
#include "lib/cache/cache_format.hpp"

#include <fmt/format.h>

#include <charconv>
#include <cstring>

#include "lib/base/text.hpp"

namespace postfathom {

Result<void> check_format(const ReadTransaction& snapshot, const std::filesystem::path& file) {
    const auto magic = snapshot.find(Table::meta, "magic");
    if (magic != cache_magic)
        return fail(ErrorCode::corrupt,
                    fmt::format("{}: an LMDB file that is not Postfathom's", file.string()));
    const auto format = snapshot.find(Table::meta, "format");
    if (format != cache_format)
        return fail(ErrorCode::corrupt,
                    fmt::format("{}: expected cache format {}, found {}", file.string(),
                                cache_format, printable(format.value_or("none"), 32)));
    return {};
}

std::uint64_t noted_max_bytes(const ReadTransaction& snapshot) {
    std::uint64_t bytes = 0;
    const auto text = snapshot.find(Table::meta, "max_bytes").value_or("");
    const auto parsed = std::from_chars(text.data(), text.data() + text.size(), bytes);
    return parsed.ec == std::errc{} ? bytes : 0;
}

std::uint64_t bytes_used(MDB_env* environment, MDB_txn* transaction) {
    constexpr MDB_dbi free_pages =
        0;  // LMDB's own database of free pages: each value starts with how many
    MDB_envinfo facts{};
    MDB_stat statistics{};
    if (mdb_env_info(environment, &facts) != MDB_SUCCESS ||
        mdb_env_stat(environment, &statistics) != MDB_SUCCESS)
        return 0;
    std::uint64_t pages = facts.me_last_pgno + 1;
    Cursor cursor(transaction, free_pages);
    for (bool more = cursor.seek({}); more; more = cursor.next()) {
        std::uint64_t count = 0;
        if (cursor.value().size() >= sizeof count)
            std::memcpy(&count, cursor.value().data(), sizeof count);
        pages -= std::min(pages, count);
    }
    return pages * statistics.ms_psize;
}

}  // namespace postfathom
