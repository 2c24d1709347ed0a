// SPDX-License-Identifier: Apache-2.0
#include "lib/diagnosis/client.hpp"

#include <doctest/doctest.h>

#include <set>

using namespace postfathom;
using namespace std::chrono_literals;

namespace {

const WallTime start{std::chrono::milliseconds{1'800'000'000'000}};

IpAddress address(std::string_view text) {
    const auto parsed = IpAddress::parse(text);
    REQUIRE(parsed);
    return *parsed;
}

ClientSeen sessions(std::string_view network, std::uint64_t tls, std::uint64_t plain) {
    ClientSeen seen{address(network), {tls, plain, 0, 0}};
    if (tls > 0) seen.tls = ClientTls{"TLSv1.3", "TLS_AES_256_GCM_SHA384", 256};
    return seen;
}

}  // namespace

TEST_CASE("a client belongs to its /24 or /48") {
    struct Row {
        std::string_view address, network;
    };
    for (const auto& row :
         {Row{"192.0.2.200", "192.0.2.0/24"}, Row{"192.0.2.0", "192.0.2.0/24"},
          Row{"198.51.100.1", "198.51.100.0/24"}, Row{"2001:db8:1:2:3:4:5:6", "2001:db8:1::/48"},
          Row{"2001:db8::1", "2001:db8::/48"}, Row{"::ffff:192.0.2.200", "192.0.2.0/24"}}) {
        CAPTURE(row.address);
        CHECK(client_network(address(row.address)) == row.network);
        CHECK(client_network(network_of(address(row.address))) == row.network);
        CHECK(parse_client_network(row.network) == network_of(address(row.address)));
    }
}

TEST_CASE("only a whole network in one spelling is a key") {
    for (const auto* text : {"", "192.0.2.0", "192.0.2.1/24", "192.0.2.0/25", "192.0.2.0/024",
                             "192.0.2.0/24 ", "2001:DB8::/48", "2001:db8::/24", "2001:db8::1/48",
                             "/24", "example.org/24", "192.0.2.0/24/24"}) {
        CAPTURE(text);
        CHECK_FALSE(parse_client_network(text));
    }
}

TEST_CASE("programs of this host are no clients") {
    CHECK(counts_as_client(address("192.0.2.1")));
    CHECK_FALSE(counts_as_client(address("127.0.0.1")));
    CHECK_FALSE(counts_as_client(address("::1")));
    CHECK_FALSE(counts_as_client(address("0.0.0.0")));
}

TEST_CASE("counts of a day add up, and the latest TLS stays") {
    auto record = absorb(std::nullopt, sessions("192.0.2.0", 3, 0), start);
    CHECK(record.network == "192.0.2.0/24");
    CHECK(record.tls_at == start);
    CHECK_FALSE(record.plain_at);
    auto older = sessions("192.0.2.0", 1, 0);
    older.tls = ClientTls{"TLSv1.2", "ECDHE-RSA-AES128-GCM-SHA256", 128};
    record = absorb(record, older, start + 1h);
    record = absorb(record, sessions("192.0.2.0", 0, 2), start + 2h);
    CHECK(record.day == ClientDay{start, {4, 2, 0, 0}});
    CHECK(record.tls == older.tls);
    CHECK(record.tls_at == start + 1h);
    CHECK(record.plain_at == start + 2h);
    CHECK(record.measured_at == start + 2h);
    CHECK_FALSE(record.day_before);
}

TEST_CASE("what is recent is one to two days old") {
    auto record = absorb(std::nullopt, sessions("192.0.2.0", 5, 0), start);
    record = absorb(record, sessions("192.0.2.0", 0, 7), start + 25h);
    CHECK(record.day == ClientDay{start + 25h, {0, 7, 0, 0}});
    REQUIRE(record.day_before);
    CHECK(record.day_before->counts == ClientCounts{5, 0, 0, 0});
    CHECK(recent(record, start + 26h) == ClientDay{start, {5, 7, 0, 0}});
    CHECK(recent(record, start + 49h) == ClientDay{start + 25h, {0, 7, 0, 0}});
    CHECK(recent(record, start + 80h).counts == ClientCounts{});
    // After a silence the day before is none.
    record = absorb(record, sessions("192.0.2.0", 1, 0), start + 100h);
    CHECK_FALSE(record.day_before);
    CHECK(recent(record, start + 100h) == ClientDay{start + 100h, {1, 0, 0, 0}});
}

TEST_CASE("a clock that was set back does not keep a day for ever") {
    const auto record = absorb(std::nullopt, sessions("192.0.2.0", 5, 0), start + 100h);
    const auto now = absorb(record, sessions("192.0.2.0", 1, 0), start);
    CHECK(now.day == ClientDay{start, {1, 0, 0, 0}});
    CHECK_FALSE(now.day_before);
}

TEST_CASE("a tally gathers by network, takes in turns, and is bounded") {
    ClientTally tally(3);
    CHECK(tally.add(sessions("192.0.2.0", 1, 0)));
    CHECK(tally.add(sessions("198.51.100.0", 0, 1)));
    CHECK(tally.add(sessions("192.0.2.0", 0, 1)));
    CHECK(tally.add(sessions("203.0.113.0", 0, 1)));
    CHECK_FALSE(tally.add(sessions("2001:db8::", 0, 1)));
    CHECK(tally.add(sessions("203.0.113.0", 0, 1)));
    CHECK(tally.networks() == 3);

    std::set<std::string> taken;
    for (const auto& seen : tally.take(2)) taken.insert(client_network(seen.network));
    CHECK(tally.networks() == 1);
    CHECK(tally.add(sessions("192.0.2.0", 1, 0)));
    // One that comes again at once waits for the others.
    const auto next = tally.take(1);
    REQUIRE(next.size() == 1);
    CHECK(taken.insert(client_network(next[0].network)).second);
    CHECK(next[0].counts.plain_sessions == 2);
    CHECK(tally.take(10).size() == 1);
    CHECK(tally.take(10).empty());
}
