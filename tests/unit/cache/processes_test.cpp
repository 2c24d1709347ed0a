// SPDX-License-Identifier: Apache-2.0
// A writer in one process and readers in others, of other users too.
#include <doctest/doctest.h>
#include <grp.h>
#include <sys/stat.h>

#include <chrono>
#include <filesystem>
#include <thread>

#include "lib/cache/lmdb_cache.hpp"
#include "tests/unit/cache/child.hpp"
#include "tests/unit/cache/sample.hpp"

namespace postfathom {
namespace {

CacheChange change_of(const std::string& next_hop, std::size_t report_bytes = 10) {
    CacheChange change;
    change.next_hops = {sample::next_hop(next_hop)};
    change.reports = {{next_hop, std::string(report_bytes, 'r')}};
    return change;
}

template <typename Condition>
bool within_seconds(int seconds, Condition holds) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
    while (std::chrono::steady_clock::now() < deadline) {
        if (holds()) return true;
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return false;
}

// 0 when all of `next_hops` were found, one after the other, each telling the parent.
int find_each(const std::filesystem::path& directory, const std::vector<std::string>& next_hops,
              int report_to) {
    const auto reader = open_cache_for_reading(directory);
    (void)!::write(report_to, "0", 1);
    for (const auto& next_hop : next_hops) {
        if (!within_seconds(10, [&] { return reader->next_hop(next_hop).has_value(); })) return 1;
        (void)!::write(report_to, "x", 1);
    }
    return 0;
}

}  // namespace

TEST_CASE("a reader in another process follows creation, restart, growth and replacement") {
    const sample::Directory directory;
    Child reader([&](int report_to) {
        return find_each(directory.path(),
                         {"created.example", "stored.example", "grown.example", "anew.example"},
                         report_to);
    });
    REQUIRE(reader.wait_byte());
    {
        auto writer = open_cache_for_writing(directory.path(), {std::uint64_t{1} << 20, 1000});
        REQUIRE(writer);
        REQUIRE((*writer)->store(change_of("created.example")));
        CHECK(reader.wait_byte());
        REQUIRE((*writer)->store(change_of("stored.example")));
        CHECK(reader.wait_byte());
    }
    {
        // More than the map the reader has: MDB_MAP_RESIZED there.
        auto writer = open_cache_for_writing(directory.path(), {std::uint64_t{32} << 20, 1000});
        REQUIRE(writer);
        for (int i = 0; i < 20; ++i)
            REQUIRE((*writer)->store(change_of("r" + std::to_string(i) + ".example", 900'000)));
        REQUIRE((*writer)->store(change_of("grown.example")));
        CHECK(reader.wait_byte());
    }
    // Damage that the reader's pages do not show, but the writer's start does.
    std::filesystem::copy_file(directory.path() / "data.mdb", directory.path() / "copy");
    std::filesystem::resize_file(directory.path() / "copy", 100'000);
    std::filesystem::rename(directory.path() / "copy", directory.path() / "data.mdb");
    auto writer = open_cache_for_writing(directory.path(), {});
    REQUIRE(writer);
    CHECK((*writer)->counters().next_hops == 0);
    REQUIRE((*writer)->store(change_of("anew.example")));
    CHECK(reader.wait_byte());
    CHECK(reader.wait() == 0);
}

TEST_CASE("a reader of the directory's group reads; one outside it finds nothing and stays calm") {
    if (::geteuid() != 0) {
        MESSAGE("skipped: needs root to become another user");
        return;
    }
    constexpr gid_t group = 54'321;
    const sample::Directory directory;
    REQUIRE(::chown(directory.path().c_str(), 0, group) == 0);
    REQUIRE(::chmod(directory.path().c_str(), 0750) == 0);
    auto writer = open_cache_for_writing(directory.path(), {});
    REQUIRE(writer);
    REQUIRE((*writer)->store(change_of("example.org")));

    const auto look_as = [&](gid_t as) {
        Child child([&](int) {
            if (::setgroups(0, nullptr) != 0 || ::setgid(as) != 0 || ::setuid(54'322) != 0)
                return 9;
            const auto reader = open_cache_for_reading(directory.path());
            return reader->next_hop("example.org") ? 1 : 2;
        });
        const auto status = child.wait();
        return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    };
    writer->reset();  // this process's environment must not be taken along by fork
    CHECK(look_as(group) == 1);
    CHECK(look_as(54'399) == 2);
}

TEST_CASE("a second writer in another process is refused until the first is gone") {
    const sample::Directory directory;
    Child first([&](int report_to) {
        auto writer = open_cache_for_writing(directory.path(), {});
        (void)!::write(report_to, "x", 1);
        ::pause();
        return writer ? 0 : 1;
    });
    REQUIRE(first.wait_byte());
    const auto refused = open_cache_for_writing(directory.path(), {});
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == ErrorCode::refused);
    first.kill();
    CHECK(open_cache_for_writing(directory.path(), {}));
}

}  // namespace postfathom
