// SPDX-License-Identifier: Apache-2.0
#include "lib/mail_log/delivery_stories.hpp"

#include <doctest/doctest.h>

#include <boost/json/serialize.hpp>
#include <sstream>

#include "lib/mail_log/read_lines.hpp"

using namespace postfathom;

namespace {

const std::string smtp = "relay postfix/smtp[3910]: ";
const std::string other_smtp = "relay postfix/smtp[3911]: ";
const std::string error_8 = "relay postfix/error[4000]: ";
const std::string qmgr = "relay postfix/qmgr[20]: ";
const std::string handshake = "Cannot start TLS: handshake failure";

void tell(DeliveryStories& stories, const std::string& lines) {
    std::istringstream in(lines);
    read_log_lines(in, [&](std::string_view line) { stories.line(line); });
}

std::string at(int minute, const std::string& rest) {
    return "Nov 23 01:" + std::to_string(10 + minute) + ":00 " + rest + "\n";
}

std::string deferred(const std::string& to, const std::string& relay, const std::string& delay,
                     const std::string& dsn, const std::string& words) {
    return "to=<" + to + ">, relay=" + relay + ", delay=" + delay + ", delays=0.1/0/" + delay +
           "/0, dsn=" + dsn + ", status=deferred (" + words + ")";
}

}  // namespace

TEST_CASE("a message's attempts are told with what went wrong on the way") {
    DeliveryStories stories;
    tell(
        stories,
        at(0, qmgr + "45952A7814D: from=<me@example.net>, size=302, nrcpt=2 (queue active)") +
            at(0, smtp + "connect to a.example.org[192.0.2.1]:25: Connection timed out") +
            at(1, smtp + "SSL_connect error to b.example.org[192.0.2.2]:25: Connection timed out") +
            at(1, smtp + "45952A7814D: " +
                      deferred("x@example.org", "b.example.org[192.0.2.2]:25", "300", "4.7.5",
                               handshake + " (path: pmtu-black-hole inbound, path MTU 1400)")) +
            at(1, smtp + "45952A7814D: " +
                      deferred("y@example.org", "b.example.org[192.0.2.2]:25", "300", "4.7.5",
                               handshake + " (path: pmtu-black-hole inbound, path MTU 1400)")));
    const auto* story = stories.find("45952A7814D");
    REQUIRE(story != nullptr);
    CHECK(story->size == 302U);
    CHECK(story->recipients == 2U);
    CHECK(story->last_active == "Nov 23 01:10:00");
    CHECK(story->removed.empty());
    REQUIRE(story->attempts.size() == 1);
    const auto& attempt = story->attempts.front();
    CHECK(attempt.at == "Nov 23 01:11:00");
    CHECK(attempt.recipients == 2);
    CHECK(attempt.recipient_domain == "example.org");
    CHECK(attempt.delay == "300");
    CHECK(attempt.delays == "0.1/0/300/0");
    CHECK(attempt.dsn == "4.7.5");
    CHECK(attempt.status == "deferred");
    CHECK(attempt.trouble == TroubleKind::cannot_start_tls);
    CHECK(attempt.server()->address.to_string() == "192.0.2.2");
    REQUIRE(attempt.failed.size() == 2);
    CHECK(attempt.failed[0].kind == TroubleKind::connect_failed);
    CHECK(attempt.failed[1].kind == TroubleKind::handshake_error);
    CHECK(attempt.failed[1].reason == "Connection timed out");
    CHECK(boost::json::serialize(to_json(*story)).find("x@example.org") == std::string::npos);

    SUBCASE("a later attempt is one more, and the failures of the first are not its own") {
        tell(stories,
             at(7, smtp + "45952A7814D: " +
                       deferred("x@example.org", "b.example.org[192.0.2.2]:25", "600", "4.4.2",
                                "lost connection with b.example.org[192.0.2.2] "
                                "while sending message body")));
        REQUIRE(story->attempts.size() == 2);
        CHECK(story->attempts[1].recipients == 1);
    }
    SUBCASE("another message by the same process has no part in these failures") {
        tell(stories, at(2, smtp + "55952A7814D: " +
                                deferred("x@example.com", "none", "1", "4.4.1",
                                         "connect to c.example.com[192.0.2.3]:25: refused")));
        REQUIRE(stories.find("55952A7814D")->attempts.size() == 1);
        CHECK(stories.find("55952A7814D")->attempts[0].failed.empty());
        CHECK(stories.find("55952A7814D")->attempts[0].server()->address.to_string() ==
              "192.0.2.3");
    }
    SUBCASE("it leaves the queue") {
        tell(stories, at(9, qmgr + "45952A7814D: removed"));
        CHECK(story->removed == "Nov 23 01:19:00");
        SUBCASE("and another one gets its id") {
            tell(stories,
                 at(10,
                    qmgr + "45952A7814D: from=<me@example.net>, size=5, nrcpt=1 (queue active)"));
            CHECK(stories.find("45952A7814D")->attempts.empty());
            CHECK(stories.find("45952A7814D")->removed.empty());
        }
    }
    SUBCASE("it is given up") {
        tell(
            stories,
            at(9, qmgr + "45952A7814D: from=<me@example.net>, status=expired, returned to sender"));
        CHECK(story->expired);
    }
}

TEST_CASE("a suspended delivery is traced to the failure that gave the destination up") {
    const std::string tag = " (path: pmtu-black-hole inbound, path MTU 1400, MSS 1360 works)";
    const auto suspended = [](const std::string& to, const std::string& words) {
        return error_8 + "66952A7814D: " +
               deferred(to, "none", "20", "4.7.5", "delivery temporarily suspended: " + words);
    };
    const auto fails = [&](const std::string& id, const std::string& to, const std::string& words) {
        return smtp + id + ": " +
               deferred(to, "b.example.org[192.0.2.2]:25", "300", "4.7.5", words);
    };
    DeliveryStories stories;
    tell(stories, at(0, fails("45952A7814D", "x@example.org", handshake + tag)) +
                      at(1, fails("55952A7814D", "x@example.com", handshake)));
    struct Row {
        std::string name;
        std::string to;
        std::string words;
        std::string by;  // queue id, "" for none
    };
    const std::vector<Row> rows{
        {"same place, same words, which are quoted without our tag", "y@example.org", handshake,
         "45952A7814D"},
        {"another place with the same words", "y@example.com", handshake, "55952A7814D"},
        {"a place that nothing failed to", "y@example.net", handshake, ""},
        {"other words", "y@example.org", "Server certificate not verified", ""},
    };
    for (const auto& row : rows) {
        CAPTURE(row.name);
        auto copy = DeliveryStories();
        tell(copy, at(0, fails("45952A7814D", "x@example.org", handshake + tag)) +
                       at(1, fails("55952A7814D", "x@example.com", handshake)) +
                       at(2, suspended(row.to, row.words)));
        const auto* story = copy.find("66952A7814D");
        REQUIRE(story != nullptr);
        REQUIRE(story->attempts.size() == 1);
        const auto& attempt = story->attempts.front();
        CHECK(attempt.suspended);
        CHECK((attempt.suspended_by ? attempt.suspended_by->queue_id : "") == row.by);
        if (!row.by.empty()) CHECK(attempt.suspended_by->server->port == 25);
    }
    SUBCASE("domains that go to one relay share its fate") {
        DeliveryStories relayed([](const std::string&) { return "[relay.example.net]:587"; });
        tell(relayed, at(0, fails("45952A7814D", "x@example.org", handshake + tag)) +
                          at(2, suspended("y@example.net", handshake)));
        REQUIRE(relayed.find("66952A7814D")->attempts[0].suspended_by);
        CHECK(relayed.find("66952A7814D")->attempts[0].suspended_by->queue_id == "45952A7814D");
        CHECK(relayed.find("66952A7814D")->attempts[0].next_hop == "[relay.example.net]:587");
    }
    SUBCASE("a suspended one is no cause") {
        tell(stories, at(2, suspended("y@example.net", handshake)) +
                          at(3, suspended("z@example.net", handshake)));
        for (const auto& attempt : stories.find("66952A7814D")->attempts)
            CHECK_FALSE(attempt.suspended_by);
    }
    SUBCASE("long words are cut, and found all the same") {
        const std::string long_words = handshake + std::string(600, 'x');
        tell(stories, at(4, fails("77952A7814D", "x@example.org", long_words)) +
                          at(5, suspended("y@example.org", long_words)));
        REQUIRE(stories.find("66952A7814D")->attempts[0].suspended_by);
        CHECK(stories.find("66952A7814D")->attempts[0].suspended_by->queue_id == "77952A7814D");
    }
}

TEST_CASE("the tag is taken off, and nothing else is") {
    CHECK(without_tag("a (path: b)") == "a");
    CHECK(without_tag("a (path: b) c") == "a (path: b) c");
    CHECK(without_tag("a (in reply to MAIL FROM)") == "a (in reply to MAIL FROM)");
    CHECK(without_tag("").empty());
}

TEST_CASE("what is kept is bounded, and deliveries do not push out troubles") {
    DeliveryStories stories;
    const auto id = [](std::size_t n) {
        const std::string digits = std::to_string(n);
        return "A" + std::string(7 - digits.size(), '0') + digits;
    };
    tell(stories, at(0, smtp + "BBBBB1: " + deferred("x@example.org", "none", "1", "4.4.1", "no")));
    for (std::size_t n = 0; n < 20'000; ++n)
        tell(stories,
             at(0, qmgr + id(n) + ": from=<>, size=1, nrcpt=1 (queue active)") +
                 at(0, smtp + id(n) +
                           ": to=<u@example.org>, relay=m[192.0.2.1]:25, delay=1, delays=0/0/1/0, "
                           "dsn=2.0.0, status=sent (250 ok)") +
                 at(0, qmgr + id(n) + ": removed"));
    CHECK(stories.size() <= DeliveryStories::max_delivered + 1);
    CHECK(stories.find("BBBBB1") != nullptr);
    CHECK(stories.find(id(0)) == nullptr);
    CHECK(stories.find(id(19'999)) != nullptr);
    for (std::size_t n = 0; n < DeliveryStories::max_troubled + 10; ++n)
        tell(stories,
             at(0, smtp + id(n) + ": " + deferred("x@example.org", "none", "1", "4.4.1", "no")));
    CHECK(stories.size() <= DeliveryStories::max_troubled + DeliveryStories::max_delivered);
    CHECK(stories.find("BBBBB1") == nullptr);

    SUBCASE("of many attempts the first and the last ones") {
        for (int n = 0; n < 50; ++n)
            tell(stories, at(n % 40, smtp + "CCCCC1: " +
                                         deferred("x@example.org", "none", std::to_string(n),
                                                  "4.4.1", "no " + std::to_string(n))));
        const auto* story = stories.find("CCCCC1");
        REQUIRE(story->attempts.size() == DeliveryStories::max_attempts);
        CHECK(story->attempts.front().text == "no 0");
        CHECK(story->attempts.back().text == "no 49");
        CHECK(story->left_out == 40);
    }
    SUBCASE("processes come and go") {
        for (std::uint32_t pid = 1; pid < 10'000; ++pid)
            tell(stories, at(0, "relay postfix/smtp[" + std::to_string(pid) +
                                    "]: connect to a[192.0.2.1]:25: Connection refused"));
        CHECK(stories.find("BBBBB1") == nullptr);
    }
}

TEST_CASE("lines of others, cut ones and noise tell nothing") {
    DeliveryStories stories;
    const auto whole =
        at(0, smtp + "45952A7814D: " + deferred("x@example.org", "none", "1", "4.4.1", "no"));
    for (const std::string& line :
         {std::string("\n"), at(0, "relay postfix/smtpd[1]: 45952A7814D: client=x[192.0.2.1]"),
          at(0, qmgr + "removed"), at(0, qmgr + "45952A7814D: removed"),
          at(0, qmgr + "45952A7814D: skipped, still being delivered"),
          at(0, other_smtp + ": to=<x@example.org>"), std::string("\xff\xfe\n")})
        tell(stories, line);
    for (std::size_t length = 0; length + 20 < whole.find(", status="); ++length)
        tell(stories, whole.substr(0, length) + "\n");
    CHECK(stories.size() == 0);
    tell(stories, whole);
    CHECK(stories.size() == 1);
}
