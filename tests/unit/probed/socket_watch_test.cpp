// SPDX-License-Identifier: Apache-2.0
#include "probes/socket_watch.hpp"

#include <doctest/doctest.h>

#include <fstream>

#include "tests/tools/socket_sample_text.hpp"

using namespace postfathom;

namespace {

using Time = SocketWatch::Time;
const IpAddress us = *IpAddress::parse("192.0.2.2");
const IpAddress them = *IpAddress::parse("198.51.100.2");

Time at(double seconds) {
    return Time{std::chrono::duration_cast<Time::duration>(std::chrono::duration<double>(seconds))};
}

// Plays what tests/tools/record_sockets saw, and keeps the strongest suspicion of each path.
struct Recording {
    explicit Recording(const std::string& name, double until = 1e9) {
        std::ifstream file(POSTFATHOM_SOURCE_DIR "/tests/data/sockets/" + name);
        REQUIRE(file);
        std::string line;
        std::vector<SocketSample> samples;
        std::optional<double> time;
        while (std::getline(file, line)) {
            const auto space = std::min(line.find(' '), line.size());
            const double now = std::stod(line.substr(0, space));
            if (now > until) break;
            if (space == line.size()) {  // a new look
                if (time) look(samples, *time);
                time = now;
                samples.clear();
                continue;
            }
            const auto sample = test::sample_from_text(line.substr(space + 1));
            REQUIRE_MESSAGE(sample, line);
            if (!sample->destroyed) {
                samples.push_back(*sample);
                continue;
            }
            if (time) look(samples, *time);
            time.reset();
            watch.ended(*sample, at(now));
        }
        if (time) look(samples, *time);
        REQUIRE(looks > 5);
    }
    void look(const std::vector<SocketSample>& samples, double time) {
        ++looks;
        watch.sample(samples, at(time));
        for (const auto& suspicion : watch.suspicions())
            if (!first || suspicion.certainty > first->certainty) first = suspicion;
    }
    std::optional<PathSuspicion> on(const std::string& peer) const {
        for (const auto& suspicion : watch.suspicions())
            if (suspicion.peer.to_string() == peer) return suspicion;
        return std::nullopt;
    }
    SocketWatch watch;
    int looks = 0;
    std::optional<PathSuspicion> first;  // the strongest there ever was
};

// A connection that has said `arrived` small things and then sent a body.
SocketSample talking(std::uint64_t cookie) {
    SocketSample sample;
    sample.cookie = cookie;
    sample.local = us;
    sample.peer = them;
    sample.local_port = static_cast<std::uint16_t>(40000 + cookie);
    sample.peer_port = 25;
    sample.established = true;
    sample.send_mss = 1448;
    sample.advertised_mss = 1448;
    sample.route_mtu = 1500;
    sample.options = 12;
    sample.bytes_acked = 401;
    sample.data_segments_out = 10;
    sample.bytes_received = 500;
    sample.send_window = 64000;
    sample.held = 0;
    return sample;
}

SocketSample stalled(std::uint64_t cookie, std::uint32_t timeouts, bool control = true) {
    auto sample = talking(cookie);
    sample.repeating = true;
    sample.timeouts = timeouts;
    sample.unacked = 2;
    sample.sacked = control ? 1 : 0;
    sample.outstanding = 1448 + 152;
    sample.repeats = timeouts;
    sample.bytes_repeated = 1448 * timeouts;
    sample.data_segments_out = 12 + timeouts;
    return sample;
}

struct Play {
    void operator()(std::vector<SocketSample> samples) { watch.sample(samples, at(time += 5)); }
    std::optional<Certainty> certainty() const {
        const auto all = watch.suspicions();
        return all.empty() ? std::nullopt : std::optional(all.front().certainty);
    }
    SocketWatch watch;
    double time = 0;
};

}  // namespace

TEST_CASE("recorded: one transfer into an outbound hole is likely, the second one convicts") {
    const Recording one("hole_outbound.txt", 12.5);
    REQUIRE(one.on("198.51.100.2"));
    CHECK(one.on("198.51.100.2")->certainty == Certainty::likely);
    CHECK(one.on("198.51.100.2")->connections == 1);

    const Recording two("hole_outbound.txt");
    const auto found = two.on("198.51.100.2");
    REQUIRE(found);
    CHECK(found->certainty == Certainty::convicted);
    CHECK(found->side == MailSide::to_server);
    CHECK(found->direction == FlowDirection::outbound);
    CHECK(found->fails == PathMtu{1500});
    CHECK(found->passes->bytes < 100);
    CHECK(found->connections == 2);
    CHECK(found->port == 25);
    CHECK(*found->chance <= 1e-4);
    CHECK(summary(*found).starts_with(
        "black hole outbound: packets of 1500 bytes lost at least 13 times on 2 connections"));
}

TEST_CASE("recorded: where nothing comes behind the loss the second connection makes it likely") {
    const Recording one("hole_outbound.txt", 27);
    REQUIRE(one.on("2001:db8:2::2"));
    CHECK(one.on("2001:db8:2::2")->certainty == Certainty::possible);
    CHECK(one.on("2001:db8:2::2")->fails == PathMtu{1500});
    const Recording two("hole_outbound.txt");
    CHECK(two.on("2001:db8:2::2")->certainty == Certainty::likely);
}

TEST_CASE("recorded: mail that comes to us through a hole is a suspicion, and never more") {
    const Recording recording("hole_inbound.txt");
    const auto found = recording.on("192.0.2.2");
    REQUIRE(found);
    CHECK(found->side == MailSide::from_client);
    CHECK(found->direction == FlowDirection::inbound);
    CHECK(found->certainty == Certainty::likely);
    CHECK(found->at_most == PathMtu{1500});
    CHECK_FALSE(found->fails);
    CHECK_FALSE(found->chance);
    CHECK(found->port == 25);
    CHECK(recording.first->certainty == Certainty::likely);
}

TEST_CASE("recorded: loss of 5 % and a receiver that does not read are no hole") {
    for (const auto* name : {"lossy.txt", "lossy_receiver.txt", "slow_receiver.txt"}) {
        CAPTURE(name);
        CHECK_FALSE(Recording(name).first);
    }
}

TEST_CASE("recorded: what gets through in the end ends the suspicion") {
    // Connections that stood still go on when the hole is mended. One whose program had closed it
    // has to wait for its timer longer than the recording; others between the same two addresses
    // speak for it.
    const Recording recording("mended.txt");
    CHECK(recording.first);
    for (const auto& left : recording.watch.suspicions())
        FAIL_CHECK(summary(left) << left.peer.to_string());
}

TEST_CASE("a conviction takes two connections, one begun while the other stood still") {
    struct Row {
        std::string name;
        std::vector<std::vector<SocketSample>> looks;
        std::optional<Certainty> expected;
    };
    const auto s = [](std::uint64_t cookie, std::uint32_t timeouts) {
        return stalled(cookie, timeouts);
    };
    const auto silent = [](std::uint64_t cookie, std::uint32_t timeouts) {
        return stalled(cookie, timeouts, false);
    };
    const std::vector<Row> rows{
        {"one connection", {{talking(1)}, {s(1, 3)}, {s(1, 4)}, {s(1, 9)}}, Certainty::likely},
        {"one after the other",
         {{}, {s(1, 3)}, {s(1, 5)}, {s(1, 5), talking(2)}, {s(1, 6), s(2, 4)}, {s(1, 6), s(2, 5)}},
         Certainty::convicted},
        {"the first has ended meanwhile",
         {{}, {s(1, 3)}, {s(1, 5)}, {}, {s(2, 4)}, {s(2, 5)}},
         Certainty::convicted},
        {"both at once: an outage looks like that",
         {{}, {s(1, 3), s(2, 3)}, {s(1, 5), s(2, 5)}, {s(1, 7), s(2, 7)}},
         Certainty::likely},
        {"silence behind the loss", {{}, {silent(1, 3)}, {silent(1, 9)}}, Certainty::possible},
        {"silence on both, and the first did not lose more",
         {{}, {silent(1, 3)}, {silent(1, 5)}, {silent(2, 4)}, {silent(2, 6)}},
         Certainty::likely},
        {"silence on both, and the first lost more after the second had begun",
         {{},
          {silent(1, 3)},
          {silent(1, 5)},
          {silent(1, 5), silent(2, 4)},
          {silent(1, 6), silent(2, 5)},
          {silent(1, 8), silent(2, 7)}},
         Certainty::convicted},
        {"too few repeats", {{}, {s(1, 2)}, {s(1, 3)}}, std::nullopt},
    };
    for (const auto& row : rows) {
        CAPTURE(row.name);
        Play play;
        for (const auto& look : row.looks) play(look);
        CHECK(play.certainty() == row.expected);
    }
}

TEST_CASE("what is no evidence of size is no suspicion") {
    struct Row {
        std::string name;
        void (*change)(SocketSample&);
    };
    const std::vector<Row> rows{
        {"the window is closed", [](SocketSample& s) { s.send_window = 0; }},
        {"the window has no room for it", [](SocketSample& s) { s.send_window = 900; }},
        {"another timer runs", [](SocketSample& s) { s.repeating = false; }},
        {"a small segment is lost",
         [](SocketSample& s) {
             s.unacked = 1;
             s.sacked = 0;
             s.outstanding = 60;
             s.bytes_repeated = 60 * s.timeouts;
         }},
        {"a segment below the size of what arrived before",
         [](SocketSample& s) {
             s.bytes_repeated = 300 * s.timeouts;
             s.outstanding = 400;
         }},
        {"repeats that the timer did not ask for", [](SocketSample& s) { s.repeats *= 2; }},
        {"large ones went before",
         [](SocketSample& s) {
             s.bytes_acked = 20 * 1448;
             s.data_segments_out += 20;
         }},
        {"hardly anything went before",
         [](SocketSample& s) {
             s.data_segments_out -= 8;
             s.bytes_acked = 40;
         }},
        {"our own loopback", [](SocketSample& s) { s.peer = *IpAddress::parse("127.0.0.1"); }},
        {"ourselves", [](SocketSample& s) { s.peer = s.local; }},
    };
    for (const auto& row : rows) {
        CAPTURE(row.name);
        Play play;
        for (const std::uint32_t timeouts : {3U, 4U, 5U, 6U, 7U}) {
            auto sample = stalled(1, timeouts);
            row.change(sample);
            play({sample});
        }
        CHECK_FALSE(play.certainty());
    }
}

TEST_CASE("success ends it, wherever it is seen") {
    Play play;
    const auto convict = [&play] {
        for (const auto& look :
             std::vector<std::vector<SocketSample>>{{},
                                                    {stalled(1, 3)},
                                                    {stalled(1, 5)},
                                                    {stalled(1, 5), talking(2)},
                                                    {stalled(1, 6), stalled(2, 4)},
                                                    {stalled(1, 7), stalled(2, 5)}})
            play(look);
        REQUIRE(play.certainty() == Certainty::convicted);
    };
    SUBCASE("on a connection that stood still") {
        convict();
        auto on = stalled(2, 0);
        on.bytes_acked += 1448;
        on.unacked = on.sacked = on.outstanding = 0;
        play({stalled(1, 7), on});
        CHECK_FALSE(play.certainty());
    }
    SUBCASE("on a transfer between the same two") {
        convict();
        auto bulk = talking(3);
        play({stalled(1, 7), stalled(2, 5), bulk});
        CHECK(play.certainty() == Certainty::convicted);
        bulk.bytes_acked += 100 * 1448;
        bulk.data_segments_out += 101;
        play({stalled(1, 7), stalled(2, 5), bulk});
        // What stands still still does, and is looked at anew.
        CHECK(play.certainty() != Certainty::convicted);
    }
    SUBCASE("on a transfer between two looks") {
        convict();
        auto bulk = talking(3);
        bulk.destroyed = true;
        bulk.bytes_acked += 100 * 1448;
        bulk.data_segments_out += 101;
        play.watch.ended(bulk, at(play.time + 1));
        CHECK_FALSE(play.certainty());
    }
    SUBCASE("a router says too big, and we hear it") {
        convict();
        auto told = stalled(2, 5);
        told.route_mtu = 1400;
        told.send_mss = 1348;
        play({stalled(1, 7), told});
        CHECK(play.certainty() != Certainty::convicted);
    }
    SUBCASE("not on a transfer to another address") {
        convict();
        auto bulk = talking(3);
        bulk.peer = *IpAddress::parse("198.51.100.3");
        bulk.bytes_acked += 100 * 1448;
        bulk.data_segments_out += 101;
        play({stalled(1, 7), stalled(2, 5), bulk});
        CHECK(play.certainty() == Certainty::convicted);
    }
    SUBCASE("not by smaller segments, which the kernel tries by itself (tcp_mtu_probing)") {
        convict();
        auto smaller = stalled(2, 0);
        smaller.send_mss = 1024;
        smaller.bytes_acked += 1024;
        play({stalled(1, 7), smaller});
        CHECK(play.certainty() == Certainty::convicted);
    }
}

TEST_CASE("a gap has to stand for a while, and with nothing read") {
    auto gap = talking(1);
    gap.local_port = 25;
    gap.peer_port = 40000;
    gap.held = 2304;
    gap.out_of_order = 1;
    SUBCASE("it stands") {
        Play play;
        play({gap});
        CHECK_FALSE(play.certainty());
        play({gap});
        CHECK_FALSE(play.certainty());
        play({gap});
        CHECK(play.certainty() == Certainty::possible);
        gap.bytes_received += 1448;
        play({gap});
        CHECK_FALSE(play.certainty());
    }
    SUBCASE("a program that does not read is no gap") {
        gap.unread = 700;
        Play play;
        for (int i = 0; i < 6; ++i) play({gap});
        CHECK_FALSE(play.certainty());
    }
    SUBCASE("a gap of the past is no gap") {
        gap.held = 0;
        Play play;
        for (int i = 0; i < 6; ++i) play({gap});
        CHECK_FALSE(play.certainty());
    }
    SUBCASE("a kernel that does not tell is no gap") {
        gap.held.reset();
        Play play;
        for (int i = 0; i < 6; ++i) play({gap});
        CHECK_FALSE(play.certainty());
    }
}

TEST_CASE("what it keeps is bounded, and old suspicions go") {
    Play play;
    std::vector<SocketSample> many;
    for (std::uint32_t i = 0; i < SocketWatch::max_paths + 500; ++i) {
        auto sample = stalled(1000 + i, 4);
        sample.peer = IpAddress::from_v4(
            {10, 0, static_cast<std::uint8_t>(i >> 8U), static_cast<std::uint8_t>(i & 255U)});
        many.push_back(sample);
    }
    play(many);
    for (auto& sample : many) {
        ++sample.timeouts;
        ++sample.repeats;
        sample.bytes_repeated += 1448;
    }
    play(many);
    CHECK(play.watch.suspicions().size() == SocketWatch::max_paths);
    play({});
    CHECK(play.watch.suspicions().size() == SocketWatch::max_paths);
    play.time += 3700;
    play({});
    CHECK(play.watch.suspicions().empty());
}
