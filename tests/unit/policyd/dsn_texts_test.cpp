// SPDX-License-Identifier: Apache-2.0
// Every text about transport or TLS that smtp(8) and lmtp(8) of Postfix 3.7 to 3.11 can ask with
// (smtp_connect.c, smtp_proto.c, smtp_trouble.c, smtp_tls_policy.c: their words did not change
// between these), and every verdict, against the answer.
#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "policyd/tables.hpp"
#include "tests/unit/policyd/fake_cache.hpp"

using namespace postfathom;
using enum DiagnosisId;

namespace {

const std::string host = "mx.example.org[192.0.2.1]";

struct Row {
    std::string key;
    DiagnosisId cause;         // a verdict that explains it
    bool names_server = true;  // in the text; else the log has to tell
};

std::vector<Row> texts_of_the_way() {
    std::vector<Row> rows{
        {"4.4.1 connect to " + host + ":25: Connection timed out", unreachable},
        {"4.4.1 connect to " + host + ":25: Connection refused", refused},
        {"4.4.1 connect to " + host + ":587: No route to host", no_route},
        {"4.4.1 connect to " + host + ":25: Network is unreachable", no_route},
        {"4.4.1 connect to " + host + ":25: Connection reset by peer", refused},
        {"4.7.5 Cannot start TLS: handshake failure", pmtu_black_hole, false},
        {"4.7.5 Server certificate not verified", certificate_untrusted, false},
        {"4.7.4 TLS is required, but was not offered by host " + host, starttls_missing},
        {"4.7.0 TLS is required, but host " + host +
             " refused to start TLS: 454 4.7.0 TLS not available due to local problem",
         starttls_missing},
        {"4.3.2 host " + host + " refused to talk to me: 421 4.3.2 too busy", greeting_rejected},
        {"4.0.0 host " + host + " refused to talk to me: 450 x", greeting_rejected},
        {"4.4.2 conversation with " + host + " timed out while receiving the STARTTLS response",
         pmtu_black_hole},
        {"4.4.2 lost connection with " + host + " while receiving the STARTTLS response",
         reset_in_handshake},
    };
    for (const std::string state :
         {"receiving the initial server greeting", "performing the EHLO handshake",
          "performing the HELO handshake", "performing the LHLO handshake",
          "sending XFORWARD name/address", "sending XFORWARD protocol/helo_name",
          "sending MAIL FROM", "sending RCPT TO", "sending DATA command", "sending message body",
          "sending end of data -- message may be sent more than once", "sending final RSET",
          "sending RSET probe", "sending QUIT"}) {
        rows.push_back(
            {"4.4.2 conversation with " + host + " timed out while " + state, pmtu_black_hole});
        rows.push_back({"4.4.2 lost connection with " + host + " while " + state, peer_stall});
    }
    return rows;
}

// No matter of the way to a server, or not temporary.
std::vector<std::string> other_keys() {
    std::vector<std::string> keys{
        "2.0.0 250 2.0.0 Ok: queued as 45952A7814D",
        "2.1.5 deliverable",
        "4.7.5 client TLS configuration problem",
        "4.7.0 client TLS configuration problem",
        "4.7.5 TLS is required, but our TLS engine is unavailable",
        "4.7.0 TLS is required, but unavailable",
        "4.7.5 TLSA lookup error for mx.example.org:25",
        "4.7.10 REQUIRETLS policy configuration error",
        "5.7.10 Sender requested REQUIRETLS, but host " + host + " refused to start TLS: 454 x",
        "5.7.30 Sender requested REQUIRETLS, but TLS service was not offered by host " + host,
        "4.4.1 connect to mx.example.org[private/lmtp]: No such file or directory",
        "4.4.3 Host or domain name not found. Name service error for name=example.org type=MX: "
        "Host not found, try again",
        "5.4.4 unable to look up host mx.example.org: Name or service not known",
        "5.4.6 mail for example.org loops back to myself",
        "4.4.6 mail for example.org loops back to myself",
        "4.3.0 local data error while talking to " + host,
        "4.2.0 host " + host + " said: 450 4.2.0 greylisted (in reply to RCPT TO command)",
        "4.7.0 SASL authentication failed; server " + host + " said: 454 4.7.0 later",
        "4.7.0 unexpected server message",
        "4.4.2",
        "",
    };
    // What is final stays final, whatever its words.
    for (const auto& row : texts_of_the_way()) {
        keys.push_back("5" + row.key.substr(1));
        keys.push_back("2" + row.key.substr(1));
    }
    return keys;
}

// With the verdict as the prober stores it, sizes and all.
KnownVerdict verdict_of(DiagnosisId id) {
    if (id == pmtu_black_hole) return black_hole();
    auto verdict = with_severity(id, Severity::critical);
    if (id == size_specific_loss)
        verdict.sizes = "segments of " + std::string(2000, '9') + " bytes";
    return verdict;
}

FakeCache cache_with(DiagnosisId id) {
    FakeCache cache;
    for (const std::uint16_t port : {std::uint16_t{25}, std::uint16_t{587}})
        cache.add_endpoint("mx.example.org", "192.0.2.1", port, verdict_of(id));
    return cache;
}

const LoggedPeer logged{"mx.example.org", *IpAddress::parse("192.0.2.1"), 25};

std::optional<std::string> answer_to(const Row& row, const FakeCache& cache) {
    const auto question = parse_dsn_key(row.key);
    if (!question) return std::nullopt;
    return answer_dsn(row.key, *question, question->peer.value_or(logged), cache, now, {}).text;
}

}  // namespace

TEST_CASE("every text about the way to a server is tagged when its cause is known") {
    for (const auto& row : texts_of_the_way()) {
        CAPTURE(row.key);
        const auto question = parse_dsn_key(row.key);
        REQUIRE(question);
        CHECK(question->peer.has_value() == row.names_server);
        const auto text = answer_to(row, cache_with(row.cause));
        REQUIRE(text);
        CHECK(text->starts_with(row.key + " (path: " + std::string(to_string(row.cause))));
    }
}

TEST_CASE("whatever the verdict, a tag is short, behind the whole text, and of nothing internal") {
    for (const auto& row : texts_of_the_way()) {
        for (const auto id : all_diagnosis_ids()) {
            CAPTURE(row.key);
            CAPTURE(to_string(id));
            const auto text = answer_to(row, cache_with(id));
            if (!text) continue;
            REQUIRE(text->starts_with(row.key));
            const auto tag = text->substr(row.key.size());
            CHECK(tag.size() <= 300);
            CHECK(tag.starts_with(" (path: " + std::string(to_string(id))));
            CHECK(tag.ends_with(")"));
            // No address of ours, of the server, or of anything else, and no name.
            for (const std::string part : {"192.0.2", "[", "]", "example", "::"})
                CHECK(tag.find(part) == std::string::npos);
            CHECK(std::all_of(tag.begin(), tag.end(), [](char c) { return c >= ' ' && c <= '~'; }));
        }
    }
}

TEST_CASE("all other texts are left alone") {
    for (const auto& key : other_keys()) {
        CAPTURE(key);
        CHECK_FALSE(parse_dsn_key(key));
    }
}

TEST_CASE(
    "a server that refuses STARTTLS is no black hole, and a failed handshake no missing one") {
    const Row refuses{"4.7.0 TLS is required, but host " + host + " refused to start TLS: 454 x",
                      starttls_missing};
    const Row fails{"4.7.5 Cannot start TLS: handshake failure", pmtu_black_hole, false};
    for (const auto id : {pmtu_black_hole, peer_stall, tls_alert, certificate_weak})
        CHECK_FALSE(answer_to(refuses, cache_with(id)));
    for (const auto id : {starttls_missing, starttls_stripped, greeting_rejected})
        CHECK_FALSE(answer_to(fails, cache_with(id)));
    CHECK(answer_to(refuses, cache_with(starttls_stripped)));
}
