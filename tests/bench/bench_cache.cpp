// SPDX-License-Identifier: Apache-2.0
// The cache with very many destinations: what they take on the disk, how long lookups and stores
// take, also while another process stores, and what happens beyond its limits.
//   bench_cache [--destinations 1000000] [--lookups 300000] [--stores 3000]
// Exit status 1 when something went that should have stayed, or stayed that should have gone.
#include <algorithm>
#include <charconv>
#include <chrono>
#include <memory>
#include <random>
#include <string_view>

#include "lib/cache/record_codec.hpp"
#include "tests/bench/child.hpp"
#include "tests/bench/filled_cache.hpp"
#include "tests/bench/row.hpp"

namespace postfathom {
namespace {

using bench::print;
using Clock = std::chrono::steady_clock;

// Every hundredth of a second, as a daemon with very much to do.
constexpr std::chrono::milliseconds writers_pause{10};

struct Options {
    int destinations = 1'000'000;
    int lookups = 300'000;
    int stores = 3000;
};

struct Times {
    std::vector<double> microseconds;  // sorted
    double at(double part) const {
        return microseconds[static_cast<std::size_t>(part *
                                                     static_cast<double>(microseconds.size() - 1))];
    }
};

double since(Clock::time_point begin) {
    return std::chrono::duration<double, std::micro>(Clock::now() - begin).count();
}

std::string us(double time) { return fmt::format("{:.2f} us", time); }
std::string ms(double time) { return fmt::format("{:.2f} ms", time / 1000); }

// Times each call of `work`, with a number each from `order`, after one round to warm up.
template <typename Work>
Times time_each(const std::vector<int>& order, Work work) {
    Times times;
    times.microseconds.reserve(order.size());
    for (const auto number : order) work(number);
    for (const auto number : order) {
        const auto begin = Clock::now();
        work(number);
        times.microseconds.push_back(since(begin));
    }
    std::sort(times.microseconds.begin(), times.microseconds.end());
    return times;
}

int write_now_and_then(const std::filesystem::path& directory, int destinations) {
    const auto writer = open_cache_for_writing(directory, bench::limits_for(destinations));
    if (!writer) return 1;
    std::mt19937 random(2);  // NOLINT: the same in every run
    for (;;) {
        CacheChange change;
        // Of the later half: stores() counts on which were confirmed longest ago.
        const auto half = destinations / 2;
        const auto from = random() % static_cast<unsigned>(destinations - half);
        bench::add(change, half + static_cast<int>(from), wall_now());
        if (!(*writer)->store(change)) return 1;
        ::usleep(std::chrono::microseconds(writers_pause).count());
    }
}

class CacheBench {
  public:
    CacheBench(const std::filesystem::path& directory, const Options& options)
        : directory_(directory), options_(options) {}

    bool fill() const {
        const auto begin = Clock::now();
        if (!bench::fill_cache(directory_, options_.destinations)) return false;
        const auto took = since(begin);
        const auto reader = open_cache_for_reading(directory_);
        const auto used = static_cast<double>(reader->counters().bytes_used);
        const auto text =
            encode(*reader->next_hop(bench::relay(0))).size() +
            encode(*reader->route(bench::domain(0))).size() +
            encode(reader->endpoints_at(*IpAddress::parse(bench::address(0))).at(0)).size() * 2;
        print({fmt::format("{} destinations on the disk", options_.destinations),
               fmt::format("{:.0f} bytes each", used / options_.destinations),
               "their records as text", fmt::format("{} bytes", text),
               bench::two_digits(used / options_.destinations / static_cast<double>(text)), ""});
        print({"stored two thousand at a time",
               fmt::format("{:.0f} /s", options_.destinations / took * 1e6)});
        return true;
    }

    void lookups() {
        std::mt19937 random(1);  // NOLINT: the same in every run
        std::vector<int> order(static_cast<std::size_t>(options_.lookups));
        for (auto& number : order)
            number = static_cast<int>(random() % static_cast<unsigned>(options_.destinations));
        const auto reader = open_cache_for_reading(directory_);
        const auto look = [&](const char* what, const auto& work) {
            const auto quiet = time_each(order, work);
            const bench::Child writer(
                [this] { return write_now_and_then(directory_, options_.destinations); });
            const auto busy = time_each(order, work);
            const std::string beside = "while a process stores 100 times a second";
            print({fmt::format("{}: p50", what), us(quiet.at(0.5)), beside, us(busy.at(0.5)),
                   bench::two_digits(quiet.at(0.5) / busy.at(0.5))});
            print({fmt::format("{}: p99", what), us(quiet.at(0.99)), beside, us(busy.at(0.99)),
                   bench::two_digits(quiet.at(0.99) / busy.at(0.99))});
            print({fmt::format("{}: the longest", what), us(quiet.at(1)), beside, us(busy.at(1))});
        };
        look("lookup of a request (route and verdict)",
             [&](int number) { found_ += reader->way(bench::domain(number)) ? 1 : 0; });
        look("lookup of a next hop with all that is known",
             [&](int number) { found_ += reader->next_hop(bench::relay(number)) ? 1 : 0; });
        look("lookup of what is not there",
             [&](int number) { found_ += reader->next_hop(bench::domain(number)) ? 1 : 0; });
        if (found_ < static_cast<std::size_t>(options_.lookups)) wrong("not all was found");
    }

    // New destinations, one store each: below the limits, beyond that of entries, beyond that of
    // bytes.
    void stores() {
        const auto free = store_some(bench::limits_for(options_.destinations * 2));
        const auto there = open_cache_for_reading(directory_)->counters();
        const auto entries =
            store_some({std::max(std::uint64_t{256} << 20, there.bytes_used * 2), there.next_hops});
        beside(free, entries, "a store beyond max_destinations");
        const auto after = open_cache_for_reading(directory_)->counters();
        if (after.next_hops != there.next_hops) wrong("max_destinations is not kept");
        // Those stored first were confirmed longest ago.
        const auto oldest_left = options_.stores;
        check_gone(oldest_left - 1);
        check_there(oldest_left);

        const auto full = store_some({after.bytes_used, after.next_hops * 2});
        beside(free, full, "a store beyond max_bytes");
        const auto last = open_cache_for_reading(directory_)->counters();
        print({fmt::format("destinations that {} stores beyond max_bytes cost", options_.stores),
               fmt::format("{}", after.next_hops + static_cast<std::uint64_t>(options_.stores) -
                                     last.next_hops)});
        if (last.bytes_used > after.bytes_used + after.bytes_used / 8 + (std::uint64_t{4} << 20))
            wrong("max_bytes is not kept");
        check_gone(oldest_left);
    }

    bool right() const { return right_; }

  private:
    Times store_some(const CacheLimits& limits) {
        Times times;
        const auto writer = open_cache_for_writing(directory_, limits);
        for (int i = 0; writer && i < options_.stores; ++i) {
            CacheChange change;
            bench::add(change, options_.destinations + stored_++, wall_now());
            const auto begin = Clock::now();
            if (!(*writer)->store(change)) wrong("a store failed");
            times.microseconds.push_back(since(begin));
        }
        if (times.microseconds.empty()) times.microseconds.push_back(0);
        std::sort(times.microseconds.begin(), times.microseconds.end());
        check_there(options_.destinations + stored_ - 1);
        return times;
    }
    static void beside(const Times& free, const Times& measured, const std::string& what) {
        for (const auto& [name, part] :
             {std::pair{"p50", 0.5}, {"p99", 0.99}, {"the longest", 1.0}})
            print({fmt::format("{}: {}", what, name), ms(measured.at(part)), "a store with room",
                   ms(free.at(part)), bench::two_digits(measured.at(part) / free.at(part))});
    }
    void check_there(int number) {
        if (!open_cache_for_reading(directory_)->next_hop(bench::relay(number)))
            wrong(fmt::format("destination {} is gone", number));
    }
    void check_gone(int number) {
        if (open_cache_for_reading(directory_)->next_hop(bench::relay(number)))
            wrong(fmt::format("destination {} is still there", number));
    }
    void wrong(const std::string& what) {
        fmt::print("WRONG: {}\n", what);
        right_ = false;
    }

    const std::filesystem::path& directory_;
    const Options& options_;
    int stored_ = 0;
    std::size_t found_ = 0;
    bool right_ = true;
};

int run(const Options& options) {
    const bench::TemporaryDirectory directory;
    CacheBench measured(directory.path(), options);
    if (!measured.fill()) return 1;
    measured.lookups();
    measured.stores();
    return measured.right() ? 0 : 1;
}

bool read_options(int argc, char** argv, Options& options) {
    for (int i = 1; i < argc; i += 2) {
        const std::string_view name = argv[i];
        const std::string_view value = i + 1 < argc ? argv[i + 1] : "";
        int* const number = name == "--destinations" ? &options.destinations
                            : name == "--lookups"    ? &options.lookups
                            : name == "--stores"     ? &options.stores
                                                     : nullptr;
        const auto end = value.data() + value.size();
        if (number == nullptr || std::from_chars(value.data(), end, *number).ptr != end ||
            *number < 100)
            return false;
    }
    return true;
}

}  // namespace
}  // namespace postfathom

int main(int argc, char** argv) {
    postfathom::Options options;
    if (postfathom::read_options(argc, argv, options)) return postfathom::run(options);
    std::fprintf(
        stderr, "usage: bench_cache [--destinations 1000000] [--lookups 300000] [--stores 3000]\n");
    return 2;
}
