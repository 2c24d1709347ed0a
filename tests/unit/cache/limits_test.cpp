// SPDX-License-Identifier: Apache-2.0
// The cache stays within its bounds, and what was confirmed longest ago makes room.
#include <doctest/doctest.h>

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
    CHECK((*writer)->remove_older_than(sample::at(1004)) == 5);
    CHECK_FALSE((*writer)->next_hop(name(3)));
    CHECK((*writer)->next_hop(name(4)));
    CHECK_FALSE((*writer)->report(name(0)));
    CHECK_FALSE((*writer)->route("old.example"));
    CHECK((*writer)->route("new.example"));
    CHECK((*writer)->remove_older_than(sample::at(1004)) == 0);
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
