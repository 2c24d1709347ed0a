// SPDX-License-Identifier: Apache-2.0
#include "policyd/policy_request.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <vector>

using namespace postfathom;

namespace {

using Status = PolicyRequestParser::Status;

struct Outcome {
    std::vector<PolicyRequest> requests;
    std::string error;
    bool operator==(const Outcome&) const = default;
};

// Feeds `bytes` in pieces that end at `cuts`.
Outcome parse(std::string_view bytes, const std::vector<std::size_t>& cuts = {}) {
    PolicyRequestParser parser;
    Outcome outcome;
    std::size_t begin = 0;
    auto ends = cuts;
    ends.push_back(bytes.size());
    for (const auto end : ends) {
        auto piece = bytes.substr(begin, end - begin);
        begin = end;
        while (!piece.empty()) {
            const auto status = parser.feed(piece);
            if (status == Status::complete) outcome.requests.push_back(parser.request());
            if (status == Status::broken) {
                outcome.error = parser.error();
                return outcome;
            }
        }
    }
    return outcome;
}

const std::string sample =
    "request=smtpd_access_policy\nprotocol_state=RCPT\nprotocol_name=ESMTP\nclient_address=192.0.2."
    "7\n"
    "sender=me@example.net\nrecipient=you@example.org\nrecipient_count=0\nqueue_id=\n"
    "instance=123.456.7\nccert_subject=a=b\nstress=\n\n"
    "request=smtpd_access_policy\nprotocol_state=DATA\n\n";

}  // namespace

TEST_CASE("requests are read, and what they leave out is empty") {
    const auto outcome = parse(sample);
    CHECK(outcome.error.empty());
    REQUIRE(outcome.requests.size() == 2);
    CHECK(outcome.requests[0] == PolicyRequest{"smtpd_access_policy", "RCPT", "you@example.org",
                                               "123.456.7", "", "192.0.2.7"});
    CHECK(outcome.requests[1] == PolicyRequest{"smtpd_access_policy", "DATA", "", ""});
}

TEST_CASE("every attribute that Postfix 2.1 to 3.11 sends is taken, and others are skipped") {
    // SMTPD_POLICY_README, in the order of the releases that brought them.
    const std::vector<std::string> attributes{
        "protocol_name=ESMTP",
        "helo_name=some.domain.tld",
        "queue_id=8045F2AB23",
        "sender=foo@bar.tld",
        "recipient_count=0",
        "client_name=another.domain.tld",
        "reverse_client_name=another.domain.tld",  // 2.1
        "sasl_method=plain",
        "sasl_username=you",
        "sasl_sender=",
        "size=12345",
        "ccert_subject=solaris9.porcupine.org",
        "ccert_issuer=Wietse+20Venema",
        "ccert_fingerprint=C2:9D:F4:87:71:73:73:D9:18:E7:C2:F3:C1:DA:6E:04",  // 2.2
        "encryption_protocol=TLSv1/SSLv3",
        "encryption_cipher=DHE-RSA-AES256-SHA",
        "encryption_keysize=256",
        "etrn_domain=",  // 2.3
        "stress=",
        "ccert_pubkey_fingerprint=68:B3:29:DA:98:93:E3:40:99:C7:D8:AD:5C:B9",  // 2.9
        "client_port=1234",                                                    // 3.0
        "server_address=10.3.2.1",
        "server_port=54321",  // 3.2
        "compatibility_level=3.8",
        "mail_version=3.8.0",  // 3.8
        "something_new_of_2030=x=y;z"};
    for (const std::string state :
         {"CONNECT", "HELO", "EHLO", "MAIL", "RCPT", "DATA", "END-OF-MESSAGE", "VRFY", "ETRN"}) {
        const std::vector<std::string> ours{
            "request=smtpd_access_policy", "protocol_state=" + state, "client_address=2001:db8::7",
            "recipient=bar@foo.tld",       "instance=123.456.7",      "policy_context=submission"};
        const PolicyRequest want{"smtpd_access_policy", state,        "bar@foo.tld",
                                 "123.456.7",           "submission", "2001:db8::7"};
        // Their order is not fixed.
        std::mt19937 random(3);
        for (int round = 0; round < 20; ++round) {
            auto all = attributes;
            all.insert(all.end(), ours.begin(), ours.end());
            std::shuffle(all.begin(), all.end(), random);
            std::string bytes;
            for (const auto& line : all) bytes += line + "\n";
            const auto outcome = parse(bytes + "\n");
            REQUIRE(outcome.error.empty());
            REQUIRE(outcome.requests.size() == 1);
            REQUIRE(outcome.requests[0] == want);
        }
    }
}

TEST_CASE("it is known whether the client owes the rest of a request") {
    PolicyRequestParser parser;
    CHECK_FALSE(parser.mid_request());
    const auto feed = [&](std::string_view bytes) {
        while (!bytes.empty()) parser.feed(bytes);
        return parser.mid_request();
    };
    CHECK(feed("r"));
    CHECK(feed("equest=x\n"));
    CHECK_FALSE(feed("\n"));
    CHECK(feed("a"));
    CHECK_FALSE(feed("=b\n\n"));
}

TEST_CASE("any split of the bytes gives the same requests") {
    for (const auto& bytes : {sample, std::string("a=1\n\nno equals sign\nb=2\n\n"),
                              std::string("\n"), std::string("=x\n")}) {
        const auto whole = parse(bytes);
        for (std::size_t cut = 0; cut <= bytes.size(); ++cut) CHECK(parse(bytes, {cut}) == whole);
        std::vector<std::size_t> every;
        for (std::size_t i = 1; i < bytes.size(); ++i) every.push_back(i);
        CHECK(parse(bytes, every) == whole);
    }
    SUBCASE("of random bytes too") {
        std::mt19937 random(7);
        for (int round = 0; round < 5000; ++round) {
            std::string bytes;
            const auto length = random() % 60;
            for (std::size_t i = 0; i < length; ++i) bytes += "a=\n\nb\0x"[random() % 8];
            const auto whole = parse(bytes);
            const auto first = random() % (length + 1);
            const auto second = first + random() % (length - first + 1);
            REQUIRE(parse(bytes, {first, second}) == whole);
        }
    }
}

TEST_CASE("what is no request is refused, and nothing after it is read") {
    using namespace std::string_literals;
    for (const auto& bytes : {"\n"s, "GET / HTTP/1.1\r\n\r\n"s, "=value\n\n"s, "a=b\0c\n\n"s}) {
        const auto outcome = parse(bytes + "a=1\n\n");
        CHECK_MESSAGE(!outcome.error.empty(), bytes);
        CHECK(outcome.requests.empty());
    }
}

TEST_CASE("lines, attributes and requests have limits") {
    const auto accepted = [](const std::string& bytes) { return parse(bytes).error.empty(); };
    const std::string longest = "a=" + std::string(max_policy_line - 2, 'x');
    CHECK(accepted(longest + "\n\n"));
    CHECK_FALSE(accepted(longest + "x"));
    CHECK_FALSE(accepted(longest + "x\n\n"));
    std::string many;
    for (std::size_t i = 0; i < max_policy_attributes; ++i) many += "a=b\n";
    CHECK(accepted(many + "\n"));
    CHECK_FALSE(accepted(many + "a=b\n"));
    std::string large;
    while (large.size() < max_policy_request - 8000) large += "a=" + std::string(7000, 'x') + "\n";
    CHECK(accepted(large + "\n"));
    CHECK_FALSE(accepted(large + longest + "\n\n"));
    // The count starts again with every request.
    std::string small;
    for (std::size_t i = 0; i < 10'000; ++i) small += "a=b\n\n";
    CHECK(parse(small).requests.size() == 10'000);
}
