// SPDX-License-Identifier: Apache-2.0
#include "probes/schedule.hpp"

#include <doctest/doctest.h>

#include <array>

#include "tests/unit/probed/reports.hpp"

using namespace postfathom;
using namespace std::chrono_literals;
using Accepted = Schedule::Accepted;
using Ending = Schedule::Ending;

namespace {

const Schedule::Time start_of_time{std::chrono::hours{1000}};

std::vector<std::string> keys(const std::vector<Schedule::Job>& jobs) {
    std::vector<std::string> names;
    for (const auto& job : jobs) names.push_back(job.place.key());
    return names;
}

// A schedule with a clock that only the test moves.
struct Clockwork {
    explicit Clockwork(Schedule::Limits limits = {}) : schedule(limits, start_of_time) {}
    Accepted ask(const std::string& next_hop, ProbeReason reason = ProbeReason::failure_seen) {
        return schedule.request(test_place(next_hop), reason, now);
    }
    std::vector<std::string> start() { return keys(schedule.start(now)); }
    void finish(const std::string& key, Ending ending = Ending::conclusive, bool ill = false) {
        schedule.finished(key, ending, ill, now);
    }
    Schedule::Time now = start_of_time;
    Schedule schedule;
};

using Names = std::vector<std::string>;

KnownVerdict verdict(DiagnosisId id, Severity severity, WallTime measured_at) {
    KnownVerdict known;
    known.id = id;
    known.severity = severity;
    known.since = measured_at;
    known.measured_at = measured_at;
    return known;
}

}  // namespace

TEST_CASE("a place is probed by one probe at a time") {
    Clockwork clock;
    CHECK(clock.ask("example.org") == Accepted::queued);
    CHECK(clock.ask("example.org") == Accepted::joined);
    CHECK(clock.start() == Names{"example.org"});
    CHECK(clock.ask("example.org") == Accepted::joined);
    CHECK(clock.ask("example.org", ProbeReason::operator_asked) == Accepted::joined);
    clock.now += 2h;
    CHECK(clock.start().empty());
    clock.finish("example.org");
    CHECK(clock.start().empty());
    CHECK(clock.schedule.counters().joined == 3);
}

TEST_CASE("no more probes at a time than allowed, and the next one starts when one ends") {
    Clockwork clock({.concurrent = 2, .per_hour = 600, .min_interval = 60s, .queue = 100});
    for (const auto* name : {"a.example", "b.example", "c.example"}) clock.ask(name);
    CHECK(clock.start() == Names{"a.example", "b.example"});
    CHECK(clock.start().empty());
    CHECK_FALSE(clock.schedule.wake());
    clock.finish("b.example");
    CHECK(clock.start() == Names{"c.example"});
}

TEST_CASE("important requests go first, equals in the order they came") {
    Clockwork clock({.concurrent = 9, .per_hour = 600, .min_interval = 60s, .queue = 100});
    clock.ask("refresh.example", ProbeReason::refresh_due);
    clock.ask("wanted.example", ProbeReason::verdict_wanted);
    clock.ask("failure1.example", ProbeReason::failure_seen);
    clock.ask("recovered.example", ProbeReason::recovered);
    clock.ask("failure2.example", ProbeReason::failure_seen);
    clock.ask("person.example", ProbeReason::operator_asked);
    CHECK(clock.start() == Names{"person.example", "recovered.example", "failure1.example",
                                 "failure2.example", "wanted.example", "refresh.example"});
}

TEST_CASE("a place is left in peace for the minimum interval, except by a person") {
    Clockwork clock;
    clock.ask("example.org");
    clock.start();
    clock.finish("example.org");
    clock.now += 10s;
    clock.ask("example.org");
    CHECK(clock.start().empty());
    REQUIRE(clock.schedule.wake());
    CHECK(*clock.schedule.wake() == start_of_time + 60s);

    SUBCASE("its time comes") {
        clock.now = start_of_time + 60s - 1ms;
        CHECK(clock.start().empty());
        clock.now += 1ms;
        CHECK(clock.start() == Names{"example.org"});
    }
    SUBCASE("a person asks and joins the queued one, which then starts at once") {
        CHECK(clock.ask("example.org", ProbeReason::operator_asked) == Accepted::joined);
        CHECK(clock.schedule.asked("example.org"));
        CHECK(clock.start() == Names{"example.org"});
    }
}

TEST_CASE("a place that gives no answer is asked less and less often, up to once an hour") {
    Clockwork clock;
    const std::array<Schedule::Duration, 9> pauses{1min,  2min,  4min,  8min, 16min,
                                                   32min, 60min, 60min, 60min};
    clock.ask("example.org");
    for (const auto pause : pauses) {
        REQUIRE(clock.start() == Names{"example.org"});
        clock.finish("example.org", Ending::no_answer, true);
        clock.ask("example.org");
        clock.now += pause - 1ms;
        REQUIRE(clock.start().empty());
        clock.now += 1ms;
    }
    // An answer ends it.
    REQUIRE(clock.start() == Names{"example.org"});
    clock.finish("example.org", Ending::conclusive, true);
    clock.ask("example.org");
    clock.now += 1min;
    CHECK(clock.start() == Names{"example.org"});
}

TEST_CASE("mail that got through is news in spite of earlier silence, unless it keeps being none") {
    Clockwork clock;
    clock.ask("example.org");
    for (int i = 0; i < 5; ++i) {
        clock.start();
        clock.finish("example.org", Ending::no_answer, true);
        clock.now += 1h;
        clock.ask("example.org");
    }
    clock.start();
    clock.finish("example.org", Ending::no_answer, true);
    for (const auto pause : {1min, 2min, 4min}) {
        clock.ask("example.org", ProbeReason::recovered);
        clock.now += pause - 1ms;
        REQUIRE(clock.start().empty());
        clock.now += 1ms;
        REQUIRE(clock.start() == Names{"example.org"});
        clock.finish("example.org", Ending::conclusive, true);
    }
}

TEST_CASE("a sign of recovery during a probe asks for another one after it") {
    Clockwork clock;
    clock.ask("example.org");
    clock.start();
    clock.ask("example.org", ProbeReason::recovered);
    clock.now += 5s;
    clock.finish("example.org", Ending::conclusive, true);
    CHECK(clock.start().empty());
    clock.now = start_of_time + 60s;
    CHECK(clock.start() == Names{"example.org"});
}

TEST_CASE("a person who asks while only a guess is probed gets a probe of the next hop itself") {
    Clockwork clock;
    auto guess = test_place("example.org");
    guess.assumed = true;
    guess.peer = Endpoint{};
    clock.schedule.request(guess, ProbeReason::failure_seen, clock.now);
    clock.start();
    CHECK(clock.ask("example.org", ProbeReason::operator_asked) == Accepted::joined);
    clock.finish("example.org");
    CHECK(clock.schedule.asked("example.org"));
    const auto jobs = clock.schedule.start(clock.now);
    REQUIRE(jobs.size() == 1);
    CHECK_FALSE(jobs.front().place.assumed);
}

TEST_CASE("a queued guess is replaced by what is known better") {
    Clockwork clock;
    auto guess = test_place("example.org");
    guess.assumed = true;
    guess.peer = Endpoint{};
    clock.schedule.request(guess, ProbeReason::failure_seen, clock.now);
    clock.ask("example.org", ProbeReason::verdict_wanted);
    const auto jobs = clock.schedule.start(clock.now);
    REQUIRE(jobs.size() == 1);
    CHECK_FALSE(jobs.front().place.assumed);
    CHECK(jobs.front().reason == ProbeReason::failure_seen);
}

TEST_CASE("the hourly budget holds, and a person does not wait for it") {
    Clockwork clock({.concurrent = 1000, .per_hour = 60, .min_interval = 60s, .queue = 1000});
    for (int i = 0; i < 200; ++i) clock.ask("d" + std::to_string(i) + ".example");
    std::size_t started = clock.start().size();
    CHECK(started == 6);  // a tenth at once
    REQUIRE(clock.schedule.wake());
    CHECK(*clock.schedule.wake() > clock.now);
    CHECK(*clock.schedule.wake() <= clock.now + 61s);
    clock.ask("person.example", ProbeReason::operator_asked);
    CHECK(clock.start() == Names{"person.example"});
    for (int minute = 0; minute < 60; ++minute) {
        clock.now += 1min;
        started += clock.start().size();
    }
    CHECK(started <= 66);
    CHECK(started >= 64);
}

TEST_CASE("waking at the time the schedule names always finds something to start") {
    Clockwork clock({.concurrent = 1000, .per_hour = 37, .min_interval = 61s, .queue = 1000});
    for (int i = 0; i < 50; ++i) clock.ask("d" + std::to_string(i) + ".example");
    clock.start();
    for (int i = 0; i < 40; ++i) {
        const auto wake = clock.schedule.wake();
        REQUIRE(wake);
        REQUIRE(*wake > clock.now);
        clock.now = *wake;
        REQUIRE(clock.start().size() == 1);
    }
}

TEST_CASE("a full queue drops the oldest of the least important") {
    Clockwork clock({.concurrent = 10, .per_hour = 600, .min_interval = 60s, .queue = 3});
    clock.ask("refresh1.example", ProbeReason::refresh_due);
    clock.ask("refresh2.example", ProbeReason::refresh_due);
    clock.ask("failure.example", ProbeReason::failure_seen);
    CHECK(clock.ask("wanted.example", ProbeReason::verdict_wanted) == Accepted::queued);
    CHECK(clock.schedule.counters().dropped == 1);
    CHECK(clock.ask("person.example", ProbeReason::operator_asked) == Accepted::queued);
    CHECK(clock.ask("late.example", ProbeReason::refresh_due) == Accepted::no_room);
    CHECK(clock.schedule.counters().dropped == 3);
    CHECK(clock.start() == Names{"person.example", "failure.example", "wanted.example"});
}

TEST_CASE("persons' requests are not dropped for one another") {
    Clockwork clock({.concurrent = 1, .per_hour = 600, .min_interval = 60s, .queue = 2});
    CHECK(clock.ask("a.example", ProbeReason::operator_asked) == Accepted::queued);
    CHECK(clock.ask("b.example", ProbeReason::operator_asked) == Accepted::queued);
    CHECK(clock.ask("c.example", ProbeReason::operator_asked) == Accepted::no_room);
    CHECK(clock.ask("d.example", ProbeReason::failure_seen) == Accepted::no_room);
    CHECK(clock.schedule.counters().queued == 2);
}

TEST_CASE("a flood of requests keeps the queue bounded") {
    Clockwork clock;
    for (int i = 0; i < 50'000; ++i)
        clock.ask("d" + std::to_string(i) + ".example", ProbeReason::verdict_wanted);
    CHECK(clock.schedule.counters().queued == 10'000);
    CHECK(clock.schedule.counters().dropped == 40'000);
}

TEST_CASE("a result for a place that is not under way changes nothing") {
    Clockwork clock;
    clock.finish("example.org", Ending::no_answer, true);
    CHECK(clock.schedule.counters().finished == 0);
}

TEST_CASE("an endpoint without a next hop has a key of its own") {
    ProbePlace only;
    only.peer =
        Endpoint{*IpAddress::parse("192.0.2.1"), 587, Service::submission, "mail.example.org"};
    CHECK(only.key() == "mail.example.org[192.0.2.1]:587");
}

TEST_CASE("what is worth a probe depends on what is known") {
    const WallTime now{std::chrono::hours{500'000}};
    const AgeLimits limits;
    const auto healthy = [&](auto age) {
        return verdict(DiagnosisId::healthy, Severity::ok, now - age);
    };
    const auto black_hole = [&](auto age) {
        return verdict(DiagnosisId::pmtu_black_hole, Severity::critical, now - age);
    };
    struct Row {
        ProbeReason reason;
        std::optional<KnownVerdict> known;
        bool worth;
    };
    const std::vector<Row> rows{
        {ProbeReason::operator_asked, black_hole(1s), true},
        {ProbeReason::failure_seen, {}, true},
        {ProbeReason::failure_seen, healthy(1min), true},  // in doubt now
        {ProbeReason::failure_seen, black_hole(1min), false},
        {ProbeReason::failure_seen, black_hole(1h), true},  // stale
        {ProbeReason::verdict_wanted, {}, true},
        {ProbeReason::verdict_wanted, healthy(1h), false},
        {ProbeReason::verdict_wanted, healthy(25h), true},
        {ProbeReason::refresh_due, black_hole(1min), false},
        {ProbeReason::refresh_due, black_hole(31min), true},
        {ProbeReason::recovered, {}, false},
        {ProbeReason::recovered, healthy(25h), false},
        {ProbeReason::recovered, black_hole(1min), true},
        {ProbeReason::recovered, black_hole(7h), false},  // expired: we say nothing anyway
    };
    for (const auto& row : rows) {
        CAPTURE(to_string(row.reason));
        CHECK(worth_probing(row.reason, row.known, now, limits) == row.worth);
    }
}

namespace {

ProbePlace with_peer(const std::string& next_hop, const std::string& address = "192.0.2.1") {
    auto result = test_place(next_hop);
    result.peer = Endpoint{*IpAddress::parse(address), 25, Service::smtp, "mail.example.org"};
    return result;
}

}  // namespace

TEST_CASE("a failure told by its endpoint alone waits for the log to name the next hop") {
    Clockwork clock;
    clock.schedule.request(with_peer(""), ProbeReason::failure_seen, clock.now);
    CHECK(clock.start().empty());
    SUBCASE("it is named: one probe, of the next hop") {
        clock.schedule.request(with_peer("example.org"), ProbeReason::failure_seen, clock.now);
        CHECK(clock.start() == Names{"example.org"});
        CHECK(clock.schedule.counters().queued == 0);
        // And the same failure told again adds nothing.
        CHECK(clock.schedule.request(with_peer(""), ProbeReason::failure_seen, clock.now) ==
              Accepted::joined);
        clock.finish("example.org");
        CHECK(clock.schedule.request(with_peer(""), ProbeReason::failure_seen, clock.now) ==
              Accepted::queued);
    }
    SUBCASE("it is not: the endpoint is probed") {
        REQUIRE(clock.schedule.wake());
        clock.now = *clock.schedule.wake();
        CHECK(clock.now == start_of_time + Schedule::grace);
        CHECK(clock.start() == Names{"mail.example.org[192.0.2.1]:25"});
    }
}

TEST_CASE("one server is probed by one probe at a time, whatever next hops lead there") {
    Clockwork clock;
    for (const auto* name : {"a.example", "b.example", "c.example"})
        clock.schedule.request(with_peer(name), ProbeReason::failure_seen, clock.now);
    clock.schedule.request(with_peer("d.example", "192.0.2.2"), ProbeReason::failure_seen,
                           clock.now);
    CHECK(clock.start() == Names{"a.example", "d.example"});
    // Nothing to do before a result: no wake-up, or the loop would spin.
    CHECK_FALSE(clock.schedule.wake());
    clock.finish("a.example");
    CHECK(clock.start() == Names{"b.example"});
    clock.finish("d.example");
    CHECK(clock.start().empty());
    clock.finish("b.example");
    CHECK(clock.start() == Names{"c.example"});
    clock.finish("c.example");
    CHECK(clock.schedule.counters().finished == 4);
    CHECK(clock.schedule.counters().running == 0);
}

TEST_CASE("many next hops behind a busy server do not keep others from starting") {
    Clockwork clock;
    for (int i = 0; i < 60; ++i)
        clock.schedule.request(with_peer("d" + std::to_string(i) + ".example"),
                               ProbeReason::failure_seen, clock.now);
    clock.ask("other.example");
    CHECK(clock.start() == Names{"d0.example", "other.example"});
}

TEST_CASE("a search that ran out of budget goes on when there is some again, round by round") {
    Clockwork clock;
    clock.ask("example.org");
    CHECK(clock.start() == Names{"example.org"});
    for (std::uint32_t round = 0; round < Schedule::max_rounds; ++round) {
        const auto again = clock.now + 10min;
        clock.schedule.finished("example.org", Ending::unfinished, true, clock.now, again);
        CHECK(clock.start().empty());
        CHECK(clock.schedule.wake() == again);
        clock.now = again - 1ms;
        CHECK(clock.start().empty());
        clock.now = again;
        const auto jobs = clock.schedule.start(clock.now);
        REQUIRE(jobs.size() == 1);
        CHECK(jobs[0].reason == ProbeReason::next_round);
    }
    CHECK(clock.schedule.counters().rounds == Schedule::max_rounds);
    // A size that cannot be had is not sought for ever.
    clock.schedule.finished("example.org", Ending::unfinished, true, clock.now, clock.now + 10min);
    clock.now += 2h;
    CHECK(clock.start().empty());
}

TEST_CASE("a person who asks during a round gets the whole answer after it, at once") {
    Clockwork clock;
    clock.ask("example.org");
    clock.start();
    CHECK(clock.ask("example.org", ProbeReason::operator_asked) == Accepted::joined);
    clock.schedule.finished("example.org", Ending::unfinished, true, clock.now, clock.now + 10min);
    CHECK(clock.schedule.asked("example.org"));
    const auto jobs = clock.schedule.start(clock.now);
    REQUIRE(jobs.size() == 1);
    CHECK(jobs[0].reason == ProbeReason::operator_asked);

    // And one who asks between two rounds need not wait for the next.
    clock.schedule.finished("example.org", Ending::unfinished, true, clock.now, clock.now + 10min);
    clock.now += 1min;
    CHECK(clock.start().empty());
    clock.ask("example.org", ProbeReason::operator_asked);
    CHECK(clock.start() == Names{"example.org"});
    clock.finish("example.org");
    clock.now += 1h;
    CHECK(clock.start().empty());  // the round that was planned became this probe
}

TEST_CASE("trouble at a place that was well is looked at once more, independently") {
    Clockwork clock({.concurrent = 2, .per_hour = 600, .min_interval = 1s, .queue = 100});
    clock.ask("example.org");
    clock.start();
    clock.schedule.finished("example.org", Ending::suspected, true, clock.now, clock.now + 30s);
    clock.now += 29s;
    CHECK(clock.start().empty());
    clock.now += 1s;
    const auto jobs = clock.schedule.start(clock.now);
    REQUIRE(jobs.size() == 1);
    CHECK(jobs[0].reason == ProbeReason::confirmation);
    clock.finish("example.org");
    clock.now += 1h;
    CHECK(clock.start().empty());
}

TEST_CASE("a server that asks us to come again later is heard, except by a person") {
    Clockwork clock;
    clock.ask("example.org");
    clock.start();
    clock.schedule.finished("example.org", Ending::told_to_go, true, clock.now, clock.now + 40min);
    clock.now += 5min;
    clock.ask("example.org", ProbeReason::recovered);
    clock.ask("example.org", ProbeReason::failure_seen);
    CHECK(clock.start().empty());
    CHECK(clock.schedule.wake() == start_of_time + 40min);
    SUBCASE("its time comes") {
        clock.now = start_of_time + 40min;
        CHECK(clock.start() == Names{"example.org"});
    }
    SUBCASE("a person") {
        clock.ask("example.org", ProbeReason::operator_asked);
        CHECK(clock.start() == Names{"example.org"});
    }
}

TEST_CASE("what is held back costs nothing and is tried again with its reason") {
    Clockwork clock({.concurrent = 2, .per_hour = 10, .min_interval = 1h, .queue = 100});
    clock.ask("example.org", ProbeReason::verdict_wanted);
    // Ten an hour are one at once.
    for (int i = 0; i < 5; ++i) {
        CHECK(clock.start() == Names{"example.org"});
        clock.schedule.finished("example.org", Ending::held_back, false, clock.now, clock.now + 5s);
        CHECK(clock.start().empty());
        clock.now += 5s;
    }
    const auto jobs = clock.schedule.start(clock.now);
    REQUIRE(jobs.size() == 1);
    CHECK(jobs[0].reason == ProbeReason::verdict_wanted);
    CHECK(clock.schedule.counters().held_back == 5);
}

TEST_CASE("a person's probe that met another one of the same server follows it") {
    Clockwork clock;
    clock.ask("example.org", ProbeReason::operator_asked);
    clock.start();
    clock.schedule.finished("example.org", Ending::held_back, false, clock.now, clock.now + 1s);
    CHECK(clock.schedule.asked("example.org"));
    CHECK(clock.start().empty());
    clock.now += 1s;
    const auto jobs = clock.schedule.start(clock.now);
    REQUIRE(jobs.size() == 1);
    CHECK(jobs[0].reason == ProbeReason::operator_asked);
}

TEST_CASE("a place whose server is occupied waits, others go on") {
    Clockwork clock;
    clock.ask("a.example");
    clock.ask("b.example");
    bool free = false;
    const auto occupied = [&](const ProbePlace& place) {
        return !free && place.next_hop == "a.example";
    };
    CHECK(keys(clock.schedule.start(clock.now, occupied)) == Names{"b.example"});
    CHECK(clock.schedule.start(clock.now, occupied).empty());
    CHECK_FALSE(clock.schedule.wake());  // the end of the other probe wakes us
    clock.finish("b.example");
    free = true;
    CHECK(keys(clock.schedule.start(clock.now, occupied)) == Names{"a.example"});
}
