// SPDX-License-Identifier: Apache-2.0
#include "policyd/tables.hpp"

#include <doctest/doctest.h>

#include <array>

#include "lib/diagnosis/header.hpp"
#include "tests/unit/policyd/fake_cache.hpp"

using namespace postfathom;
using namespace std::chrono_literals;

namespace {

// The answer to a key whose server is in the key itself, "-" for none, with "+" when it is
// reported.
std::string dsn(const FakeCache& cache, const std::string& key) {
    const auto question = parse_dsn_key(key);
    if (!question) return "not asked";
    if (!question->peer) return "no peer";
    const auto answer = answer_dsn(key, *question, *question->peer, cache, now, {});
    return answer.text.value_or("-") + (answer.notice ? " +" : "");
}

PolicyRequest rcpt(const std::string& recipient) {
    return {"smtpd_access_policy", "RCPT", recipient, "123.456.0"};
}

const std::string host = "mx.example.org[192.0.2.1]";

constexpr std::array all_modes{PolicyMode::observe, PolicyMode::warn, PolicyMode::tag,
                               PolicyMode::defer};

}  // namespace

TEST_CASE("only temporary failures of transport or TLS are looked at") {
    for (const std::string key :
         {"4.7.5 Cannot start TLS: handshake failure", "4.7.5 Server certificate not verified",
          "4.4.1 connect to mx.example.org[192.0.2.1]:25: Connection timed out",
          "4.4.2 conversation with mx.example.org[192.0.2.1] timed out while sending MAIL FROM"})
        CHECK_MESSAGE(parse_dsn_key(key), key);
    using namespace std::string_literals;
    for (const std::string& key :
         {""s, " "s, "4.4.1"s, "4.4.1 "s, "2.0.0 250 2.0.0 Ok: queued as 45952A7814D"s,
          "5.4.1 connect to mx.example.org[192.0.2.1]:25: Connection timed out"s,
          "4.4 connect to mx.example.org[192.0.2.1]:25: Connection timed out"s,
          "4.4.1.1 connect to mx.example.org[192.0.2.1]:25: Connection timed out"s,
          "4.4.x connect to mx.example.org[192.0.2.1]:25: Connection timed out"s,
          "4.4.1234 connect to mx.example.org[192.0.2.1]:25: Connection timed out"s,
          "44.4.1 connect to mx.example.org[192.0.2.1]:25: Connection timed out"s,
          "4.7.5 client TLS configuration problem"s,
          "4.7.1 host mx.example.org[192.0.2.1] said: 450 4.7.1 greylisted"s,
          "4.7.5 Cannot start TLS: handshake\0failure"s, "4.7.5 Cannot start TLS: a\nb"s})
        CHECK_MESSAGE(!parse_dsn_key(key), key);
}

TEST_CASE("an ill endpoint's verdict is appended to the whole original text") {
    FakeCache cache;
    cache.add_endpoint("mx.example.org", "192.0.2.1", 25, black_hole());
    const auto key = "4.4.2 conversation with " + host + ":25 timed out while sending message body";
    CHECK(dsn(cache, key) ==
          key + " (path: pmtu-black-hole inbound, path MTU 1400, MSS 1360 works)");
    SUBCASE("also when the text names no port") {
        const auto text =
            "4.4.2 conversation with " + host + " timed out while sending message body";
        CHECK(dsn(cache, text) ==
              text + " (path: pmtu-black-hole inbound, path MTU 1400, MSS 1360 works)");
    }
    SUBCASE("another port of the same address is another endpoint") {
        CHECK(dsn(cache, "4.4.2 lost connection with " + host + ":587 while sending RCPT TO") ==
              "- +");
    }
    SUBCASE("and the tag is short") {
        const auto question = parse_dsn_key(key);
        const auto answer = answer_dsn(key, *question, *question->peer, cache, now, {});
        CHECK(answer.text->size() - key.size() <= max_dsn_tag);
    }
}

TEST_CASE(
    "without an ill verdict that is still believed the text stays, and the prober hears of it") {
    const auto key = "4.4.2 lost connection with " + host + ":25 while sending message body";
    FakeCache cache;
    SUBCASE("nothing known") { CHECK(dsn(cache, key) == "- +"); }
    SUBCASE("healthy") {
        cache.add_endpoint("mx.example.org", "192.0.2.1", 25,
                           with_severity(DiagnosisId::healthy, Severity::ok));
        CHECK(dsn(cache, key) == "- +");
    }
    SUBCASE("inconclusive") {
        cache.add_endpoint("mx.example.org", "192.0.2.1", 25,
                           with_severity(DiagnosisId::inconclusive, Severity::unknown));
        CHECK(dsn(cache, key) == "- +");
    }
    SUBCASE("expired") {
        cache.add_endpoint("mx.example.org", "192.0.2.1", 25, black_hole(7h));
        CHECK(dsn(cache, key) == "- +");
    }
    SUBCASE("stale is still used, and refreshed") {
        cache.add_endpoint("mx.example.org", "192.0.2.1", 25, black_hole(1h));
        CHECK(dsn(cache, key) ==
              key + " (path: pmtu-black-hole inbound, path MTU 1400, MSS 1360 works) +");
    }
    SUBCASE("an address whose port is unknown is not reported") {
        CHECK(dsn(cache, "4.4.2 lost connection with " + host + " while sending RCPT TO") == "-");
    }
}

TEST_CASE("of several names and ports at one address the one that failed is believed") {
    const auto key = "4.4.2 lost connection with " + host + " while sending message body";
    const auto tag = " (path: pmtu-black-hole inbound, path MTU 1400, MSS 1360 works)";
    const auto healthy = [](std::chrono::seconds age) {
        auto verdict = with_severity(DiagnosisId::healthy, Severity::ok);
        verdict.since = verdict.measured_at = now - age;
        return verdict;
    };
    FakeCache cache;
    SUBCASE("its own name, though another is ill") {
        cache.add_endpoint("mx.example.net", "192.0.2.1", 25, black_hole(10s));
        cache.add_endpoint("mx.example.org", "192.0.2.1", 25, healthy(60s));
        CHECK(dsn(cache, key) == "- +");
    }
    SUBCASE("its own name, though another is well") {
        cache.add_endpoint("mx.example.net", "192.0.2.1", 25, healthy(10s));
        cache.add_endpoint("mx.example.org", "192.0.2.1", 25, black_hole(60s));
        CHECK(dsn(cache, key) == key + tag);
    }
    SUBCASE("the newest of other names, for the path is the same") {
        cache.add_endpoint("a.example.net", "192.0.2.1", 25, healthy(60s));
        cache.add_endpoint("b.example.net", "192.0.2.1", 25, black_hole(10s));
        cache.add_endpoint("c.example.net", "192.0.2.1", 25, healthy(300s));
        CHECK(dsn(cache, key) == key + tag);
    }
    SUBCASE("port 25 where the text names none") {
        cache.add_endpoint("mx.example.org", "192.0.2.1", 587, black_hole(10s));
        cache.add_endpoint("mx.example.org", "192.0.2.1", 25, healthy(60s));
        CHECK(dsn(cache, key) == "- +");
    }
    SUBCASE("an expired verdict hides none") {
        cache.add_endpoint("mx.example.org", "192.0.2.1", 25, black_hole(7h));
        cache.add_endpoint("mx.example.net", "192.0.2.1", 25, black_hole(1min));
        CHECK(dsn(cache, key) == key + tag);
    }
    SUBCASE("and the notice names the server that failed") {
        cache.add_endpoint("mx.example.net", "192.0.2.1", 25, healthy(10s));
        cache.add_endpoint("mx.example.org", "192.0.2.1", 25, healthy(60s));
        const auto question = parse_dsn_key(key);
        REQUIRE(question);
        const auto answer = answer_dsn(key, *question, *question->peer, cache, now, {});
        REQUIRE(answer.notice);
        CHECK(answer.notice->endpoint.name == "mx.example.org");
    }
}

TEST_CASE("a verdict is appended only to failures that it explains") {
    const std::string peer = "mx.example.org[192.0.2.1]";
    const std::string refused = "4.4.1 connect to " + peer + ":25: Connection refused";
    const std::string no_tls = "4.7.4 TLS is required, but was not offered by host " + peer;
    const std::string busy = "4.7.0 host " + peer + " refused to talk to me: 421 too busy";
    const std::string cut = "4.4.2 lost connection with " + peer + ":25 while sending RCPT TO";
    struct Row {
        DiagnosisId id;
        std::string key;
        bool tagged;
    };
    const std::vector<Row> rows{
        {DiagnosisId::certificate_untrusted, refused, false},
        {DiagnosisId::pmtu_black_hole, refused, false},
        {DiagnosisId::refused, refused, true},
        {DiagnosisId::unreachable, refused, true},
        {DiagnosisId::refused, cut, false},
        {DiagnosisId::pmtu_black_hole, cut, true},
        {DiagnosisId::peer_stall, cut, true},
        {DiagnosisId::certificate_expired, cut, false},
        {DiagnosisId::starttls_missing, no_tls, true},
        {DiagnosisId::starttls_stripped, no_tls, true},
        {DiagnosisId::pmtu_black_hole, no_tls, false},
        {DiagnosisId::greeting_rejected, busy, true},
        {DiagnosisId::pmtu_black_hole, busy, false},
    };
    for (const auto& row : rows) {
        CAPTURE(row.key);
        CAPTURE(to_string(row.id));
        FakeCache cache;
        cache.add_endpoint("mx.example.org", "192.0.2.1", 25,
                           with_severity(row.id, Severity::critical));
        const auto answer = dsn(cache, row.key);
        CHECK((answer.find("(path: ") != std::string::npos) == row.tagged);
    }
    SUBCASE("and a server that wants to be left alone is") {
        FakeCache cache;
        CHECK(dsn(cache, busy) == "-");
    }
    SUBCASE("Cannot start TLS is about the handshake") {
        FakeCache cache;
        const std::string key = "4.7.5 Cannot start TLS: handshake failure";
        const auto question = parse_dsn_key(key);
        REQUIRE(question);
        const LoggedPeer from_log{"mx.example.org", address("192.0.2.1"), 25};
        cache.add_endpoint("mx.example.org", "192.0.2.1", 25,
                           with_severity(DiagnosisId::refused, Severity::critical));
        CHECK_FALSE(answer_dsn(key, *question, from_log, cache, now, {}).text);
        cache.endpoints.clear();
        cache.add_endpoint("mx.example.org", "192.0.2.1", 25, black_hole());
        CHECK(answer_dsn(key, *question, from_log, cache, now, {}).text);
    }
}

TEST_CASE("a notice carries the endpoint, and the text made printable") {
    FakeCache cache;
    const std::string key = "4.4.1 connect to MX.example.org[192.0.2.1]:2525: odd \x1b[31m text";
    const auto question = parse_dsn_key(key);
    REQUIRE(question);
    const auto answer = answer_dsn(key, *question, *question->peer, cache, now, {});
    REQUIRE(answer.notice);
    CHECK(to_string(answer.notice->endpoint) == "mx.example.org[192.0.2.1]:2525");
    CHECK(answer.notice->reason.find('\x1b') == std::string::npos);
}

TEST_CASE("a recipient's next hop is the learned route, else its domain") {
    FakeCache cache;
    cache.add_next_hop("example.org", black_hole());
    cache.add_next_hop("[relay.example.net]:587", black_hole());
    cache.routes["example.com"] = {"example.com", "[relay.example.net]:587", "", "smtp", now};
    const auto find = [&](const PolicyRequest& request) {
        return find_for_recipient(request, cache, {}, now, {});
    };
    CHECK(find(rcpt("you@Example.ORG")).next_hop == "example.org");
    CHECK(find(rcpt("you@Example.ORG")).verdict == black_hole());
    CHECK_FALSE(find(rcpt("you@example.org")).wanted);
    CHECK(find(rcpt("you@example.com")).next_hop == "[relay.example.net]:587");
    CHECK(find(rcpt("you@example.com")).verdict);
    SUBCASE("an unknown one is wanted") {
        CHECK(find(rcpt("you@example.net")).next_hop == "example.net");
        CHECK(find(rcpt("you@example.net")).wanted);
        CHECK_FALSE(find(rcpt("you@example.net")).verdict);
    }
    SUBCASE("a stale one is used and wanted, an expired one only wanted") {
        cache.add_next_hop("example.org", black_hole(1h));
        CHECK(find(rcpt("you@example.org")).verdict);
        CHECK(find(rcpt("you@example.org")).wanted);
        cache.add_next_hop("example.org", black_hole(7h));
        CHECK_FALSE(find(rcpt("you@example.org")).verdict);
        CHECK(find(rcpt("you@example.org")).wanted);
    }
    SUBCASE("requests about no recipient's way ask nothing") {
        auto request = rcpt("you@example.org");
        for (const std::string state :
             {"CONNECT", "HELO", "EHLO", "MAIL", "VRFY", "ETRN", "XFORWARD", ""}) {
            request.protocol_state = state;
            CHECK(find(request).next_hop.empty());
            CHECK_FALSE(find(request).wanted);
        }
        for (const std::string recipient : {"", "postmaster", "a@", "a@b c", "a@..", "a@\x01"})
            CHECK_MESSAGE(!find(rcpt(recipient)).verdict, recipient);
        CHECK(find({"other", "RCPT", "you@example.org", "1"}).next_hop.empty());
    }
}

TEST_CASE("a configured route stands where none was learned") {
    FakeCache cache;
    cache.add_next_hop("[relay.example.net]:587", black_hole());
    cache.add_next_hop("example.com", black_hole());
    const std::vector<ConfiguredRoute> routes{
        {".example.org", "[relay.example.net]:587", "[relay.example.net]:587"},
        {"example.com", "[other.example.net]", "[other.example.net]"}};
    const auto find = [&](const std::string& recipient) {
        return find_for_recipient(rcpt(recipient), cache, routes, now, {});
    };
    CHECK(find("you@a.example.org").next_hop == "[relay.example.net]:587");
    CHECK(find("you@a.example.org").verdict == black_hole());
    CHECK(find("you@example.org").next_hop == "example.org");
    CHECK(find("you@example.com").next_hop == "[other.example.net]");
    CHECK_FALSE(find("you@example.com").verdict);
    CHECK(find("you@example.com").wanted);
    cache.routes["example.com"] = {"example.com", "[relay.example.net]:587", "", "smtp", now};
    CHECK(find("you@example.com").next_hop == "[relay.example.net]:587");
}

TEST_CASE("policy answers by mode and state") {
    const auto request = rcpt("you@example.org");
    const PolicyFinding ill{"[relay.example.net]:587", black_hole(), false};
    const std::string brief = "pmtu-black-hole inbound, path MTU 1400, MSS 1360 works";
    const auto warning = "WARN [relay.example.net]:587: " + brief;
    const auto action = [&](PolicyMode mode, bool first = true, bool may_defer = false,
                            const std::string& state = "RCPT") {
        auto in_state = request;
        in_state.protocol_state = state;
        return policy_action(in_state, ill, {mode, "relay.example.net", first, may_defer, {}});
    };
    for (const std::string state : {"RCPT", "DATA", "END-OF-MESSAGE"}) {
        CAPTURE(state);
        CHECK(action(PolicyMode::observe, true, true, state) == "DUNNO");
        CHECK(action(PolicyMode::warn, true, true, state) == warning);
        CHECK(action(PolicyMode::defer, true, false, state) == warning);
        // Nothing of the relay, which is ours: the sender reads it.
        CHECK(action(PolicyMode::defer, true, true, state) ==
              "DEFER_IF_PERMIT 4.4.2 mail for example.org has to wait (path: " + brief + ")");
    }
    for (const std::string state : {"RCPT", "DATA"})
        CHECK(action(PolicyMode::tag, true, true, state) ==
              "PREPEND X-Postfathom-Diagnosis: relay.example.net; "
              "next-hop=[relay.example.net]:587; diagnosis=pmtu-black-hole; direction=inbound; "
              "path-mtu=1400; mss=1360; since=2026-11-23T04:59:00Z");
    CHECK(action(PolicyMode::tag, true, false, "END-OF-MESSAGE") == "DUNNO");
    CHECK(action(PolicyMode::tag, false) == "DUNNO");
    auto no_instance = request;
    no_instance.instance.clear();
    CHECK(policy_action(no_instance, ill,
                        {PolicyMode::tag, "relay.example.net", true, false, {}}) == "DUNNO");
    for (const auto mode : all_modes)
        CHECK(policy_action(request, {"example.org", {}, true}, {mode, "x", true, true, {}}) ==
              "DUNNO");
}

TEST_CASE(
    "a client's network is worth a warning when TLS or messages of some size do not come through") {
    struct Row {
        ClientCounts counts;  // TLS, plain, failed handshakes, lost after DATA
        std::string text;
    };
    const std::string since = " since 2026-11-23T05:00:00Z";
    const std::vector<Row> rows{
        {{100, 5, 3, 3}, ""},
        {{0, 5, 2, 0}, ""},
        {{0, 5, 3, 0}, "client network 192.0.2.0/24: 3 TLS handshakes failed, 0 succeeded" + since},
        {{4, 0, 4, 0}, ""},
        {{4, 0, 5, 0}, "client network 192.0.2.0/24: 5 TLS handshakes failed, 4 succeeded" + since},
        {{30, 0, 0, 3}, "client network 192.0.2.0/24: 3 connections were lost after DATA" + since},
        {{31, 0, 0, 3}, ""},
        {{0, 0, 4, 3},
         "client network 192.0.2.0/24: 4 TLS handshakes failed, 3 connections were lost after "
         "DATA" +
             since},
    };
    for (const auto& row : rows) {
        FakeCache cache;
        cache.clients["192.0.2.0/24"] =
            absorb({}, {network_of(address("192.0.2.9")), row.counts, {}}, now);
        CHECK(find_for_client("192.0.2.77", cache, now).value_or("") == row.text);
        CHECK_FALSE(find_for_client("198.51.100.1", cache, now));
        CHECK_FALSE(find_for_client("unknown", cache, now));
        CHECK_FALSE(find_for_client("192.0.2.77", cache, now + 5 * 24h));
    }
}

TEST_CASE("what is said of a client stands beside what is said of the next hop, in warnings only") {
    const PolicyFinding ill{"example.org", black_hole(), false};
    const PolicyFinding well{"example.org", {}, false};
    const std::string client = "client network 192.0.2.0/24: 3 TLS handshakes failed, 0 succeeded";
    const auto action = [&](const PolicyFinding& finding, PolicyMode mode, bool may_defer = false) {
        return policy_action(rcpt("you@example.org"), finding,
                             {mode, "x", true, may_defer, client});
    };
    for (const auto mode : {PolicyMode::warn, PolicyMode::defer}) {
        CHECK(action(well, mode) == "WARN " + client);
        CHECK(action(ill, mode) == "WARN example.org: " + brief(black_hole()) + "; " + client);
    }
    CHECK(action(ill, PolicyMode::defer, true).find("client") == std::string::npos);
    CHECK(action(well, PolicyMode::observe) == "DUNNO");
    CHECK(action(well, PolicyMode::tag) == "DUNNO");
    CHECK(action(ill, PolicyMode::tag).find("client network") == std::string::npos);
}

TEST_CASE("no answer but the deferral that was asked for keeps mail from going on") {
    const auto verb = [](const std::string& action) { return action.substr(0, action.find(' ')); };
    for (const auto id : all_diagnosis_ids()) {
        auto verdict = black_hole();
        verdict.id = id;
        const PolicyFinding finding{"example.org", verdict, false};
        for (const auto mode : all_modes)
            for (const bool first : {false, true})
                for (const bool may_defer : {false, true}) {
                    const auto action = policy_action(rcpt("you@example.org"), finding,
                                                      {mode, "x", first, may_defer, {}});
                    const bool defers = mode == PolicyMode::defer && may_defer;
                    CHECK((verb(action) == "DEFER_IF_PERMIT") == defers);
                    if (!defers)
                        CHECK((verb(action) == "DUNNO" || verb(action) == "WARN" ||
                               verb(action) == "PREPEND"));
                    // RFC 3463: a temporary failure, whatever the fault.
                    if (defers) CHECK(action.substr(15, 3) == " 4.");
                }
    }
}

TEST_CASE("a check may have a mode of its own") {
    const auto mode = [](const std::string& context) {
        auto request = rcpt("you@example.org");
        request.policy_context = context;
        return mode_of(request, PolicyMode::warn);
    };
    CHECK(mode("") == PolicyMode::warn);
    CHECK(mode("observe") == PolicyMode::observe);
    CHECK(mode("warn") == PolicyMode::warn);
    CHECK(mode("tag") == PolicyMode::tag);
    CHECK(mode("defer") == PolicyMode::defer);
    for (const std::string other : {"DEFER", "defer ", "none", "incoming mail"})
        CHECK(mode(other) == PolicyMode::warn);
}

TEST_CASE("every answer is one line of printable ASCII") {
    for (const auto id : all_diagnosis_ids()) {
        auto verdict = black_hole();
        verdict.id = id;
        for (const auto mode : all_modes) {
            const auto action =
                policy_action(rcpt("you@example.org"), {"ex\nample\xff.org", verdict, false},
                              {mode, "host\r\ntoken; x", true, true, {}});
            CHECK(action.find_first_of("\r\n") == std::string::npos);
            CHECK(std::all_of(action.begin(), action.end(),
                              [](char c) { return c >= ' ' && c <= '~'; }));
        }
    }
}

TEST_CASE("a header is folded between its parts and says who wrote it") {
    const auto value =
        diagnosis_header_value("relay.example.net", "[mail.example.org]:587", black_hole());
    CHECK(host_token_of(value) == "relay.example.net");
    CHECK(host_token_of(" \trelay.example.net ; x") == "relay.example.net");
    CHECK(host_token_of("") == "");
    const auto folded = fold_diagnosis_header(value);
    CHECK(folded ==
          "relay.example.net; next-hop=[mail.example.org]:587;\n\tdiagnosis=pmtu-black-hole; "
          "direction=inbound; path-mtu=1400; mss=1360;\n\tsince=2026-11-23T04:59:00Z");
    auto bound = black_hole();
    bound.path_mtu_exact = false;
    CHECK(diagnosis_header_value("h", "example.org", bound)
              .find("path-mtu=1400; path-mtu-exact=no") != std::string::npos);
    CHECK(diagnosis_header_value(std::string(5000, 'x'), std::string(5000, 'y'), bound).size() <=
          max_diagnosis_header_value);
}
