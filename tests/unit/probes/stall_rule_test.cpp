// SPDX-License-Identifier: Apache-2.0
// Counters as Linux showed them for each kind of stall (round trip 30 ms, MSS 1460, timestamps).
#include "probes/stall_rule.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <vector>

using namespace postfathom;
using namespace std::chrono_literals;

namespace {

using Time = StallRule::Time;
using Seconds = std::chrono::duration<double>;

TcpCounters before_hello() {
    TcpCounters counters;
    counters.timestamps = true;
    counters.advertised_mss = 1448;
    counters.received_mss = 536;
    counters.bytes_received = 150;
    counters.bytes_acked = 40;
    counters.data_segments_in = 3;
    counters.rtt_microseconds = 30'000;
    return counters;
}

TcpCounters hello_acked() {
    auto counters = before_hello();
    counters.bytes_acked = 557;
    return counters;
}

struct Snapshot {
    double at;
    TcpCounters counters;
};

// When the rule called it stalled, looking every 5 ms until 10 s.
std::optional<std::pair<double, StallShape>> judged(const std::vector<Snapshot>& story,
                                                    Seconds patience,
                                                    PathMtu allowed = PathMtu{1500}) {
    const Time start{};
    StallRule rule(before_hello(), start, allowed, IpFamily::v4, patience);
    for (int ms = 0; ms <= 10'000; ms += 5) {
        auto now = before_hello();
        now.unacked_segments = 1;
        for (const auto& snapshot : story)
            if (snapshot.at * 1000 <= ms) now = snapshot.counters;
        if (const auto shape = rule.observe(now, start + std::chrono::milliseconds(ms)))
            return std::pair{ms / 1000.0, *shape};
    }
    return std::nullopt;
}

TcpCounters tail_arrived() {
    auto counters = hello_acked();
    counters.out_of_order_segments = 1;
    counters.data_segments_in = 4;
    counters.received_mss = 929;
    return counters;
}

}  // namespace

TEST_CASE("a tail without a head is called a gap after one and a half round trips") {
    const auto found = judged({{0.030, tail_arrived()}}, Seconds(3.2));
    REQUIRE(found);
    CHECK(found->second == StallShape::gap);
    CHECK(found->first == doctest::Approx(0.030 + 0.045 + 0.020).epsilon(0.1));
}

TEST_CASE("a head that comes with the first repeat is no stall") {
    auto healed = tail_arrived();
    healed.bytes_received += 3825;
    healed.data_segments_in = 6;
    healed.received_mss = 1348;  // path MTU discovery made the segments smaller
    CHECK_FALSE(judged({{0.030, tail_arrived()}, {0.075, healed}, {0.12, healed}}, Seconds(10)));
}

TEST_CASE("silence is waited for as long as the server's repeats need") {
    SUBCASE("alone") {
        const auto found = judged({{0.070, hello_acked()}}, Seconds(3.2));
        REQUIRE(found);
        CHECK(found->second == StallShape::silent_acked);
        CHECK(found->first >= 3.2);
        CHECK(found->first < 3.4);
    }
    SUBCASE("beside others") {
        const auto found = judged({{0.070, hello_acked()}}, Seconds(0));
        REQUIRE(found);
        CHECK(found->second == StallShape::silent_acked);
        CHECK(found->first == doctest::Approx(0.070 + copies_sent_after(4, 0.030)).epsilon(0.02));
    }
}

TEST_CASE("a duplicate acknowledged says that the answer was lost") {
    auto repeated = hello_acked();
    repeated.retransmits_total = 1;
    repeated.dsack_duplicates = 1;
    const auto found = judged({{0.268, repeated}}, Seconds(0));
    REQUIRE(found);
    CHECK(found->second == StallShape::lost_reply);
}

TEST_CASE("a ClientHello that nobody acknowledges is told apart") {
    const auto found = judged({}, Seconds(0));
    REQUIRE(found);
    CHECK(found->second == StallShape::hello_unacked);
}

TEST_CASE("a ClientHello that does not fit into the server's window is told apart") {
    auto closed = before_hello();
    closed.window_closed = true;
    const auto found = judged({{0, closed}}, Seconds(3.2));
    REQUIRE(found);
    CHECK(found->second == StallShape::window_closed);
    CHECK(found->first >= 3.2);
    // Acknowledged before it closed: the server has the question.
    auto acked = hello_acked();
    acked.window_closed = true;
    CHECK(judged({{0, acked}}, Seconds(0))->second == StallShape::silent_acked);
}

TEST_CASE("one packet of full size is enough, in order or not") {
    for (const bool in_order : {true, false}) {
        auto counters = hello_acked();
        counters.received_mss = 1448;
        counters.data_segments_in = 4;
        if (in_order)
            counters.bytes_received += 1448;
        else
            counters.out_of_order_segments = 1;
        StallRule rule(before_hello(), Time{}, PathMtu{1500}, IpFamily::v4, Seconds(0));
        CHECK_FALSE(rule.full_size_arrived());
        rule.observe(counters, Time{} + 30ms);
        CHECK(rule.full_size_arrived());
        CHECK(rule.largest_received() == PathMtu{1500});
        CHECK_FALSE(rule.observe(counters, Time{} + 9s));
    }
}

TEST_CASE("the kernel's initial value of the received size proves nothing") {
    // Clamped to 576 bytes: tcpi_rcv_mss begins where a full segment would be.
    auto before = before_hello();
    before.advertised_mss = 524;
    before.received_mss = 524;
    StallRule rule(before, Time{}, PathMtu{576}, IpFamily::v4, Seconds(0));
    rule.observe(before, Time{} + 10ms);
    CHECK_FALSE(rule.full_size_arrived());
    auto after = before;
    after.bytes_received += 2000;
    after.data_segments_in += 4;
    rule.observe(after, Time{} + 30ms);
    CHECK(rule.full_size_arrived());
}

TEST_CASE("small packets do not count as larger ones") {
    StallRule rule(before_hello(), Time{}, PathMtu{1500}, IpFamily::v4, Seconds(0));
    // 150 bytes in 3 segments: one had at least 50.
    CHECK(rule.largest_received() == PathMtu{50 + 52});
}

// When a Linux peer sent the copies of a lost segment, in seconds from its first sending.
TEST_CASE("the waits vouch for the copies that a Linux peer has sent by then") {
    struct Clock {
        double round_trip;
        std::vector<double> with_tail;
        std::vector<double> alone;
    };
    const std::vector<Clock> measured{
        {0.002, {0, .013, .221, .661, 1.49, 3.16}, {0, .206, .414, .854, 1.69, 3.35}},
        {0.030, {0, .045, .281, .757, 1.72, 3.60}, {0, .233, .469, .957, 1.92, 3.81}},
        {0.100, {0, .131, .455, 1.09, 2.34, 4.94}, {0, .315, .639, 1.28, 2.52, 5.05}},
        {0.300, {0, .388, 1.17, 2.74, 5.96}, {0, .825, 1.69, 3.39, 6.78}},
    };
    for (const auto& clock : measured) {
        CAPTURE(clock.round_trip);
        // The gap shows half a round trip after the sending at the earliest.
        CHECK(clock.with_tail[1] <= 1.5 * clock.round_trip + 0.020);
        for (std::uint32_t copies = 3; copies <= 5; ++copies) {
            CAPTURE(copies);
            const auto wait = copies_sent_after(copies, clock.round_trip);
            CHECK(wait >= clock.with_tail[copies - 1]);
            CHECK(wait >= clock.alone[copies - 2]);
            // And not much longer than needed.
            CHECK(wait <= 1.3 * clock.with_tail[copies - 1] + 0.05);
        }
        CHECK(std::is_sorted(clock.alone.begin(), clock.alone.end()));
    }
}

TEST_CASE("a round trip that varies makes the wait longer, as our kernel's timeout says") {
    CHECK(copies_sent_after(4, 0.030, 0.200) == copies_sent_after(4, 0.030));
    CHECK(copies_sent_after(4, 0.030, 0.500) > 2 * copies_sent_after(4, 0.030));
    auto before = before_hello();
    before.retransmission_timeout_microseconds = 500'000;
    StallRule rule(before, Time{}, PathMtu{1500}, IpFamily::v4, Seconds(0));
    auto acked = hello_acked();
    // While ours runs it doubles, which says nothing of the peer's.
    acked.retransmission_timeout_microseconds = 64'000'000;
    CHECK_FALSE(rule.observe(acked, Time{} + 40ms));
    CHECK_FALSE(rule.observe(acked, Time{} + 1s));
    CHECK(rule.observe(acked, Time{} + 2s) == StallShape::silent_acked);
}

TEST_CASE("a gap is watched for as many copies as are asked for") {
    for (const std::uint32_t copies : {2U, 3U, 4U}) {
        StallRule rule(before_hello(), Time{}, PathMtu{1500}, IpFamily::v4, Seconds(0), copies);
        rule.observe(tail_arrived(), Time{} + 30ms);
        const auto wait = copies == 2 ? 0.065 : copies_sent_after(copies, 0.030);
        const auto just = [](double seconds) {
            return Time{} + std::chrono::duration_cast<Time::duration>(Seconds(0.030 + seconds));
        };
        CAPTURE(copies);
        CHECK_FALSE(rule.observe(tail_arrived(), just(wait - 0.002)));
        CHECK(rule.observe(tail_arrived(), just(wait + 0.002)) == StallShape::gap);
    }
}
