// SPDX-License-Identifier: Apache-2.0
#include "lib/mail_queue/listing.hpp"

#include <doctest/doctest.h>

#include <random>
#include <vector>

using namespace postfathom;

namespace {

// As postqueue(1) of 3.7 prints it.
const std::string whole =
    R"({"queue_name": "deferred", "queue_id": "AF4C3A8E0ED", "arrival_time": 1795411476, )"
    R"("message_size": 598, "forced_expire": false, "sender": "someone@example.com", )"
    R"("recipients": [{"address": "user@example.net", "delay_reason": )"
    R"("Cannot start TLS: handshake failure"}, {"address": "other@example.org"}]})";

}  // namespace

TEST_CASE("a message of the queue is read with all its recipients") {
    const auto message = parse_queued_message(whole);
    REQUIRE(message);
    CHECK(*message == QueuedMessage{"deferred",
                                    "AF4C3A8E0ED",
                                    1795411476,
                                    598,
                                    false,
                                    "someone@example.com",
                                    {{"user@example.net", "Cannot start TLS: handshake failure"},
                                     {"other@example.org", ""}}});
}

TEST_CASE("later members, an empty sender and bytes that are no UTF-8 do no harm") {
    const auto message = parse_queued_message(
        "{\"queue_name\": \"hold\", \"queue_id\": \"1\", \"arrival_time\": 0, \"sender\": \"\", "
        "\"later\": [{}], \"forced_expire\": true, \"recipients\": [{\"address\": "
        "\"\xff@example.net\", \"bounce_reason\": \"x\"}]}");
    REQUIRE(message);
    CHECK(message->message_size == 0);
    CHECK(message->forced_expire);
    REQUIRE(message->recipients.size() == 1);
    CHECK(message->recipients[0].address == "\xff@example.net");
}

TEST_CASE("what is no message is refused with what was expected") {
    struct Row {
        std::string line;
        std::string expected;
    };
    const std::string head = R"({"queue_name": "deferred", "queue_id": "A", )";
    for (const auto& row : std::vector<Row>{
             {"", "JSON object"},
             {"null", "JSON object"},
             {"[]", "JSON object"},
             {"Mail queue is empty", "JSON object"},
             {std::string(100'000, '['), "JSON object"},
             {whole + whole, "JSON object"},
             {"{}", "queue_id"},
             {R"({"queue_name": "", "queue_id": "A", "arrival_time": 1, "recipients": []})",
              "queue_name"},
             {R"({"queue_name": 1, "queue_id": "A", "arrival_time": 1, "recipients": []})",
              "queue_name"},
             {head + R"("recipients": []})", "arrival_time"},
             {head + R"("arrival_time": -1, "recipients": []})", "arrival_time"},
             {head + R"("arrival_time": 1e300, "recipients": []})", "arrival_time"},
             {head + R"("arrival_time": 9223372036854775807, "recipients": []})", "arrival_time"},
             {head + R"("arrival_time": "1", "recipients": []})", "arrival_time"},
             {head + R"("arrival_time": 1})", "recipients"},
             {head + R"("arrival_time": 1, "recipients": {}})", "recipients"},
             {head + R"("arrival_time": 1, "recipients": ["user@example.net"]})", "address"},
             {head + R"("arrival_time": 1, "recipients": [{"address": null}]})", "address"},
         }) {
        CAPTURE(row.line.substr(0, 200));
        const auto message = parse_queued_message(row.line);
        REQUIRE_FALSE(message);
        CHECK(message.error().code == ErrorCode::invalid_input);
        CHECK(message.error().message.find(row.expected) != std::string::npos);
    }
}

TEST_CASE("a message cut anywhere is refused, and no change of bytes does harm") {
    for (std::size_t length = 0; length < whole.size(); ++length)
        CHECK_FALSE(parse_queued_message(whole.substr(0, length)));
    std::mt19937 random(1);
    for (int round = 0; round < 20'000; ++round) {
        auto damaged = whole;
        for (int i = 0; i < 3; ++i)
            damaged[random() % damaged.size()] = static_cast<char>(random());
        const auto message = parse_queued_message(damaged);
        if (message) CHECK(message->arrival_time >= 0);
    }
}

TEST_CASE("lines come together from pieces of any size") {
    const std::string text = whole + "\n\n  \n" + whole + "\nnoise\n" + whole;
    for (std::size_t size = 1; size < text.size(); size += 7) {
        std::uint64_t seen = 0;
        QueueListing listing([&](const QueuedMessage&) { ++seen; });
        for (std::size_t at = 0; at < text.size(); at += size)
            listing.bytes(std::string_view(text).substr(at, size));
        listing.end();
        CHECK(seen == 3);
        CHECK(listing.messages() == 3);
        CHECK(listing.unreadable() == 1);
        CHECK(listing.first_fault().find("JSON object") != std::string::npos);
    }
}

TEST_CASE("a line without end takes no memory, and the next one is read") {
    std::uint64_t seen = 0;
    QueueListing listing([&](const QueuedMessage&) { ++seen; });
    const std::string piece(1 << 20, '{');
    for (int i = 0; i < 40; ++i) listing.bytes(piece);
    listing.bytes("\n" + whole + "\n");
    listing.end();
    CHECK(seen == 1);
    CHECK(listing.unreadable() == 1);
    CHECK(listing.first_fault().find("longer than") != std::string::npos);
}
