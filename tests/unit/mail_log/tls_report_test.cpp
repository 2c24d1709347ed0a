// SPDX-License-Identifier: Apache-2.0
// The datagrams of libtlsrpt, as its functions write them.
#include "lib/mail_log/tls_report.hpp"

#include <doctest/doctest.h>

#include <random>

using namespace postfathom;

namespace {

const std::string head =
    R"({"dpv": "1","d": "example.net","pr": "v=TLSRPTv1;rua=mailto:tlsrpt@example.net","policies":[)";

std::string policy(const std::string& inside, int result) {
    return R"({"policy-type":9)" + inside + R"(,"t":)" + std::to_string(result) + R"(,"f":)" +
           std::to_string(result) + "}";
}

const std::string success = head + policy("", 0) + "]}";
const std::string sts_failure =
    R"({"dpv": "1","d": "example.net","pr": "v=TLSRPTv1;rua=https://tlsrpt.example.net/v1","policies":[)"
    R"({"policy-type":2,"policy-domain": "example.net","policy-string":["version: STSv1",)"
    R"("mode: enforce","mx: *.example.net","max_age: 86400"],"mx-host":["*.example.net"],)"
    R"("failure-details":[{"c":205,"s": "198.51.100.7","n": "mail.example.net",)"
    R"("h": "mail.example.net\r\nPIPELINING\r\nSIZE 10240000\r\nSTARTTLS","r": "192.0.2.1",)"
    R"("f": "tls-handshake-failure"}],"t":1,"f":1}]})";

std::string failure(const std::string& details) {
    return head + policy(R"(,"failure-details":[)" + details + "]", 1) + "]}";
}

TlsReport read(const std::string& datagram) {
    const auto report = parse_tls_report(datagram);
    REQUIRE_MESSAGE(report, (report ? "" : report.error().message));
    return *report;
}

}  // namespace

TEST_CASE("a success names the next hop's host and no server") {
    CHECK(read(success) == TlsReport{"example.net", true, {}});
}

TEST_CASE("a failure names the server and the reason") {
    const auto report = read(sts_failure);
    CHECK(report.domain == "example.net");
    CHECK_FALSE(report.succeeded);
    REQUIRE(report.failures.size() == 1);
    CHECK(report.failures[0] ==
          TlsFailure{TlsFailureKind::validation_failure,
                     LoggedPeer{"mail.example.net", *IpAddress::parse("192.0.2.1"), std::nullopt},
                     "tls-handshake-failure"});
}

TEST_CASE("every code has its word, and only some concern a server") {
    struct Row {
        int code;
        const char* word;
        bool server;
    };
    for (const auto& [code, word, server] : {Row{201, "starttls-not-supported", true},
                                             {202, "certificate-host-mismatch", true},
                                             {203, "certificate-not-trusted", true},
                                             {204, "certificate-expired", true},
                                             {205, "validation-failure", true},
                                             {301, "sts-policy-fetch-error", false},
                                             {302, "sts-policy-invalid", false},
                                             {303, "sts-webpki-invalid", false},
                                             {304, "tlsa-invalid", false},
                                             {305, "dnssec-invalid", false},
                                             {306, "dane-required", false},
                                             {901, "other", false},
                                             {200, "other", false},
                                             {-1, "other", false}}) {
        const int number = code;  // clang 14 captures no structured binding
        CAPTURE(number);
        const auto report = read(failure(R"({"c":)" + std::to_string(code) + "}"));
        REQUIRE(report.failures.size() == 1);
        CHECK(to_string(report.failures[0].kind) == word);
        CHECK(concerns_server(report.failures[0].kind) == server);
        CHECK_FALSE(report.failures[0].peer);
    }
}

TEST_CASE("what libraries may write besides is no fault") {
    SUBCASE("no version, as before 0.5") {
        CHECK(read(R"({"d": "example.net","pr": "v=TLSRPTv1;","policies":[)" + policy("", 0) + "]}")
                  .succeeded);
    }
    SUBCASE("members that we do not know") {
        CHECK(read(head + policy(R"(,"later":{"x":[1]})", 0) + R"(],"more":null})").succeeded);
    }
    SUBCASE("capitals and a dot at the end") {
        CHECK(
            read(R"({"dpv": "1","d": "Example.NET.","pr": "","policies":[)" + policy("", 0) + "]}")
                .domain == "example.net");
    }
    SUBCASE("bytes of a server that are no UTF-8") {
        CHECK(read(failure("{\"c\":205,\"h\": \"caf\xe9 \xff\",\"r\": \"2001:db8::1\",\"f\": "
                           "\"x\xe9\"}"))
                  .failures[0]
                  .reason == "x?");
    }
    SUBCASE("failures on the way to a success are none") {
        CHECK(read(head + policy(R"(,"failure-details":[{"c":205}])", 0) + "]}") ==
              TlsReport{"example.net", true, {}});
    }
    SUBCASE("one policy of two that failed is a failure") {
        const auto report = read(head + policy("", 0) + "," +
                                 policy(R"(,"failure-details":[{"c":203}])", 1) + "]}");
        CHECK_FALSE(report.succeeded);
        CHECK(report.failures.size() == 1);
    }
    SUBCASE("a failure without a word of why") {
        const auto report = read(head + policy("", 1) + "]}");
        CHECK_FALSE(report.succeeded);
        CHECK(report.failures.empty());
    }
    SUBCASE("a server without a name") {
        CHECK(read(failure(R"({"c":205,"r": "192.0.2.1"})")).failures[0].peer->host == "unknown");
    }
}

TEST_CASE("all else is refused") {
    const std::string tail = policy("", 0) + "]}";
    const std::string deep(100, '[');
    std::string many = head + policy("", 0);
    for (int i = 0; i < 20; ++i) many += "," + policy("", 0);
    std::string failures = R"({"c":205})";
    for (int i = 0; i < 20; ++i) failures += R"(,{"c":205})";
    for (const auto& datagram : {
             std::string(),
             std::string("{}"),
             std::string("[]"),
             std::string("null"),
             std::string("\xff\xfe"),
             std::string(1000, '\0'),
             success + " x",
             success.substr(0, success.size() - 1),
             deep,
             head + policy(R"(,"deep":)" + deep + std::string(100, ']'), 0) + "]}",
             success + std::string(max_tls_report_bytes, ' '),
             R"({"dpv": "2","d": "example.net","pr": "","policies":[)" + tail,
             R"({"dpv": 1,"d": "example.net","pr": "","policies":[)" + tail,
             R"({"dpv": "1","pr": "","policies":[)" + tail,
             R"({"dpv": "1","d": 7,"pr": "","policies":[)" + tail,
             R"({"dpv": "1","d": "","pr": "","policies":[)" + tail,
             R"({"dpv": "1","d": "192.0.2.1","pr": "","policies":[)" + tail,
             R"({"dpv": "1","d": "[mail.example.net]","pr": "","policies":[)" + tail,
             R"({"dpv": "1","d": "example.net:587","pr": "","policies":[)" + tail,
             R"({"dpv": "1","d": "example.net\r\nx","pr": "","policies":[)" + tail,
             R"({"dpv": "1","d": ")" + std::string(300, 'a') + R"(","pr": "","policies":[)" + tail,
             std::string(R"({"dpv": "1","d": "example.net","pr": ""})"),
             head + "]}",
             head + "7]}",
             head + R"({"policy-type":9,"t":0}]})",
             head + R"({"policy-type":9,"t":0,"f":2}]})",
             head + R"({"policy-type":9,"t":0,"f":"0"}]})",
             head + policy(R"(,"failure-details":{})", 1) + "]}",
             failure("7"),
             failure(R"({"s": "192.0.2.1"})"),
             failure(R"({"c":"205"})"),
             failure(R"({"c":205,"r": "mail.example.net"})"),
             failure(R"({"c":205,"n": "a b","r": "192.0.2.1"})"),
             failure(failures),
             many + "]}",
         }) {
        CAPTURE(datagram.substr(0, 120));
        CHECK_FALSE(parse_tls_report(datagram));
    }
}

TEST_CASE("no bytes break the parser") {
    std::mt19937 random(8460);  // the same each time
    int refused = 0;
    for (int i = 0; i < 20'000; ++i) {
        auto datagram = i % 2 == 0 ? success : sts_failure;
        for (unsigned changes = 1 + random() % 4; changes > 0; --changes) {
            const auto at = random() % datagram.size();
            if (random() % 3 == 0)
                datagram.resize(at + 1);
            else
                datagram[at] = static_cast<char>(random() % 256);
        }
        if (!parse_tls_report(datagram)) ++refused;
    }
    CHECK(refused > 1000);
    CHECK(refused < 20'000);
}
