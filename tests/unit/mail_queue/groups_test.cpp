// SPDX-License-Identifier: Apache-2.0
#include "lib/mail_queue/groups.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

using namespace postfathom;

namespace {

const std::string stalled = "Cannot start TLS: handshake failure";
const std::string body =
    "conversation with mx.example.net[192.0.2.1] timed out while sending message body";
const std::string unreachable =
    "connect to relay.example.org[198.51.100.1]:587: Connection timed out";

MailPlace unknown(const std::string&) { return {}; }

QueuedMessage message(const std::string& id, std::int64_t arrival,
                      std::vector<QueuedRecipient> recipients,
                      const std::string& queue = "deferred") {
    return {queue, id, arrival, 1000, false, "someone@example.com", std::move(recipients)};
}

}  // namespace

TEST_CASE("where mail goes: a route, the domain, else the server that the reason names") {
    const RouteOf routes = [](const std::string& domain) -> MailPlace {
        if (domain == "example.com")
            return {"[relay.example.org]:587", "[relay.example.org]:587", PlaceSource::learned};
        return {};
    };
    struct Row {
        QueuedRecipient recipient;
        MailPlace place;
    };
    for (const auto& row : std::vector<Row>{
             {{"a@Example.COM", stalled},
              {"[relay.example.org]:587", "[relay.example.org]:587", PlaceSource::learned}},
             {{"a@example.net", unreachable}, {"example.net", "example.net", PlaceSource::domain}},
             {{"a@[192.0.2.7]", stalled}, {"[192.0.2.7]", "[192.0.2.7]", PlaceSource::domain}},
             {{"root", unreachable},
              {"[relay.example.org]:587", "[relay.example.org]:587", PlaceSource::reason}},
             {{"root", "connect to unknown[2001:db8::1]:25: Connection refused"},
              {"[IPv6:2001:db8::1]", "[IPv6:2001:db8::1]", PlaceSource::reason}},
             {{"root", "connect to 192.0.2.1[192.0.2.1]:25: Connection refused"},
              {"[192.0.2.1]", "[192.0.2.1]", PlaceSource::reason}},
             {{"root", "mailbox is full"}, {}},
             {{"a@-bad domain;rm", "x"}, {}},
         }) {
        CAPTURE(row.recipient.address);
        const auto place = place_of(row.recipient, routes);
        CHECK(place.next_hop == row.place.next_hop);
        CHECK(place.verbatim == row.place.verbatim);
        CHECK(to_string(place.source) == to_string(row.place.source));
    }
}

TEST_CASE("stuck mail is grouped by place and reason, most messages first") {
    QueueGroups groups(unknown);
    groups.message(message("A", 300, {{"a@example.org", stalled}}));
    groups.message(message("B", 200, {{"a@example.net", body}, {"b@EXAMPLE.net", body}}));
    groups.message(message("C", 100, {{"c@example.net", body}, {"d@example.org", stalled}}));
    groups.message(message("D", 400, {{"c@example.net", body}}, "active"));
    groups.message(message("E", 50, {{"c@example.net", stalled}}));

    const auto found = groups.groups();
    REQUIRE(found.size() == 3);
    CHECK(found[0].place.next_hop == "example.net");
    CHECK(found[0].kind == FailureKind::body);
    CHECK(found[0].messages == 3);
    CHECK(found[0].recipients == 4);
    CHECK(found[0].bytes == 3000);
    CHECK(found[0].oldest == 100);
    CHECK(found[0].oldest_id == "C");
    CHECK(found[0].example == body);
    CHECK(found[1].place.next_hop == "example.org");
    CHECK(found[1].messages == 2);
    CHECK(found[2].kind == FailureKind::handshake);
    CHECK(found[2].oldest == 50);
    CHECK(groups.stuck() == 5);
}

TEST_CASE("mail that is new or held is not stuck; deferred mail without a reason is") {
    QueueGroups groups(unknown);
    groups.message(message("A", 1, {{"a@example.org", ""}}, "active"));
    groups.message(message("B", 1, {{"a@example.org", ""}}, "incoming"));
    groups.message(message("C", 1, {{"a@example.org", stalled}}, "hold"));
    groups.message(message("D", 1, {}, "deferred"));
    groups.message(message("E", 1, {{"a@example.org", ""}}, "deferred"));
    CHECK(groups.stuck() == 1);
    CHECK(groups.held() == 1);
    CHECK(groups.under_way() == 3);
    REQUIRE(groups.groups().size() == 1);
    CHECK(groups.groups()[0].example.empty());
    CHECK(groups.groups()[0].kind == FailureKind::other);
}

TEST_CASE("a server that said no, our own tables and local mail are no matter for a probe") {
    struct Row {
        std::string address;
        std::string reason;
        bool probe;
    };
    for (const auto& row : std::vector<Row>{
             {"a@example.org", stalled, true},
             {"a@example.org", "delivery temporarily suspended: " + body, true},
             {"a@example.org", "Host or domain name not found. Name service error for x", true},
             {"a@example.org", "", true},
             {"a@example.org", "host mx.example.org[192.0.2.1] said: 452 4.2.2 mailbox full",
              false},
             {"a@example.org", "client TLS configuration problem", false},
             {"root", "mailbox is full", false},
         }) {
        CAPTURE(row.reason);
        QueueGroups groups(unknown);
        groups.message(message("A", 1, {{row.address, row.reason}}));
        REQUIRE(groups.groups().size() == 1);
        CHECK(worth_probing(groups.groups()[0]) == row.probe);
    }
}

TEST_CASE("a queue to more places than there is room for is counted whole") {
    QueueGroups groups(unknown, 10);
    for (int i = 0; i < 100; ++i)
        groups.message(message("A", 1, {{fmt::format("a@example{}.org", i), stalled}}));
    const auto found = groups.groups();
    REQUIRE(found.size() == 11);
    CHECK(found[0].messages == 90);
    CHECK(found[0].place.source == PlaceSource::none);
    CHECK(groups.stuck() == 100);
}

TEST_CASE("the route of a domain is asked for once") {
    int asked = 0;
    QueueGroups groups([&](const std::string&) -> MailPlace {
        ++asked;
        return {};
    });
    for (int i = 0; i < 100; ++i) groups.message(message("A", 1, {{"a@example.org", stalled}}));
    CHECK(asked == 1);
}
