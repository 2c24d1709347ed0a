// SPDX-License-Identifier: Apache-2.0
// Which segments a flight has, what the counters say of it, and the whole search over simulated
// paths.
#include "probes/staircase.hpp"

#include <doctest/doctest.h>

#include <algorithm>

#include "probes/tls_session.hpp"
#include "tests/exhaustive/simulated_sender.hpp"

using namespace postfathom;
using namespace postfathom::test;

namespace {

FlightLimits limits_of(std::uint32_t largest, IpFamily family = IpFamily::v4) {
    FlightLimits limits;
    limits.family = family;
    limits.largest = PathMtu{largest};
    return limits;
}

}  // namespace

TEST_CASE("every flight fits into the first window and one TLS record, and rises") {
    for (const auto family : {IpFamily::v4, IpFamily::v6})
        for (const std::uint32_t largest : {576U, 1280U, 1400U, 1500U, 2000U, 4352U, 8921U, 9000U})
            for (const std::uint32_t passes : {0U, 576U, 1280U, 1353U, 1400U, 1500U, 5000U, 8920U})
                for (const std::uint32_t gap : {0U, 1U, 2U, 5U, 20U, 100U, 7000U})
                    for (const bool first_words : {false, true}) {
                        auto limits = limits_of(largest, family);
                        limits.first_words = first_words;
                        limits.near = gap % 2 == 0;
                        StairKnown known;
                        if (passes > 0) known.passes = PathMtu{passes};
                        if (gap > 0) known.fails = PathMtu{std::max(passes, 576U) + gap};
                        known.hints = {PathMtu{1300}, PathMtu{1460}};
                        CAPTURE(largest);
                        CAPTURE(passes);
                        CAPTURE(gap);
                        const auto steps = staircase(limits, known);
                        if (steps.empty()) continue;
                        CHECK(steps.size() <= 10);
                        CHECK(hello_bytes_of(steps, limits) <= TlsSession::largest_hello);
                        CHECK(steps.back().control);
                        PathMtu before;
                        for (const auto& step : steps) {
                            CHECK(step.size <= limits.largest);
                            if (step.control) continue;
                            CHECK(step.size >= before);
                            before = step.size;
                        }
                        CHECK(before.bytes > 0);
                        if (known.fails && known.passes && gap == 1 &&
                            *known.fails <= limits.largest)
                            CHECK(before == *known.fails);
                    }
}

TEST_CASE("a path that is too narrow for a staircase gets none") {
    auto limits = limits_of(500);
    CHECK(staircase(limits, {}).empty());
    limits = limits_of(1500);
    limits.window = 2;
    CHECK(staircase(limits, {}).empty());
}

namespace {

// 1400, 1420, 1440 and 1460 bytes with a control behind each pair.
struct FourSteps {
    FlightLimits limits = limits_of(1500);
    std::vector<Step> steps{{PathMtu{1400}}, {PathMtu{1420}}, {PathMtu{152}, true},
                            {PathMtu{1440}}, {PathMtu{1460}}, {PathMtu{152}, true}};
    TcpCounters before;
    FlightJudge::Time start{};

    FourSteps() {
        before.rtt_microseconds = 10'000;
        before.path_mtu = 1500;
        before.send_mss = 1448;
        before.bytes_acked = 100;
        before.data_segments_out = 2;
    }
    FlightJudge judge() const { return {steps, limits, before, start, {2, 0}}; }

    TcpCounters after(std::size_t acked, std::uint32_t sacked, std::uint32_t repeats = 0,
                      std::uint32_t outstanding = 0) const {
        auto counters = before;
        for (std::size_t i = 0; i < acked; ++i)
            counters.bytes_acked += payload_of(steps[i], limits);
        counters.unacked_segments = static_cast<std::uint32_t>(steps.size() - acked);
        counters.sacked_segments = sacked;
        counters.retransmits_total = repeats;
        counters.retransmits_outstanding = outstanding;
        counters.data_segments_out += static_cast<std::uint32_t>(steps.size()) + repeats;
        return counters;
    }
    FlightJudge::Time at(int milliseconds) const {
        return start + std::chrono::milliseconds(milliseconds);
    }
};

}  // namespace

TEST_CASE("the shape of a flight, from the counters") {
    struct Row {
        const char* name;
        std::size_t acked;
        std::uint32_t sacked;
        FlightShape shape;
    };
    const Row rows[] = {
        {"all arrived", 6, 0, FlightShape::complete},
        {"only the controls behind a size", 1, 2, FlightShape::hole},
        {"the last one missing", 4, 1, FlightShape::hole},
        {"nothing but the controls", 0, 2, FlightShape::hole},
        {"one of the controls is lost", 1, 1, FlightShape::hole},
        {"something larger arrived", 1, 3, FlightShape::scattered},
        {"nothing behind it arrived", 1, 0, FlightShape::unjudged},
        {"a control is the first that is missing", 2, 0, FlightShape::unjudged},
        {"a control is missing, what is larger arrived", 2, 3, FlightShape::scattered},
    };
    const FourSteps four;
    for (const auto& row : rows) {
        INFO(std::string{row.name});
        auto judge = four.judge();
        judge.observe(four.after(row.acked, row.sacked), four.at(10));
        // Not before an acknowledgement has had the time to come.
        CHECK(judge.flight(four.at(20)).shape != FlightShape::hole);
        const auto flight = judge.flight(four.at(100));
        CHECK(to_string(flight.shape) == to_string(row.shape));
        CHECK(flight.passes.has_value() == (row.acked > 0));
    }
}

TEST_CASE("what counts in a flight") {
    const FourSteps four;
    auto judge = four.judge();
    judge.observe(four.after(1, 2), four.at(10));
    // The kernel repeats the three that are missing, then the first by its timer.
    judge.observe(four.after(1, 2, 3, 3), four.at(15));
    auto flight = judge.flight(four.at(46));
    CHECK(flight.passes == PathMtu{1400});
    CHECK(flight.fails == PathMtu{1420});
    CHECK(flight.small_acked == 2 + 1 + 2);
    CHECK(flight.small_lost == 0);
    CHECK(flight.large_lost == 3);  // the repeats may still arrive
    CHECK(flight.readings == 6);    // two of four
    flight = judge.flight(four.at(60));
    CHECK(flight.large_lost == 6);
    CHECK(flight.fails_lost == 2);
    auto later = four.after(1, 2, 4, 1);
    later.timeouts = 1;
    judge.observe(later, four.at(300));
    flight = judge.flight(four.at(400));
    CHECK(flight.large_lost == 7);
    CHECK(flight.fails_lost == 3);
}

TEST_CASE("repeats that helped are losses of small segments") {
    const FourSteps four;
    auto judge = four.judge();
    judge.observe(four.after(0, 1, 2, 2), four.at(10));
    judge.observe(four.after(1, 2, 3, 1), four.at(30));
    const auto flight = judge.flight(four.at(100));
    CHECK(flight.shape == FlightShape::hole);
    CHECK(flight.small_lost == 2);
    CHECK(flight.large_lost == 3 + 1);
}

TEST_CASE("segments that could not be sent yet say nothing") {
    const FourSteps four;
    auto judge = four.judge();
    auto counters = four.after(1, 1);
    counters.unacked_segments = 2;  // 1420 and the control behind it
    counters.data_segments_out = four.before.data_segments_out + 3;
    judge.observe(counters, four.at(10));
    const auto flight = judge.flight(four.at(100));
    CHECK(flight.shape == FlightShape::hole);
    CHECK(flight.large_lost == 1);
    CHECK(flight.readings == 1);
}

TEST_CASE("a flight that is not what was sent, or is over, is not judged") {
    const FourSteps four;
    auto otherwise_cut = four.after(1, 2);
    ++otherwise_cut.data_segments_out;
    auto half_acked = four.after(1, 2);
    half_acked.bytes_acked += 700;
    auto given_up_by_kernel = four.after(1, 2);
    given_up_by_kernel.send_mss = 1012;
    auto purged = four.after(1, 2);  // as after a reset
    purged.unacked_segments = 0;
    for (const auto& counters : {otherwise_cut, half_acked, given_up_by_kernel, purged}) {
        auto judge = four.judge();
        judge.observe(counters, four.at(10));
        CHECK(judge.flight(four.at(100)).shape == FlightShape::unjudged);
    }
}

TEST_CASE("\"too big\" gives the kernel's size when all arrived after it") {
    const FourSteps four;
    auto judge = four.judge();
    auto counters = four.after(1, 0, 3, 3);
    counters.path_mtu = 1400;
    counters.send_mss = 1348;
    counters.unacked_segments = 7;  // cut anew
    judge.observe(counters, four.at(5));
    auto flight = judge.flight(four.at(100));
    CHECK(flight.shape == FlightShape::shrunk);
    CHECK_FALSE(flight.passes);
    auto all = four.after(6, 0, 5, 0);
    all.path_mtu = 1400;
    all.send_mss = 1348;
    judge.observe(all, four.at(20));
    flight = judge.flight(four.at(100));
    CHECK(flight.shape == FlightShape::shrunk);
    CHECK(flight.passes == PathMtu{1400});
    CHECK(flight.path_mtu_before == PathMtu{1500});
    CHECK(flight.path_mtu_after == PathMtu{1400});
}

TEST_CASE("a message that claims too little is followed, and what the kernel then does is told") {
    // The search goes on below a claim that did not help.
    OutboundSearch search({});
    OutboundFlight stuck;
    stuck.shape = FlightShape::shrunk;
    stuck.sent = {PathMtu{1500}};
    stuck.path_mtu_before = PathMtu{1500};
    stuck.path_mtu_after = PathMtu{1400};
    search.told(stuck, PathMtu{1500});
    CHECK(search.wants_more());
    stuck.passes = PathMtu{1400};
    search.told(stuck, PathMtu{1400});
    CHECK_FALSE(search.wants_more());
    CHECK(search.result().path_mtu == PathMtu{1400});
    CHECK(search.result().exact);
}

TEST_CASE("every path MTU is found to the byte") {
    struct Range {
        IpFamily family;
        std::uint32_t first, last, upper, step;
        bool first_words;
    };
    for (const auto& range : {Range{IpFamily::v4, 1280, 1500, 1500, 1, false},
                              Range{IpFamily::v6, 1280, 1500, 1500, 1, false},
                              Range{IpFamily::v4, 576, 1280, 1500, 3, false},
                              Range{IpFamily::v4, 1280, 1500, 1500, 1, true},
                              Range{IpFamily::v4, 577, 9000, 9000, 31, false},
                              Range{IpFamily::v6, 1280, 8921, 8921, 37, true}}) {
        std::uint32_t worst = 0;
        double slowest = 0;
        double connections = 0;
        double runs = 0;
        for (auto mtu = range.first; mtu <= range.last; mtu += range.step) {
            LossyPath path;
            path.mtu = mtu;
            auto limits = limits_of(range.upper, range.family);
            limits.first_words = range.first_words;
            const auto found = search_outbound(path, limits, 0.030);
            CAPTURE(mtu);
            CAPTURE(range.upper);
            REQUIRE(found.path.path_mtu == PathMtu{mtu});
            REQUIRE(found.path.exact);
            CHECK(found.picture.hole() == (mtu < range.upper));
            worst = std::max(worst, found.connections);
            slowest = std::max(slowest, found.seconds);
            connections += found.connections;
            runs += 1;
        }
        MESSAGE(range.first << " to " << range.last << " of " << range.upper << ": at most "
                            << worst << " connections, mean " << connections / runs << ", slowest "
                            << slowest << " s");
        CHECK(worst <= (range.upper > 1500 ? 16 : 7));
    }
}

TEST_CASE("loss on a path without a hole never becomes a hole") {
    struct Row {
        double loss, into_bad;
    };
    for (const auto& row :
         {Row{0.05, 0}, Row{0.1, 0}, Row{0.3, 0}, Row{0, 0.02}, Row{0.05, 0.05}}) {
        int suspected = 0;
        int all_sizes = 0;
        constexpr int runs = 3000;
        for (std::uint32_t seed = 1; seed <= runs; ++seed) {
            LossyPath path;
            path.loss = row.loss;
            path.into_bad = row.into_bad;
            path.random.seed(seed);
            path.sparing = seed % 2 == 0;
            auto limits = limits_of(1500);
            limits.first_words = seed % 3 == 0;
            const auto found = search_outbound(path, limits, 0.030);
            CAPTURE(row.loss);
            CAPTURE(row.into_bad);
            CAPTURE(seed);
            CHECK_FALSE(found.picture.hole());
            CHECK((!found.path.exact || found.path.path_mtu == PathMtu{1500}));
            if (found.picture.contradicted + found.picture.hole_flights > 0) ++suspected;
            if (found.path.exact) ++all_sizes;
        }
        MESSAGE("loss " << row.loss << ", bursts " << row.into_bad << ": " << suspected
                        << " suspected, " << all_sizes << " found to carry all sizes, of " << runs);
        CHECK(all_sizes > runs / 2);
    }
}

TEST_CASE("a hole is found to the byte beside loss") {
    double seconds = 0;
    double connections = 0;
    double runs = 0;
    for (const double loss : {0.01, 0.05}) {
        for (const std::uint32_t mtu : {1280U, 1353U, 1400U, 1420U, 1492U, 1499U}) {
            for (std::uint32_t seed = 1; seed <= 300; ++seed) {
                LossyPath path;
                path.mtu = mtu;
                path.loss = loss;
                path.random.seed(seed);
                path.sparing = seed % 2 == 0;
                auto limits = limits_of(1500);
                limits.first_words = seed % 3 == 0;
                const auto found = search_outbound(path, limits, 0.030);
                CAPTURE(mtu);
                CAPTURE(loss);
                CAPTURE(seed);
                CHECK(found.path.path_mtu == PathMtu{mtu});
                CHECK(found.path.exact);
                CHECK(found.picture.hole());
                seconds += found.seconds;
                connections += found.connections;
                ++runs;
            }
        }
    }
    MESSAGE("mean " << connections / runs << " connections, " << seconds / runs << " s");
}
