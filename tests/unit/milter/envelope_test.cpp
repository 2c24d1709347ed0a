// SPDX-License-Identifier: Apache-2.0
#include "milter/envelope.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <string>
#include <vector>

#include "lib/base/text.hpp"
#include "lib/diagnosis/header.hpp"

using namespace postfathom;
using namespace std::chrono_literals;

namespace {

const WallTime now{std::chrono::milliseconds{1'800'000'000'000}};

// "transport domain canonical=verbatim ..." or "-".
std::string shown(const std::optional<RecipientRoute>& route) {
    if (!route) return "-";
    auto text = route->transport + ' ' + route->domain;
    for (const auto& next_hop : route->next_hops)
        text += ' ' + next_hop.canonical + '=' + next_hop.verbatim;
    return text;
}

std::string route_text(std::string_view mailer, std::string_view host,
                       std::string_view recipient = "you@example.org") {
    return shown(route_of({mailer, host, recipient}));
}

KnownVerdict black_hole(WallTime measured_at = now) {
    return {.id = DiagnosisId::pmtu_black_hole,
            .severity = Severity::critical,
            .direction = Direction::inbound,
            .path_mtu = PathMtu{1400},
            .path_mtu_exact = true,
            .usable_mss = Mss{1360},
            .since = now - 2h,
            .measured_at = measured_at};
}

KnownVerdict with_severity(Severity severity) {
    auto verdict = black_hole();
    verdict.severity = severity;
    return verdict;
}

bool contains(const std::string& text, std::string_view part) {
    return text.find(part) != text.npos;
}

}  // namespace

TEST_CASE("a route is what Postfix's macros say, in every spelling") {
    struct Row {
        std::string_view mailer, host, recipient, expected;
    };
    const std::vector<Row> rows{
        {"smtp", "example.org", "you@example.org", "smtp example.org example.org=example.org"},
        {"smtp", "Example.ORG", "u@Example.Org", "smtp example.org example.org=Example.ORG"},
        {"smtp", "example.org", "<you@example.org>", "smtp example.org example.org=example.org"},
        {"relay", "[mx.example.net]:2525", "you@example.org",
         "relay example.org [mx.example.net]:2525=[mx.example.net]:2525"},
        {"smtp", "[MX.Example.net]", "you@example.org",
         "smtp example.org [mx.example.net]=[MX.Example.net]"},
        {"smtp", "[mx.example.net]:25", "you@example.org",
         "smtp example.org [mx.example.net]=[mx.example.net]:25"},
        {"smtp", "example.net:587", "you@example.org",
         "smtp example.org example.net:587=example.net:587"},
        {"smtp", "[192.0.2.1]", "user@[192.0.2.1]", "smtp [192.0.2.1] [192.0.2.1]=[192.0.2.1]"},
        {"smtp", "[IPv6:2001:db8::1]", "user@[IPv6:2001:db8::1]",
         "smtp [ipv6:2001:db8::1] [IPv6:2001:db8::1]=[IPv6:2001:db8::1]"},
        {"smtp", "[2001:db8::1]:587", "you@example.org",
         "smtp example.org [IPv6:2001:db8::1]:587=[2001:db8::1]:587"},
        {"smtp", "one.example.net two.example.net", "you@example.org",
         "smtp example.org one.example.net=one.example.net two.example.net=two.example.net"},
        {"smtp", "[one.example.net]:587, two.example.net", "you@example.org",
         "smtp example.org [one.example.net]:587=[one.example.net]:587 "
         "two.example.net=two.example.net"},
        {"smtp", "[IPv6:2001:DB8::1]:2525,example.net", "you@example.org",
         "smtp example.org [IPv6:2001:db8::1]:2525=[IPv6:2001:DB8::1]:2525 "
         "example.net=example.net"},
        {"smtp", "ONE.example.net\tTWO.example.net,\t[192.0.2.1]:26", "you@example.org",
         "smtp example.org one.example.net=ONE.example.net two.example.net=TWO.example.net "
         "[192.0.2.1]:26=[192.0.2.1]:26"},
        {"smtp", "Example.org:smtp", "you@example.org",
         "smtp example.org example.org=Example.org:smtp"},
        // What does not parse is left out, the rest is used.
        {"smtp", "a..b two.example.net", "you@example.org",
         "smtp example.org two.example.net=two.example.net"},
        {"slow", "example.org", "you@example.org", "slow example.org example.org=example.org"},
        {"smtp-tls", "example.org", "you@example.org",
         "smtp-tls example.org example.org=example.org"},
    };
    for (const auto& row : rows) {
        CAPTURE(row.host);
        CHECK(route_text(row.mailer, row.host, row.recipient) == row.expected);
    }
}

TEST_CASE("mail that does not go to an SMTP server has no route") {
    for (const auto* mailer :
         {"error", "ERROR", "local", "virtual", "discard", "retry", "pipe", "lmtp", "dovecot-lmtp",
          "LMTP", "maildrop", "uucp", "mailman", "scalemail-backend", ""}) {
        CAPTURE(mailer);
        CHECK(route_text(mailer, "example.org") == "-");
    }
    // What {rcpt_host} holds for these.
    CHECK(route_text("error", "5.7.1") == "-");
    CHECK(route_text("lmtp", "unix:/run/lmtp") == "-");
    CHECK(route_text("smtp", "unix:/run/smtp") == "-");
}

TEST_CASE("hostile or missing macros have no route") {
    const std::string long_name(70'000, 'a');
    const std::vector<std::string> hosts{"",
                                         " ",
                                         ",,,",
                                         "[]",
                                         "[",
                                         "]",
                                         "..",
                                         ":25",
                                         "[:]:",
                                         "example org\n\x01",
                                         "a\nb\x7f",
                                         "\xff\xfe.example.org",
                                         long_name,
                                         long_name + ".example.org",
                                         "example.org;id",
                                         "$(id).example.org",
                                         "[mx.example.net",
                                         "mx.example.net]:25",
                                         "example.org:99999",
                                         "example.org:-1"};
    for (const auto& host : hosts) {
        CAPTURE(printable(host, 40));
        const auto route = route_of({"smtp", host, "you@example.org"});
        if (!route) continue;
        // Only pieces that are next hops by themselves may remain.
        for (const auto& next_hop : route->next_hops) {
            CHECK(next_hop.verbatim == printable(next_hop.verbatim, 1000));
            CHECK(parse_next_hop(next_hop.verbatim).has_value());
        }
    }
    CHECK(route_text("smtp", "") == "-");
    CHECK(route_text("smtp", long_name) == "-");
    CHECK(route_text("smtp", "\xff\xfe.example.org") == "-");
    CHECK(route_text("smtp", "example.org:99999") == "-");

    for (const auto& recipient :
         {std::string(), std::string("postmaster"), std::string("you@"), std::string("you@[]"),
          std::string("you@a..b"), std::string("you@ex ample.org"),
          std::string("you@exa\nmple.org"), std::string("you@example.org:25"),
          std::string("you@[192.0.2.1]:25"), std::string("you@\xc3\xa4.example.org"),
          "you@" + long_name, "you@" + long_name + ".org"}) {
        CAPTURE(printable(recipient, 40));
        CHECK(route_text("smtp", "example.org", recipient) == "-");
    }
    CHECK(route_text("sm tp", "example.org") == "-");
    CHECK(route_text("smtp\n", "example.org") == "-");
    CHECK(route_text(long_name, "example.org") == "-");
}

TEST_CASE("every byte value and every cut of a macro is survived") {
    const std::string host = "[mx.example.net]:2525 [IPv6:2001:db8::1]:587, example.org";
    for (std::size_t size = 0; size <= host.size(); ++size) {
        const auto route = route_of({"smtp", host.substr(0, size), "you@example.org"});
        if (route) CHECK_FALSE(route->next_hops.empty());
    }
    for (std::size_t at = 0; at < host.size(); ++at)
        for (int byte = 1; byte < 256; ++byte) {  // macros are C strings
            auto changed = host;
            changed[at] = static_cast<char>(byte);
            const auto route = route_of({"smtp", changed, "you@example.org"});
            if (!route) continue;
            for (const auto& next_hop : route->next_hops)
                if (next_hop.verbatim != printable(next_hop.verbatim, 1000))
                    FAIL("not printable: ", printable(next_hop.verbatim));
        }
}

TEST_CASE("at most twenty listed next hops are taken") {
    std::string host;
    for (int i = 0; i < 100; ++i) host += "mx" + std::to_string(i) + ".example.net ";
    const auto route = route_of({"smtp", host, "you@example.org"});
    REQUIRE(route.has_value());
    CHECK(route->next_hops.size() == 20);
}

TEST_CASE("a route is news when it is unknown, different or a day old") {
    const auto route = route_of({"relay", "[MX.example.net]:25", "you@Example.org"});
    REQUIRE(route.has_value());
    const RouteRecord expected{.domain = "example.org",
                               .next_hop = "[mx.example.net]",
                               .verbatim = "[MX.example.net]:25",
                               .transport = "relay",
                               .learned_at = now};
    CHECK(route_to_learn(*route, std::nullopt, now) == expected);

    const auto known_with = [&](auto change) {
        auto known = expected;
        change(known);
        return route_to_learn(*route, known, now);
    };
    CHECK_FALSE(known_with([](auto&) {}).has_value());
    CHECK_FALSE(known_with([](auto& known) { known.learned_at -= 23h; }).has_value());
    CHECK_FALSE(known_with([](auto& known) { known.learned_at += 30min; }).has_value());
    CHECK(known_with([](auto& known) { known.learned_at -= 25h; }) == expected);
    CHECK(known_with([](auto& known) { known.learned_at += 48h; }) == expected);
    CHECK(known_with([](auto& known) { known.next_hop = "[mx2.example.net]"; }) == expected);
    CHECK(known_with([](auto& known) { known.verbatim = "[mx.example.net]"; }) == expected);
    CHECK(known_with([](auto& known) { known.transport = "smtp"; }) == expected);
}

TEST_CASE("mail hears of ill next hops only, and of no verdict that expired") {
    const AgeLimits limits;
    const auto opinion = [&](KnownVerdict verdict) {
        NextHopRecord record;
        record.next_hop = "example.org";
        record.verdict = verdict;
        return opinion_on(record, now, limits);
    };
    CHECK(opinion_on(std::nullopt, now, limits).wanted);
    CHECK_FALSE(opinion_on(std::nullopt, now, limits).finding.has_value());

    CHECK(opinion(black_hole(now)).finding == black_hole(now));
    CHECK_FALSE(opinion(black_hole(now)).wanted);
    CHECK(opinion(black_hole(now - 1h)).finding.has_value());
    CHECK(opinion(black_hole(now - 1h)).wanted);
    CHECK_FALSE(opinion(black_hole(now - 7h)).finding.has_value());
    CHECK(opinion(black_hole(now - 7h)).wanted);

    for (const auto severity : {Severity::ok, Severity::notice, Severity::unknown})
        CHECK_FALSE(opinion(with_severity(severity)).finding.has_value());
    CHECK(opinion(with_severity(Severity::warning)).finding.has_value());
}

TEST_CASE("a message without findings or copies is left as it is") {
    Envelope envelope;
    for (const auto* name : {"Subject", "X-Postfathom-Diagnosis-2", "X-Postfathom", "", "To"})
        envelope.header(name);
    const auto actions = envelope.actions(true, "relay.example.net");
    CHECK(actions.remove == 0);
    CHECK_FALSE(actions.copies_left);
    CHECK(actions.insert.empty());
}

TEST_CASE("every copy that arrives is removed, in any spelling of its name") {
    Envelope envelope;
    for (const auto* name : {"X-Postfathom-Diagnosis", "x-postfathom-diagnosis",
                             "X-POSTFATHOM-DIAGNOSIS", "X-Postfathom-Diagnosis ", "Subject"})
        envelope.header(name);
    CHECK(envelope.actions(true, "relay.example.net").remove == 4);
    // Also where we add none.
    CHECK(envelope.actions(false, "relay.example.net").remove == 4);
}

TEST_CASE("removals are bounded, and it is said when copies are left") {
    Envelope envelope;
    for (std::uint32_t i = 0; i < max_removed_copies; ++i) envelope.header(diagnosis_header_name);
    CHECK(envelope.actions(true, "h").remove == max_removed_copies);
    CHECK_FALSE(envelope.actions(true, "h").copies_left);
    for (int i = 0; i < 5000; ++i) envelope.header(diagnosis_header_name);
    CHECK(envelope.actions(true, "h").remove == max_removed_copies);
    CHECK(envelope.actions(true, "h").copies_left);
}

TEST_CASE("an ill next hop gets one header that names host, next hop, finding and sizes") {
    Envelope envelope;
    envelope.add_finding("[mx.example.org]:587", black_hole());
    const auto actions = envelope.actions(true, "relay.example.net");
    REQUIRE(actions.insert.size() == 1);
    const auto& value = actions.insert.front();
    CHECK(value.starts_with("relay.example.net;"));
    for (const auto* part : {"next-hop=[mx.example.org]:587", "diagnosis=pmtu-black-hole",
                             "direction=inbound", "path-mtu=1400", "mss=1360", "since="})
        CHECK(contains(value, part));
    CHECK_FALSE(contains(value, "\r"));
    CHECK(envelope.actions(false, "relay.example.net").insert.empty());
}

TEST_CASE("at most four headers are added, the worst first, else in the order of recipients") {
    Envelope envelope;
    envelope.add_finding("a.example.org", with_severity(Severity::warning));
    envelope.add_finding("b.example.org", with_severity(Severity::warning));
    envelope.add_finding("c.example.org", with_severity(Severity::critical));
    envelope.add_finding("d.example.org", with_severity(Severity::warning));
    envelope.add_finding("e.example.org", with_severity(Severity::critical));
    envelope.add_finding("f.example.org", with_severity(Severity::warning));
    const auto actions = envelope.actions(true, "relay.example.net");
    REQUIRE(actions.insert.size() == max_diagnosis_headers);
    CHECK(contains(actions.insert[0], "c.example.org"));
    CHECK(contains(actions.insert[1], "e.example.org"));
    CHECK(contains(actions.insert[2], "a.example.org"));
    CHECK(contains(actions.insert[3], "b.example.org"));
}

TEST_CASE("a hostile host token or next hop cannot begin another header") {
    Envelope envelope;
    envelope.add_finding("evil\r\nX-Injected: yes", black_hole());
    const auto actions = envelope.actions(true, "relay\r\nBcc: you@example.org");
    REQUIRE(actions.insert.size() == 1);
    for (std::size_t at = 0; (at = actions.insert[0].find('\n', at)) != std::string::npos; ++at)
        CHECK(actions.insert[0].substr(at + 1, 1) == "\t");
    CHECK_FALSE(contains(actions.insert[0], "\r"));
}

TEST_CASE("a next hop is looked up once for a message, and only so many are") {
    Envelope envelope;
    CHECK(envelope.first_sight("example.org"));
    CHECK_FALSE(envelope.first_sight("example.org"));
    std::size_t looked_up = 1;
    for (int i = 0; i < 1000; ++i)
        if (envelope.first_sight("d" + std::to_string(i) + ".example.org")) ++looked_up;
    CHECK(looked_up == max_next_hops_per_message);
}
