// SPDX-License-Identifier: Apache-2.0
// A data file that LMDB must not see: it is set aside by the writer and counts as absent for
// readers.
#include <doctest/doctest.h>
#include <lmdb.h>

#include <fstream>
#include <random>

#include "lib/cache/lmdb_cache.hpp"
#include "lib/cache/lmdb_file.hpp"
#include "tests/unit/cache/sample.hpp"

namespace postfathom {
namespace {

namespace fs = std::filesystem;

std::vector<fs::path> set_aside_files(const fs::path& directory) {
    std::vector<fs::path> found;
    for (const auto& entry : fs::directory_iterator(directory))
        if (entry.path().filename().string().rfind("data.mdb.damaged-", 0) == 0)
            found.push_back(entry.path());
    return found;
}

// Some hundred next hops, and reports that need overflow pages; then some are removed, so that
// there are free pages.
void fill(const fs::path& directory) {
    auto writer = open_cache_for_writing(directory, {std::uint64_t{8} << 20, 1000});
    REQUIRE(writer);
    for (int round = 0; round < 10; ++round) {
        CacheChange change;
        for (int i = 0; i < 50; ++i) {
            const auto name = "h" + std::to_string(round * 50 + i) + ".example";
            change.next_hops.push_back(sample::next_hop(name));
            change.reports.push_back({name, std::string(static_cast<std::size_t>(i) * 300, 'r')});
        }
        REQUIRE((*writer)->store(change));
    }
    for (int i = 0; i < 100; ++i)
        REQUIRE((*writer)->forget("h" + std::to_string(i * 3) + ".example"));
}

void overwrite(const fs::path& file, std::uint64_t offset, const std::string& bytes) {
    std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
    stream.seekp(static_cast<std::streamoff>(offset));
    stream.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    REQUIRE(stream.good());
}

void check_replaced(const fs::path& directory) {
    const auto reader = open_cache_for_reading(directory);
    CHECK_FALSE(reader->next_hop("h1.example"));
    auto writer = open_cache_for_writing(directory, {});
    REQUIRE_MESSAGE(writer, (writer ? "" : writer.error().message));
    CHECK(set_aside_files(directory).size() == 1);
    CHECK((*writer)->counters().next_hops == 0);
    CacheChange change;
    change.next_hops = {sample::next_hop("example.org")};
    REQUIRE((*writer)->store(change));
    CHECK(reader->next_hop("example.org"));
}

}  // namespace

TEST_CASE("a sound file passes the check of all its pages") {
    const sample::Directory directory;
    fill(directory.path());
    const auto facts = check_lmdb_pages(directory.path() / "data.mdb");
    REQUIRE_MESSAGE(facts, (facts ? "" : facts.error().message));
    CHECK(facts->size >= std::uint64_t{8} << 20);
    CHECK(open_cache_for_writing(directory.path(), {}));
    CHECK(set_aside_files(directory.path()).empty());
}

TEST_CASE("a file that is not ours is set aside, an empty cache takes its place") {
    const sample::Directory directory;
    const auto file = directory.path() / "data.mdb";
    SUBCASE("text") { std::ofstream(file) << "hello"; }
    SUBCASE("binary") { std::ofstream(file) << std::string(100'000, '\xa5'); }
    SUBCASE("zeros") { std::ofstream(file) << std::string(100'000, '\0'); }
    SUBCASE("cut behind the first header page") {
        fill(directory.path());
        fs::resize_file(file, 4096);
    }
    SUBCASE("cut in the middle") {
        fill(directory.path());
        fs::resize_file(file, 200'000);
    }
    SUBCASE("header pages lost") {
        fill(directory.path());
        overwrite(file, 0, std::string(8192, '\0'));
    }
    SUBCASE("header with a page size of nothing") {
        fill(directory.path());
        overwrite(file, 16 + 24, std::string(4, '\0'));
    }
    SUBCASE("LMDB format of another time") {
        fill(directory.path());
        overwrite(file, 16 + 4, std::string("\x02\0\0\0", 4));
        overwrite(file, 4096 + 16 + 4, std::string("\x02\0\0\0", 4));
    }
    SUBCASE("another program's LMDB file") {
        MDB_env* environment = nullptr;
        MDB_txn* transaction = nullptr;
        MDB_dbi database{};
        MDB_val key{3, const_cast<char*>("key")};
        REQUIRE(mdb_env_create(&environment) == 0);
        REQUIRE(mdb_env_open(environment, directory.path().c_str(), 0, 0600) == 0);
        REQUIRE(mdb_txn_begin(environment, nullptr, 0, &transaction) == 0);
        REQUIRE(mdb_dbi_open(transaction, nullptr, 0, &database) == 0);
        REQUIRE(mdb_put(transaction, database, &key, &key, 0) == 0);
        REQUIRE(mdb_txn_commit(transaction) == 0);
        mdb_env_close(environment);
    }
    SUBCASE("a newer format of ours") {
        fill(directory.path());
        MDB_env* environment = nullptr;
        MDB_txn* transaction = nullptr;
        MDB_dbi database{};
        MDB_val key{6, const_cast<char*>("format")};
        MDB_val value{1, const_cast<char*>("2")};
        REQUIRE(mdb_env_create(&environment) == 0);
        REQUIRE(mdb_env_set_maxdbs(environment, 8) == 0);
        REQUIRE(mdb_env_open(environment, directory.path().c_str(), 0, 0600) == 0);
        REQUIRE(mdb_txn_begin(environment, nullptr, 0, &transaction) == 0);
        REQUIRE(mdb_dbi_open(transaction, "meta", 0, &database) == 0);
        REQUIRE(mdb_put(transaction, database, &key, &value, 0) == 0);
        REQUIRE(mdb_txn_commit(transaction) == 0);
        mdb_env_close(environment);
    }
    const auto size = fs::file_size(file);
    check_replaced(directory.path());
    CHECK(fs::file_size(set_aside_files(directory.path()).at(0)) == size);
}

TEST_CASE("a cache whose files were removed under the writer is begun anew, and readers follow") {
    const sample::Directory directory;
    fill(directory.path());
    auto writer = open_cache_for_writing(directory.path(), {});
    REQUIRE(writer);
    CHECK((*writer)->next_hop("h1.example"));
    fs::remove(directory.path() / "data.mdb");
    fs::remove(directory.path() / "lock.mdb");
    CacheChange change;
    change.next_hops = {sample::next_hop("new.example")};
    REQUIRE((*writer)->store(change));
    CHECK(fs::exists(directory.path() / "data.mdb"));
    CHECK((*writer)->next_hop("new.example"));
    CHECK_FALSE((*writer)->next_hop("h1.example"));
    writer->reset();
    CHECK(open_cache_for_reading(directory.path())->next_hop("new.example"));
}

TEST_CASE("a header overwritten under the writer is noticed at the next store") {
    const sample::Directory directory;
    fill(directory.path());
    auto writer = open_cache_for_writing(directory.path(), {});
    REQUIRE(writer);
    overwrite(directory.path() / "data.mdb", 0, std::string(8192, '\xa5'));
    CacheChange change;
    change.next_hops = {sample::next_hop("new.example")};
    REQUIRE((*writer)->store(change));
    CHECK((*writer)->next_hop("new.example"));
    CHECK_FALSE((*writer)->next_hop("h1.example"));
    CHECK(set_aside_files(directory.path()).size() == 1);
    writer->reset();
    CHECK(open_cache_for_reading(directory.path())->next_hop("new.example"));
}

// Removing what is old, and making room, look into other pages than a change of one record.
TEST_CASE("damage that is met while the oldest records are removed heals as well") {
    const sample::Directory directory;
    const auto file = directory.path() / "data.mdb";
    auto writer = open_cache_for_writing(directory.path(), {std::uint64_t{1} << 20, 100'000});
    REQUIRE(writer);
    CacheChange change;
    for (int i = 0; i < 4000; ++i) {
        change.next_hops = {sample::next_hop("h" + std::to_string(i) + ".example")};
        REQUIRE((*writer)->store(change));
    }
    REQUIRE((*writer)->counters().next_hops < 4000);
    // All leaves but that of the tables' names; LMDB's page header has its flags at byte 10, 2 is a
    // leaf.
    std::ifstream stream(file, std::ios::binary);
    std::string page(4096, '\0');
    int leaves = 0;
    for (std::uint64_t at = 0; stream.read(page.data(), 4096); at += 4096) {
        if (page[10] != 2 || page.find("client") != page.npos) continue;
        overwrite(file, at, std::string(4096, '\0'));
        ++leaves;
    }
    REQUIRE(leaves > 50);
    SUBCASE("by their age") { CHECK_FALSE((*writer)->remove_older_than(WallTime::max(), 10)); }
    SUBCASE("for room") { CHECK_FALSE((*writer)->store(change)); }
    REQUIRE((*writer)->store(change));
    CHECK((*writer)->next_hop("h3999.example"));
    CHECK_FALSE((*writer)->next_hop("h3998.example"));
    CHECK(set_aside_files(directory.path()).size() == 1);
}

TEST_CASE("a garbled lock file does not matter once its users are gone") {
    const sample::Directory directory;
    fill(directory.path());
    std::ofstream(directory.path() / "lock.mdb") << std::string(8192, '\x5a');
    auto writer = open_cache_for_writing(directory.path(), {});
    REQUIRE_MESSAGE(writer, (writer ? "" : writer.error().message));
    CHECK((*writer)->next_hop("h1.example"));
}

TEST_CASE("a file damaged at any place is set aside or readable, never the end of the process") {
    const sample::Directory origin;
    fill(origin.path());
    std::mt19937 random(7);  // NOLINT: the same damage every time
    int aside = 0;
    int sound = 0;
    for (int i = 0; i < 150; ++i) {
        CAPTURE(i);
        const sample::Directory directory;
        const auto file = directory.path() / "data.mdb";
        fs::copy_file(origin.path() / "data.mdb", file);
        const auto used = std::uint64_t{300} * 4096;
        if (i % 3 == 0)  // a whole page
            overwrite(file, random() % (used / 4096) * 4096,
                      std::string(4096, static_cast<char>(random())));
        else if (i % 3 == 1)  // the first bytes of a page
            overwrite(file, random() % (used / 4096) * 4096 + random() % 64,
                      std::string(1 + random() % 8, static_cast<char>(random())));
        else  // anywhere
            overwrite(file, random() % used,
                      std::string(1 + random() % 100, static_cast<char>(random())));
        auto writer = open_cache_for_writing(directory.path(), {});
        REQUIRE_MESSAGE(writer, (writer ? "" : writer.error().message));
        ++(set_aside_files(directory.path()).empty() ? sound : aside);
        for (int n = 0; n < 500; ++n) {
            const auto name = "h" + std::to_string(n) + ".example";
            (void)(*writer)->next_hop(name);
            (void)(*writer)->report(name);
        }
        CacheChange change;
        change.next_hops = {sample::next_hop("example.org")};
        REQUIRE((*writer)->store(change));
        CHECK((*writer)->next_hop("example.org"));
    }
    CHECK(aside > 0);
    CHECK(sound > 0);
}

}  // namespace postfathom
