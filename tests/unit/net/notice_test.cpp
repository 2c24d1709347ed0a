// SPDX-License-Identifier: Apache-2.0
#include "lib/net/notice.hpp"

#include <doctest/doctest.h>
#include <sys/socket.h>

#include <random>
#include <thread>
#include <vector>

#include "lib/base/descriptor.hpp"
#include "lib/net/listener.hpp"
#include "tests/unit/cache/sample.hpp"

namespace postfathom {
namespace {

std::vector<Notice> samples() {
    return {RouteLearned{sample::route("example.com")},
            VerdictWanted{"[mail.example.org]:587"},
            FailureSeen{sample::endpoint(), "example.org", "Cannot start TLS: handshake failure"},
            FailureSeen{sample::endpoint("2001:db8::1", 587, ""), "", ""},
            ClientsSeen{{network_of(sample::endpoint().address),
                         {3, 1, 0, 0},
                         ClientTls{"TLSv1.3", "TLS_AES_256_GCM_SHA384", 256}}},
            ClientsSeen{{network_of(sample::endpoint("2001:db8::1").address), {0, 0, 2, 1}}},
            HookTimes{HookSocket::dsn, {1, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7}, 2'100'000}};
}

std::string receive(int socket) {
    std::string bytes(2 * max_notice_bytes, '\0');
    const auto got = ::recv(socket, bytes.data(), bytes.size(), MSG_DONTWAIT);
    bytes.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
    return bytes;
}

}  // namespace

TEST_CASE("every notice reads as it was sent") {
    for (const auto& notice : samples()) {
        const auto bytes = encode(notice);
        CAPTURE(bytes);
        const auto read = decode_notice(bytes);
        REQUIRE_MESSAGE(read, (read ? "" : read.error().message));
        CHECK(*read == notice);
    }
    CHECK(encode(Notice(VerdictWanted{"example.org"})) ==
          R"({"v":1,"notice":"verdict-wanted","next_hop":"example.org"})");
}

TEST_CASE("no notice is longer than its limit, whatever is in it") {
    const std::string quotes(10'000, '"');
    auto route = sample::route(quotes);
    route.next_hop = route.verbatim = route.transport = quotes;
    CHECK(encode(Notice(RouteLearned{route})).size() <= max_notice_bytes);
    CHECK(encode(Notice(VerdictWanted{quotes})).size() <= max_notice_bytes);
    auto endpoint = sample::endpoint();
    endpoint.name = quotes;
    CHECK(encode(Notice(FailureSeen{endpoint, quotes, quotes})).size() <= max_notice_bytes);
    const auto read = decode_notice(
        encode(Notice(FailureSeen{sample::endpoint(), "example.org", std::string(9000, '\n')})));
    REQUIRE(read);
    CHECK(std::get<FailureSeen>(*read).reason.size() == 512);
}

TEST_CASE("what is not exactly a notice is refused with a reason") {
    const char* cases[] = {
        "",
        "x",
        "[]",
        "{}",
        R"({"v":1})",
        R"({"v":2,"notice":"verdict-wanted","next_hop":"example.org"})",
        R"({"notice":"verdict-wanted","next_hop":"example.org"})",
        R"({"v":1,"notice":"shutdown"})",
        R"({"v":1,"notice":["verdict-wanted"],"next_hop":"example.org"})",
        R"({"v":1,"notice":"verdict-wanted"})",
        R"({"v":1,"notice":"clients-seen"})",
        R"({"v":1,"notice":"clients-seen","network":"192.0.2.1/24","tls":1})",
        R"({"v":1,"notice":"clients-seen","network":"192.0.2.0/24","tls":"1"})",
        R"({"v":1,"notice":"clients-seen","network":"192.0.2.0/24","since":1})",
        R"({"v":1,"notice":"verdict-wanted","next_hop":""})",
        R"({"v":1,"notice":"hook-times","hook":"policy","counts":[],"microseconds":1})",
        R"({"v":1,"notice":"hook-times","hook":"policy","counts":[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0],"microseconds":1})",
        R"({"v":1,"notice":"hook-times","hook":"policy","counts":[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,-1],"microseconds":1})",
        R"({"v":1,"notice":"hook-times","hook":"policy","counts":[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0.5],"microseconds":1})",
        R"({"v":1,"notice":"hook-times","hook":"smtp","counts":[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0],"microseconds":1})",
        R"({"v":1,"notice":"hook-times","hook":"policy","counts":[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0]})",
        R"({"v":1,"notice":"verdict-wanted","next_hop":"Example.ORG"})",
        R"({"v":1,"notice":"verdict-wanted","next_hop":"[example.org]:25"})",
        R"({"v":1,"notice":"verdict-wanted","next_hop":"ex ample"})",
        R"({"v":1,"notice":"verdict-wanted","next_hop":"example.org","extra":1})",
        R"({"v":1,"notice":"verdict-wanted","next_hop":"example.org"} )"
        "x",
        R"({"v":1,"notice":"route-learned","domain":"a.example","next_hop":"b.example"})",
        R"({"v":1,"notice":"route-learned","domain":"a.example","next_hop":"b.example","learned_at":-1})",
        R"({"v":1,"notice":"route-learned","domain":"A.example","next_hop":"b.example","learned_at":1})",
        R"({"v":1,"notice":"failure-seen","address":"192.0.2.1","port":0,"service":"smtp"})",
        R"({"v":1,"notice":"failure-seen","address":"mail","port":25,"service":"smtp"})",
        R"({"v":1,"notice":"failure-seen","address":"192.0.2.1","port":25,"service":"http"})",
        R"({"v":1,"notice":"failure-seen","address":"192.0.2.1","port":25,"service":"smtp","reason":"\u0000"})",
        R"({"v":1,"notice":"failure-seen","address":"192.0.2.1","port":25,"service":"smtp","reason":{"a":[[[[[[[[[[1]]]]]]]]]]}})",
    };
    for (const auto* bytes : cases) {
        CAPTURE(bytes);
        const auto read = decode_notice(bytes);
        REQUIRE_FALSE(read);
        CHECK(read.error().code == ErrorCode::corrupt);
        CHECK(read.error().message.size() > 10);
    }
    CHECK_FALSE(decode_notice(std::string(max_notice_bytes + 1, ' ')));
}

TEST_CASE("cut and mutated notices are refused or valid") {
    std::mt19937 random(3);  // NOLINT: the same mutations every time
    for (const auto& notice : samples()) {
        const auto bytes = encode(notice);
        for (std::size_t length = 0; length < bytes.size(); ++length)
            CHECK_FALSE(decode_notice(std::string_view(bytes).substr(0, length)));
        for (int i = 0; i < 3000; ++i) {
            auto changed = bytes;
            for (auto changes = 1 + random() % 3; changes > 0; --changes)
                changed[random() % changed.size()] = static_cast<char>(random());
            if (const auto read = decode_notice(changed))
                CHECK(decode_notice(encode(*read)) == *read);
        }
    }
}

TEST_CASE(
    "notices arrive; without a receiver they are dropped and counted; a new receiver is found") {
    const sample::Directory directory;
    const SocketPlace place{(directory.path() / "notice.sock").string(), 0660, "", ""};
    NoticeSender sender(place.path);
    const Notice notice = VerdictWanted{"example.org"};
    CHECK_FALSE(sender.send(notice));
    CHECK(sender.dropped() == 1);
    for (int restart = 0; restart < 3; ++restart) {
        Descriptor receiver(bind_unix_datagram(place).value_or(-1));
        REQUIRE(receiver);
        CHECK(sender.send(notice));
        CHECK(receive(receiver.get()) == encode(notice));
        receiver.reset();
        CHECK_FALSE(sender.send(notice));
    }
    CHECK(sender.dropped() == 4);
}

TEST_CASE("a receiver that does not read never holds up a sender") {
    const sample::Directory directory;
    const SocketPlace place{(directory.path() / "notice.sock").string(), 0660, "", ""};
    const Descriptor receiver(bind_unix_datagram(place).value_or(-1));
    REQUIRE(receiver);
    NoticeSender sender(place.path);
    const auto start = std::chrono::steady_clock::now();
    std::uint64_t sent = 0;
    constexpr std::uint64_t all = 20'000;
    for (std::uint64_t i = 0; i < all; ++i)
        sent += sender.send(VerdictWanted{"example.org"}) ? 1 : 0;
    CHECK(sender.dropped() > 0);
    CHECK(sent + sender.dropped() == all);
    CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(10));
}

TEST_CASE("many threads send through one sender, and no notice is garbled") {
    const sample::Directory directory;
    const SocketPlace place{(directory.path() / "notice.sock").string(), 0660, "", ""};
    const Descriptor receiver(bind_unix_datagram(place).value_or(-1));
    REQUIRE(receiver);
    NoticeSender sender(place.path);
    std::vector<std::thread> threads;
    for (int t = 0; t < 8; ++t)
        threads.emplace_back([&sender, t] {
            for (int i = 0; i < 500; ++i)
                sender.send(VerdictWanted{"h" + std::to_string(t) + ".example"});
        });
    std::uint64_t read = 0;
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    const auto drain = [&] {
        for (std::string bytes; !(bytes = receive(receiver.get())).empty(); ++read)
            CHECK(decode_notice(bytes));
    };
    while (read + sender.dropped() < 4000 && std::chrono::steady_clock::now() < deadline) drain();
    for (auto& thread : threads) thread.join();
    drain();
    CHECK(read + sender.dropped() == 4000);
    CHECK(read > 0);
}

TEST_CASE("a socket path that cannot be means drops, not trouble") {
    NoticeSender none("");
    NoticeSender too_long(std::string(500, 'x'));
    CHECK_FALSE(none.send(VerdictWanted{"example.org"}));
    CHECK_FALSE(too_long.send(VerdictWanted{"example.org"}));
    CHECK(too_long.dropped() == 1);
}

}  // namespace postfathom
