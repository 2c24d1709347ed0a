// SPDX-License-Identifier: Apache-2.0
#include "lib/cache/lmdb_cache.hpp"

#include <doctest/doctest.h>
#include <sys/stat.h>

#include <atomic>
#include <thread>

#include "tests/unit/cache/sample.hpp"

namespace postfathom {
namespace {

std::unique_ptr<CacheWriter> open_writer(const sample::Directory& directory) {
    auto writer = open_cache_for_writing(directory.path(), {});
    REQUIRE_MESSAGE(writer, (writer ? "" : writer.error().message));
    return std::move(*writer);
}

CacheChange one_probe() {
    CacheChange change;
    change.next_hops = {sample::next_hop("example.org")};
    change.endpoints = {{sample::endpoint(), sample::black_hole(), {"example.org"}},
                        {sample::endpoint("2001:db8::1"), sample::healthy(), {"example.org"}}};
    change.paths = {sample::path("192.0.2.7", "192.0.2.1"), sample::path("192.0.2.8", "192.0.2.1"),
                    sample::path("192.0.2.7", "192.0.2.10")};
    change.routes = {sample::route("example.com")};
    change.reports = {{"example.org", R"({"schema":1})"}};
    return change;
}

}  // namespace

TEST_CASE("what was stored is found, by the writer and by a reader, and after a restart") {
    const sample::Directory directory;
    const auto change = one_probe();
    const auto check = [&change](const CacheReader& cache) {
        CHECK(cache.next_hop("example.org") == change.next_hops[0]);
        CHECK_FALSE(cache.next_hop("example.net"));
        CHECK_FALSE(cache.next_hop(""));
        CHECK_FALSE(cache.next_hop(std::string(5000, 'x')));
        CHECK(cache.route("example.com") == change.routes[0]);
        CHECK(cache.report("example.org") == R"({"schema":1})");
        CHECK(cache.endpoint(sample::endpoint().address, 25) == change.endpoints[0]);
        CHECK_FALSE(cache.endpoint(sample::endpoint().address, 587));
        CHECK(cache.endpoint(sample::endpoint("2001:db8::1").address, 25) == change.endpoints[1]);
        // A longer address or port that starts alike is another one.
        CHECK(cache.endpoints_at(sample::endpoint("192.0.2.11").address).empty());
        CHECK_FALSE(cache.endpoint(sample::endpoint().address, 2));
        CHECK(cache.paths(sample::endpoint().address).size() == 2);
        CHECK(cache.paths(sample::endpoint("192.0.2.10").address).size() == 1);
        const auto counters = cache.counters();
        CHECK(counters.next_hops == 1);
        CHECK(counters.endpoints == 2);
        CHECK(counters.paths == 3);
        CHECK(counters.routes == 1);
        CHECK(counters.bytes_used > 0);
        CHECK(counters.bytes_limit == CacheLimits{}.bytes);
        CHECK(counters.unreadable == 0);
    };
    {
        auto writer = open_writer(directory);
        REQUIRE(writer->store(change));
        check(*writer);
        check(*open_cache_for_reading(directory.path()));
    }
    check(*open_cache_for_reading(directory.path()));
    check(*open_writer(directory));
}

TEST_CASE("the worst verdict of an address counts, whatever the server name") {
    const sample::Directory directory;
    auto writer = open_writer(directory);
    auto unwell = sample::black_hole();
    unwell.severity = Severity::warning;
    CacheChange change;
    change.endpoints = {
        {sample::endpoint("192.0.2.1", 25, "a.example"), sample::healthy(2'000'000'000), {}},
        {sample::endpoint("192.0.2.1", 25, "b.example"), unwell, {}},
        {sample::endpoint("192.0.2.1", 25, ""), sample::healthy(), {}},
        {sample::endpoint("192.0.2.1", 587, "c.example"), sample::black_hole(), {}}};
    REQUIRE(writer->store(change));
    const auto address = sample::endpoint().address;
    CHECK(writer->endpoint(address, 25) == change.endpoints[1]);
    CHECK(writer->endpoints_at(address).size() == 4);
}

TEST_CASE("a reader finds a cache that comes later, within about a second") {
    const sample::Directory directory;
    const auto reader = open_cache_for_reading(directory.path() / "cache");
    CHECK_FALSE(reader->next_hop("example.org"));
    CHECK(reader->counters().next_hops == 0);
    std::filesystem::create_directory(directory.path() / "cache");
    auto writer = open_cache_for_writing(directory.path() / "cache", {});
    REQUIRE(writer);
    REQUIRE((*writer)->store(one_probe()));
    // Same process: the reader shares the writer's map at once.
    CHECK(reader->next_hop("example.org"));
    writer->reset();
    CHECK(reader->next_hop("example.org"));
}

TEST_CASE("the way of mail is the route with its next hop's verdict, always the latest") {
    const sample::Directory directory;
    auto writer = open_writer(directory);
    const auto reader = open_cache_for_reading(directory.path());
    CHECK_FALSE(reader->way("example.com"));
    CacheChange change;
    change.routes = {sample::route("example.com")};
    REQUIRE(writer->store(change));
    const auto unknown = KnownWay{"[mail.example.org]", std::nullopt};
    CHECK(reader->way("example.com") == unknown);
    CHECK(reader->way("example.com") == unknown);
    CHECK_FALSE(reader->way("xample.com"));
    CHECK_FALSE(reader->way(""));
    for (int i = 0; i < 5; ++i) {
        const auto verdict = i % 2 == 0 ? sample::black_hole(1000 + i) : sample::healthy(1000 + i);
        change.next_hops = {sample::next_hop("[mail.example.org]", verdict)};
        REQUIRE(writer->store(change));
        const KnownWay known{"[mail.example.org]", verdict};
        for (int again = 0; again < 3; ++again) CHECK(reader->way("example.com") == known);
    }
    // The same through another map, whose transactions have numbers of their own.
    writer.reset();
    CHECK(reader->way("example.com")->verdict == sample::black_hole(1004));
    std::filesystem::remove(directory.path() / "data.mdb");
    writer = open_writer(directory);
    CHECK_FALSE(reader->way("example.com"));
    REQUIRE(writer->store(change));
    CHECK(reader->way("example.com")->verdict == sample::black_hole(1004));
    REQUIRE(writer->forget("[mail.example.org]"));
    CHECK(reader->way("example.com") == unknown);
    CacheChange gone;
    gone.lost_routes = {"example.com", "never.example"};
    REQUIRE(writer->store(gone));
    CHECK_FALSE(reader->way("example.com"));
    CHECK(writer->counters().routes == 0);
}

TEST_CASE("ways are right when there are more, and longer ones, than are remembered") {
    const sample::Directory directory;
    auto writer = open_writer(directory);
    CacheChange change;
    const auto domain = [](int i) {
        return std::string(static_cast<std::size_t>(i % 200), 'd') + std::to_string(i) + ".example";
    };
    constexpr int many = 3000;
    for (int i = 0; i < many; ++i) {
        auto route = sample::route(domain(i));
        route.next_hop = "h" + std::to_string(i) + ".example";
        change.next_hops.push_back(sample::next_hop(route.next_hop, sample::healthy(i)));
        change.routes.push_back(std::move(route));
    }
    REQUIRE(writer->store(change));
    for (int round = 0; round < 3; ++round)
        for (int i = 0; i < many; ++i) {
            const auto way = writer->way(domain(i));
            REQUIRE(way);
            CHECK(way->next_hop == change.routes[static_cast<std::size_t>(i)].next_hop);
            CHECK(way->verdict == sample::healthy(i));
        }
}

TEST_CASE("a second writer is refused, in words that name the first") {
    const sample::Directory directory;
    auto writer = open_writer(directory);
    const auto second = open_cache_for_writing(directory.path(), {});
    REQUIRE_FALSE(second);
    CHECK(second.error().code == ErrorCode::refused);
    CHECK(second.error().message.find(std::to_string(::getpid())) != std::string::npos);
    writer.reset();
    CHECK(open_cache_for_writing(directory.path(), {}));
}

TEST_CASE("a missing directory is an error that says what to do") {
    const sample::Directory directory;
    const auto writer = open_cache_for_writing(directory.path() / "none", {});
    REQUIRE_FALSE(writer);
    CHECK(writer.error().code == ErrorCode::not_found);
    CHECK(writer.error().message.find("install -d") != std::string::npos);
}

TEST_CASE("the files' modes let the group read, and write only the lock file, whatever the umask") {
    const sample::Directory directory;
    const auto before = ::umask(0077);
    auto writer = open_writer(directory);
    ::umask(before);
    struct stat status{};
    REQUIRE(::stat((directory.path() / "data.mdb").c_str(), &status) == 0);
    CHECK((status.st_mode & 0777) == 0640);
    REQUIRE(::stat((directory.path() / "lock.mdb").c_str(), &status) == 0);
    CHECK((status.st_mode & 0777) == 0660);
}

TEST_CASE("all next hops are visited in order, from any of them on") {
    const sample::Directory directory;
    auto writer = open_writer(directory);
    CacheChange change;
    for (int i = 0; i < 1000; ++i)
        change.next_hops.push_back(sample::next_hop("h" + std::to_string(10'000 + i) + ".example"));
    REQUIRE(writer->store(change));

    std::vector<std::string> seen;
    writer->for_each_next_hop("", [&seen](const NextHopRecord& record) {
        seen.push_back(record.next_hop);
        return true;
    });
    CHECK(seen.size() == 1000);
    CHECK(std::is_sorted(seen.begin(), seen.end()));
    CHECK(std::adjacent_find(seen.begin(), seen.end()) == seen.end());

    seen.clear();
    writer->for_each_next_hop("h10500.example", [&](const NextHopRecord& record) {
        seen.push_back(record.next_hop);
        // The visitor may change the cache: no snapshot is held meanwhile.
        CHECK(writer->forget(record.next_hop) == true);
        return seen.size() < 3;
    });
    CHECK(seen == std::vector<std::string>{"h10501.example", "h10502.example", "h10503.example"});
    CHECK(writer->counters().next_hops == 997);
}

TEST_CASE("a forgotten next hop takes its report and the endpoints that only it uses") {
    const sample::Directory directory;
    auto writer = open_writer(directory);
    auto change = one_probe();
    change.endpoints[0].next_hops = {"example.net", "example.org"};
    REQUIRE(writer->store(change));
    CHECK(writer->forget("example.net") == false);
    CHECK(writer->forget("example.org") == true);
    CHECK(writer->forget("example.org") == false);
    CHECK_FALSE(writer->next_hop("example.org"));
    CHECK_FALSE(writer->report("example.org"));
    const auto shared = writer->endpoint(sample::endpoint().address, 25);
    REQUIRE(shared);
    CHECK(shared->next_hops == std::vector<std::string>{"example.net"});
    CHECK_FALSE(writer->endpoint(sample::endpoint("2001:db8::1").address, 25));
}

TEST_CASE("a change is stored whole or not at all") {
    const sample::Directory directory;
    auto writer = open_writer(directory);
    auto change = one_probe();
    change.routes.push_back(sample::route(""));
    const auto stored = writer->store(change);
    REQUIRE_FALSE(stored);
    CHECK(stored.error().code == ErrorCode::invalid_input);
    CHECK(writer->counters().next_hops == 0);
}

TEST_CASE("threads look up while the writer stores, and see whole records only") {
    const sample::Directory directory;
    auto writer = open_writer(directory);
    REQUIRE(writer->store(one_probe()));
    const auto reader = open_cache_for_reading(directory.path());
    std::atomic<bool> stop{false};
    std::atomic<std::uint64_t> found{0};
    std::atomic<std::uint64_t> missed{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < 8; ++i)
        threads.emplace_back([&] {
            while (!stop) {
                const auto record = reader->next_hop("example.org");
                const auto endpoint = reader->endpoint(sample::endpoint().address, 25);
                ++(record && endpoint && reader->route("example.com") ? found : missed);
            }
        });
    for (int i = 0; i < 200; ++i) {
        auto change = one_probe();
        change.next_hops[0].verdict.measured_at += std::chrono::seconds(i);
        CHECK(writer->store(change));
    }
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (found < 1000 && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
    // Readers change over to an environment of their own without a miss.
    writer.reset();
    const auto so_far = found.load();
    while (found < so_far + 1000 && std::chrono::steady_clock::now() < deadline)
        std::this_thread::yield();
    stop = true;
    for (auto& thread : threads) thread.join();
    CHECK(found >= so_far + 1000);
    CHECK(missed == 0);
    CHECK(reader->counters().unreadable == 0);
}

}  // namespace postfathom
