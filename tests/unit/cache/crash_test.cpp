// SPDX-License-Identifier: Apache-2.0
// kill -9 of the writer and of readers at any moment: what was committed stays, and stays readable.
#include <doctest/doctest.h>
#include <sys/stat.h>

#include <chrono>
#include <cstring>
#include <random>
#include <thread>

#include "lib/cache/lmdb_cache.hpp"
#include "lib/cache/lmdb_file.hpp"
#include "lib/cache/shared_environment.hpp"
#include "tests/unit/cache/child.hpp"
#include "tests/unit/cache/sample.hpp"

namespace postfathom {
namespace {

std::string name(std::uint32_t number) { return "h" + std::to_string(number) + ".example"; }

// Stores numbered next hops from `first` on, and tells each number after its commit.
int store_forever(const std::filesystem::path& directory, std::uint32_t first, int report_to) {
    auto writer = open_cache_for_writing(directory, {});
    if (!writer) return 1;
    for (std::uint32_t number = first;; ++number) {
        CacheChange change;
        change.next_hops = {sample::next_hop(name(number), sample::healthy(number))};
        change.reports = {{name(number), std::string(number % 7000, 'r')}};
        if (!(*writer)->store(change)) return 2;
        if (::write(report_to, &number, sizeof number) != sizeof number) return 3;
        if (number % 5 == 4 && !(*writer)->forget(name(number - 2))) return 4;
    }
}

int look_forever(const std::filesystem::path& directory, int report_to) {
    const auto reader = open_cache_for_reading(directory);
    for (bool told = false;;) {
        const bool found = reader->next_hop(name(0)).has_value();
        if (found && !told) told = ::write(report_to, "x", 1) == 1;
        if (reader->counters().unreadable > 0) return 1;
    }
}

// Once `start` is stored, takes 900 places of the lock file at once and keeps them.
int hold_until_killed(const std::filesystem::path& directory, std::uint32_t start, int report_to) {
    const auto reader = open_cache_for_reading(directory);
    while (!reader->next_hop(name(start)))
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
    const auto environment = SharedEnvironment::of(directory);
    std::vector<ReadTransaction> places;
    while (places.size() < 900) {
        auto place = environment->read();
        if (!place) return 1;
        places.push_back(std::move(*place));
    }
    (void)!::write(report_to, "x", 1);
    ::pause();
    return 0;
}

}  // namespace

TEST_CASE("readers that died without a word leave room for the next") {
    const sample::Directory directory;
    // Forked before this process opens the cache, which a child must not share. There is room for
    // 1024 readers of all processes.
    const auto holder = [&](std::uint32_t start) {
        return [&directory, start](int report_to) {
            return hold_until_killed(directory.path(), start, report_to);
        };
    };
    Child first(holder(1));
    Child second(holder(2));
    Child third(holder(3));
    auto writer = open_cache_for_writing(directory.path(), {});
    REQUIRE(writer);
    const auto begin = [&](std::uint32_t number) {
        CacheChange change;
        change.next_hops = {sample::next_hop(name(number))};
        REQUIRE((*writer)->store(change));
    };
    begin(1);
    REQUIRE(first.wait_byte());
    first.kill();
    begin(2);  // needs the places of the first
    CHECK(second.wait_byte());
    second.kill();
    begin(3);
    CHECK(third.wait_byte());
}

TEST_CASE("the lock file has all its disk space, so that a full disk ends no reader") {
    const sample::Directory directory;
    REQUIRE(open_cache_for_writing(directory.path(), {}));
    struct stat status{};
    REQUIRE(::stat((directory.path() / "lock.mdb").c_str(), &status) == 0);
    CHECK(status.st_size > 1024 * 64);
    CHECK(status.st_blocks * 512 >= status.st_size);
}

TEST_CASE("fifty writers killed at random moments leave every committed record intact") {
    const sample::Directory directory;
    std::mt19937 random(50);  // NOLINT: the same moments every time, as far as the clock allows
    std::uint32_t next = 0;
    std::vector<std::uint32_t> committed;
    Child* reader = nullptr;
    std::unique_ptr<Child> reader_owner;
    for (int round = 0; round < 50; ++round) {
        CAPTURE(round);
        const auto first = next;
        Child writer(
            [&](int report_to) { return store_forever(directory.path(), first, report_to); });
        REQUIRE(writer.wait_byte());
        // The moment may fall anywhere in a store, which takes about a millisecond.
        std::this_thread::sleep_for(std::chrono::microseconds(random() % 8000));
        writer.kill();
        auto numbers = writer.drain();
        numbers.insert(0, 1, '\0');  // the byte that was waited for is in the first number
        std::memcpy(numbers.data(), &first, 1);
        for (std::size_t at = 0; at + sizeof next <= numbers.size(); at += sizeof next) {
            std::memcpy(&next, numbers.data() + at, sizeof next);
            committed.push_back(next++);
        }
        next += 10;  // a store that was committed but not told is not counted on
        // A reader that is killed as well, every ninth round, in the middle of lookups.
        if (round % 9 == 0) {
            reader_owner = std::make_unique<Child>(
                [&](int report_to) { return look_forever(directory.path(), report_to); });
            reader = reader_owner.get();
            REQUIRE(reader->wait_byte());
        }
        if (round % 9 == 4 && reader != nullptr) reader->kill();

        const auto pages = check_lmdb_pages(directory.path() / "data.mdb");
        REQUIRE_MESSAGE(pages, (pages ? "" : pages.error().message));
    }
    auto writer = open_cache_for_writing(directory.path(), {});
    REQUIRE(writer);
    CHECK(committed.size() >= 50);
    for (const auto number : committed) {
        CAPTURE(number);
        const auto record = (*writer)->next_hop(name(number));
        const auto report = (*writer)->report(name(number));
        // Every fifth store forgot the one two before it; the last such may or may not have
        // happened.
        const bool may_be_forgotten = number % 5 == 2;
        CHECK(record.has_value() == report.has_value());
        if (!may_be_forgotten) REQUIRE(record);
        if (record) {
            CHECK(*record == sample::next_hop(name(number), sample::healthy(number)));
            CHECK(report->size() == number % 7000);
        }
    }
    CHECK((*writer)->counters().unreadable == 0);
    for (const auto& entry : std::filesystem::directory_iterator(directory.path()))
        CHECK(entry.path().filename().string().find("damaged") == std::string::npos);
}

}  // namespace postfathom
