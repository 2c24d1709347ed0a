// SPDX-License-Identifier: Apache-2.0
// The cache stays within its bounds, and what was confirmed longest ago makes room.
#include <doctest/doctest.h>
#include <lmdb.h>

#include "lib/cache/eviction.hpp"
#include "lib/cache/lmdb_cache.hpp"
#include "lib/cache/record_codec.hpp"
#include "tests/unit/cache/sample.hpp"

namespace postfathom {
namespace {

std::string name(int number) { return "h" + std::to_string(number) + ".example"; }

}  // namespace

TEST_CASE("the age of a record is known without parsing it") {
    CHECK(confirmed_at(encode(sample::next_hop("example.org", sample::healthy(1234)))) ==
          sample::at(1234));
    CHECK(confirmed_at(encode(sample::route("example.org", 77))) == sample::at(77));
    auto route = sample::route("example.org", 77);
    route.verbatim = R"("learned_at":999)";
    route.transport = R"("measured_at":999)";
    CHECK(confirmed_at(encode(route)) == sample::at(77));
    CHECK(confirmed_at("") == WallTime{});
    CHECK(confirmed_at("\"measured_at\":") == WallTime{});
}

TEST_CASE("beyond the number of entries the oldest go, with their reports") {
    const sample::Directory directory;
    auto writer = open_cache_for_writing(directory.path(), {std::uint64_t{16} << 20, 160});
    REQUIRE(writer);
    for (int i = 0; i < 1000; ++i) {
        CacheChange change;
        // Stored in one order, confirmed in another: the odd ones are the older half.
        change.next_hops = {
            sample::next_hop(name(i), sample::healthy(i % 2 == 0 ? 1'000'000 + i : 1000 + i))};
        change.routes = {sample::route(name(i), 1000 + i)};
        change.reports = {{name(i), "{}"}};
        REQUIRE((*writer)->store(change));
        CHECK((*writer)->counters().next_hops <= 160);
    }
    CHECK((*writer)->counters().next_hops >= 150);
    CHECK((*writer)->counters().routes == 1000);
    for (int i = 990; i < 1000; i += 2) {
        CHECK((*writer)->next_hop(name(i)));
        CHECK((*writer)->report(name(i)));
    }
    CHECK_FALSE((*writer)->next_hop(name(1)));
    CHECK_FALSE((*writer)->report(name(1)));
    CHECK_FALSE((*writer)->next_hop(name(2)));
}

TEST_CASE("beyond the number of bytes reports go first, and every store succeeds") {
    const sample::Directory directory;
    const CacheLimits limits{std::uint64_t{4} << 20, 100'000};
    auto writer = open_cache_for_writing(directory.path(), limits);
    REQUIRE(writer);
    for (int i = 0; i < 3000; ++i) {
        CacheChange change;
        change.next_hops = {sample::next_hop(name(i), sample::healthy(1000 + i))};
        change.reports = {{name(i), std::string(6000, 'r')}};
        const auto stored = (*writer)->store(change);
        REQUIRE_MESSAGE(stored, (stored ? "" : stored.error().message));
    }
    const auto counters = (*writer)->counters();
    CHECK(counters.bytes_used <= limits.bytes + limits.bytes / 4);
    CHECK(counters.next_hops > 2000);
    CHECK((*writer)->next_hop(name(2999)));
    CHECK((*writer)->report(name(2999)));
    CHECK_FALSE((*writer)->report(name(0)));
}

TEST_CASE("one change larger than the cache is an error, and the cache goes on") {
    const sample::Directory directory;
    auto writer = open_cache_for_writing(directory.path(), {std::uint64_t{1} << 20, 1000});
    REQUIRE(writer);
    CacheChange large;
    for (int i = 0; i < 12; ++i) large.reports.push_back({name(i), std::string(900'000, 'r')});
    const auto stored = (*writer)->store(large);
    REQUIRE_FALSE(stored);
    CHECK(stored.error().code == ErrorCode::full);
    CHECK(stored.error().message.find("cache.max_bytes") != std::string::npos);
    CacheChange small;
    small.next_hops = {sample::next_hop("example.org")};
    REQUIRE((*writer)->store(small));
    CHECK((*writer)->next_hop("example.org"));
}

TEST_CASE("old records can be removed by age") {
    const sample::Directory directory;
    auto writer = open_cache_for_writing(directory.path(), {});
    REQUIRE(writer);
    CacheChange change;
    for (int i = 0; i < 10; ++i)
        change.next_hops.push_back(sample::next_hop(name(i), sample::healthy(1000 + i)));
    change.reports = {{name(0), "{}"}};
    change.routes = {sample::route("old.example", 5), sample::route("new.example", 5000)};
    REQUIRE((*writer)->store(change));
    CHECK((*writer)->remove_older_than(sample::at(1004), 2) == 3);  // two next hops and a route
    CHECK_FALSE((*writer)->next_hop(name(1)));
    CHECK((*writer)->next_hop(name(2)));
    CHECK((*writer)->remove_older_than(sample::at(1004), 100) == 2);
    CHECK_FALSE((*writer)->next_hop(name(3)));
    CHECK((*writer)->next_hop(name(4)));
    CHECK_FALSE((*writer)->report(name(0)));
    CHECK_FALSE((*writer)->route("old.example"));
    CHECK((*writer)->route("new.example"));
    CHECK((*writer)->remove_older_than(sample::at(1004), 100) == 0);
}

TEST_CASE("what is confirmed again, forgotten or stored anew has the age it was given last") {
    const sample::Directory directory;
    auto writer = open_cache_for_writing(directory.path(), {});
    REQUIRE(writer);
    const auto put = [&](int number, std::int64_t at) {
        CacheChange change;
        change.next_hops = {sample::next_hop(name(number), sample::healthy(at))};
        change.reports = {{name(number), "{}"}};
        REQUIRE((*writer)->store(change));
    };
    for (int i = 0; i < 6; ++i) put(i, 1000 + i);
    CacheChange without_report;
    without_report.next_hops = {sample::next_hop(name(0), sample::healthy(5000))};
    REQUIRE((*writer)->store(without_report));
    put(1, 5001);
    REQUIRE((*writer)->forget(name(2)) == true);
    put(2, 5002);
    put(3, 500);  // an earlier time, as from a clock that was wrong
    CHECK((*writer)->remove_older_than(sample::at(600), 100) == 1);
    CHECK_FALSE((*writer)->report(name(3)));
    CHECK((*writer)->remove_older_than(sample::at(4000), 100) == 2);
    for (int i = 0; i < 3; ++i) {
        CHECK((*writer)->next_hop(name(i)));
        CHECK((*writer)->report(name(i)));
    }
    CHECK((*writer)->counters().next_hops == 3);
}

TEST_CASE("a cache of a version that kept no ages is read, and its oldest go first") {
    const sample::Directory directory;
    const CacheLimits limits{std::uint64_t{16} << 20, 160};
    {
        auto writer = open_cache_for_writing(directory.path(), limits);
        REQUIRE(writer);
        CacheChange change;
        for (int i = 0; i < 150; ++i) {
            change.next_hops.push_back(sample::next_hop(name(i), sample::healthy(2000 - i)));
            change.reports.push_back({name(i), "{}"});
        }
        REQUIRE((*writer)->store(change));
    }
    MDB_env* environment = nullptr;
    MDB_txn* transaction = nullptr;
    MDB_dbi ages{};
    REQUIRE(mdb_env_create(&environment) == MDB_SUCCESS);
    REQUIRE(mdb_env_set_maxdbs(environment, 8) == MDB_SUCCESS);
    REQUIRE(mdb_env_open(environment, directory.path().c_str(), 0, 0600) == MDB_SUCCESS);
    REQUIRE(mdb_txn_begin(environment, nullptr, 0, &transaction) == MDB_SUCCESS);
    REQUIRE(mdb_dbi_open(transaction, "age", 0, &ages) == MDB_SUCCESS);
    REQUIRE(mdb_drop(transaction, ages, 1) == MDB_SUCCESS);
    REQUIRE(mdb_txn_commit(transaction) == MDB_SUCCESS);
    mdb_env_close(environment);

    CHECK(open_cache_for_reading(directory.path())->next_hop(name(149)));
    auto writer = open_cache_for_writing(directory.path(), limits);
    REQUIRE(writer);
    CHECK((*writer)->counters().next_hops == 150);
    CacheChange change;
    for (int i = 150; i < 170; ++i)
        change.next_hops.push_back(sample::next_hop(name(i), sample::healthy(3000)));
    REQUIRE((*writer)->store(change));
    CHECK((*writer)->counters().next_hops == 160);
    CHECK_FALSE((*writer)->next_hop(name(149)));
    CHECK_FALSE((*writer)->report(name(140)));
    CHECK((*writer)->next_hop(name(139)));
}

TEST_CASE("a cache far beyond a smaller limit shrinks with each store, a little at a time") {
    const sample::Directory directory;
    {
        auto writer = open_cache_for_writing(directory.path(), {std::uint64_t{16} << 20, 1000});
        REQUIRE(writer);
        CacheChange change;
        for (int i = 0; i < 1000; ++i)
            change.next_hops.push_back(sample::next_hop(name(i), sample::healthy(1000 + i)));
        REQUIRE((*writer)->store(change));
    }
    auto writer = open_cache_for_writing(directory.path(), {std::uint64_t{16} << 20, 100});
    REQUIRE(writer);
    std::uint64_t before = 1000;
    int stores = 0;
    while ((*writer)->counters().next_hops > 100) {
        REQUIRE(++stores < 100);
        CacheChange change;
        change.next_hops = {sample::next_hop(name(999), sample::healthy(3000))};
        REQUIRE((*writer)->store(change));
        const auto left = (*writer)->counters().next_hops;
        CHECK(left < before);
        CHECK(before - left <= 64);
        before = left;
    }
    CHECK((*writer)->next_hop(name(999)));
    CHECK((*writer)->next_hop(name(900)));
    CHECK_FALSE((*writer)->next_hop(name(899)));
}

TEST_CASE("a smaller limit after a restart is kept, a larger one is used") {
    const sample::Directory directory;
    const auto fill = [&directory](std::uint64_t bytes, int first) {
        auto writer = open_cache_for_writing(directory.path(), {bytes, 100'000});
        REQUIRE(writer);
        for (int i = first; i < first + 500; ++i) {
            CacheChange change;
            change.next_hops = {sample::next_hop(name(i), sample::healthy(1000 + i))};
            change.reports = {{name(i), std::string(10'000, 'r')}};
            const auto stored = (*writer)->store(change);
            REQUIRE_MESSAGE(stored, (stored ? "" : stored.error().message));
        }
        return (*writer)->counters();
    };
    CHECK(fill(std::uint64_t{16} << 20, 0).bytes_used > std::uint64_t{5} << 20);
    CHECK(fill(std::uint64_t{2} << 20, 500).bytes_used < std::uint64_t{3} << 20);
    CHECK(fill(std::uint64_t{32} << 20, 1000).bytes_used > std::uint64_t{5} << 20);
}

}  // namespace postfathom
