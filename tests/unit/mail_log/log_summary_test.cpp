// SPDX-License-Identifier: Apache-2.0
#include "lib/mail_log/log_summary.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

using namespace postfathom;

namespace {

// Lines of one smtp(8) process.
LogSummary summary_of(const std::vector<std::string>& texts, std::size_t most = 100) {
    LogSummary summary(most);
    for (const auto& text : texts) summary.line("Nov 23 01:11:21 mx postfix/smtp[7]: " + text);
    return summary;
}

const std::string server = "mx.example.org[192.0.2.1]:25";

std::string outcome(const std::string& id, const std::string& status, const std::string& reason,
                    const std::string& more = "") {
    return id + ": to=<you@example.org>, relay=" + server + ", " + more +
           "delay=1, delays=0/0/1/0, dsn=" + (status == "sent" ? "2.0.0" : "4.7.5") +
           ", status=" + status + " (" + reason + ")";
}
const std::string tls = "Trusted TLS connection established to " + server + ": TLSv1.3";

DestinationSummary only(const LogSummary& summary) {
    const auto all = summary.destinations();
    REQUIRE(all.size() == 1);
    return all.front();
}

}  // namespace

TEST_CASE("the kind of a failure is what Postfix says of it") {
    const std::string peer = "mx.example.org[192.0.2.1]";
    struct Row {
        std::string before;
        std::string reason;
        FailureKind kind;
        std::string suspected;  // a part of it
    };
    for (const auto& row : std::vector<Row>{
             {"SSL_connect error to " + server + ": Connection timed out",
              "Cannot start TLS: handshake failure", FailureKind::handshake_timeout, "black hole"},
             {"SSL_connect error to " + server + ": Connection reset by peer",
              "Cannot start TLS: handshake failure", FailureKind::handshake_reset, "cut off"},
             {"SSL_connect error to " + server + ": -1", "Cannot start TLS: handshake failure",
              FailureKind::handshake_error, "do not agree on TLS"},
             {"", "Cannot start TLS: handshake failure", FailureKind::handshake,
              "do not agree on TLS"},
             {"", "Server certificate not verified", FailureKind::certificate, "certificate"},
             {"", "connect to " + server + ": Connection refused", FailureKind::connect,
              "cannot be reached"},
             {"", "conversation with " + peer + " timed out while sending message body",
              FailureKind::body, "large packets from here"},
             {"",
              "lost connection with " + peer +
                  " while sending end of data -- message may be sent more than once",
              FailureKind::end_of_data, "large packets from here"},
             {"",
              "conversation with " + peer +
                  " timed out while receiving the initial server greeting",
              FailureKind::greeting, "silent or slow"},
             {"", "conversation with " + peer + " timed out while performing the EHLO handshake",
              FailureKind::ehlo, "silent or slow"},
             {"", "conversation with " + peer + " timed out while receiving the STARTTLS response",
              FailureKind::starttls, "not begun"},
             {"", "conversation with " + peer + " timed out while sending RCPT TO",
              FailureKind::envelope, "silent or slow"},
             {"", "TLS is required, but was not offered by host " + peer, FailureKind::tls_missing,
              "not offered"},
             {"", "TLS is required, but host " + peer + " refused to start TLS: 454 no",
              FailureKind::starttls, "not begun"},
             {"", "host " + peer + " refused to talk to me: 421 busy", FailureKind::refused, ""},
             {"", "host " + peer + " said: 451 later (in reply to RCPT TO command)",
              FailureKind::refused, ""},
             {"", "mail for example.org loops back to myself", FailureKind::other, ""},
         }) {
        CAPTURE(row.reason);
        std::vector<std::string> lines;
        if (!row.before.empty()) lines.push_back(row.before);
        lines.push_back(outcome("45952A7814D", "deferred", row.reason));
        const auto found = only(summary_of(lines));
        CHECK(found.destination == "[mx.example.org]:25");
        CHECK(found.failed == 1);
        CHECK(found.failures.at(row.kind) == 1);
        CHECK(found.suspected.empty() == row.suspected.empty());
        CHECK(found.suspected.find(row.suspected) != std::string::npos);
        CHECK(found.probe ==
              (row.suspected.empty() ? "" : "postfathom probe '[mx.example.org]:25'"));
    }
}

TEST_CASE("a fault of our own TLS tables is not the server's") {
    const auto summary = summary_of({
        "warning: TLS policy lookup for example.org/mx.example.org: client TLS configuration "
        "problem",
        "45952A7814D: to=<you@example.org>, relay=none, delay=1, delays=0/0/1/0, dsn=4.7.5, "
        "status=deferred (client TLS configuration problem)",
    });
    const auto found = only(summary);
    CHECK(found.destination == "example.org");
    CHECK(found.failures.at(FailureKind::own_side) == 1);
    CHECK(found.probe.empty());
    CHECK(summary.own_faults().size() == 1);
}

TEST_CASE("what went in clear text is counted only where the log tells of TLS") {
    const auto sent = [](const std::string& id, const std::string& more = "") {
        return outcome(id, "sent", "250 Ok", more);
    };
    auto found = only(summary_of({sent("45952A7814D")}));
    CHECK(found.delivered == 1);
    CHECK(found.delivered_tls == 0);
    CHECK(found.delivered_clear == 0);
    // Two recipients of one message share a session, a message after them without a line has none.
    found = only(summary_of({tls, sent("45952A7814D"), sent("45952A7814D"), sent("45952A7814E")}));
    CHECK(found.delivered == 3);
    CHECK(found.delivered_tls == 2);
    CHECK(found.delivered_clear == 1);
    // A connection of an earlier delivery.
    found = only(summary_of({tls, sent("45952A7814D"), sent("45952A7814E", "conn_use=2, ")}));
    CHECK(found.delivered_tls == 2);
    CHECK(found.delivered_clear == 0);
    // 3.11 says it itself.
    found =
        only(summary_of({sent("45952A7814D", "tls=may:none, "), sent("45952A7814E", "tls=may, ")}));
    CHECK(found.delivered_tls == 1);
    CHECK(found.delivered_clear == 1);
}

TEST_CASE("recipients that were put off are no attempts") {
    LogSummary summary;
    summary.line(
        "Nov 23 01:11:21 mx postfix/error[9]: 45952A7814D: to=<you@example.org>, relay=none, "
        "delay=5, delays=0/5/0/0, dsn=4.4.1, status=deferred (delivery temporarily suspended: "
        "connect to mx.example.org[192.0.2.1]:25: Connection timed out)");
    const auto found = only(summary);
    CHECK(found.failed == 0);
    CHECK(found.suspended == 1);
}

TEST_CASE("clients whose handshakes or messages break off are named") {
    LogSummary summary;
    const std::string smtpd = "Nov 23 01:11:21 mx postfix/smtpd[9]: ";
    summary.line(smtpd + "SSL_accept error from a.example.com[192.0.2.7]: Connection timed out");
    summary.line(smtpd + "timeout after DATA (1234 bytes) from b.example.com[192.0.2.8]");
    summary.line(smtpd + "timeout after EHLO from c.example.com[192.0.2.9]");
    summary.line(smtpd +
                 "Anonymous TLS connection established from d.example.com[192.0.2.10]: TLSv1.3");
    const auto clients = summary.clients();
    REQUIRE(clients.size() == 2);
    CHECK(clients[0].client == "192.0.2.7");
    CHECK(clients[0].handshakes_failed == 1);
    CHECK(clients[0].suspected.find("our certificates") != std::string::npos);
    CHECK(clients[1].client == "192.0.2.8");
    CHECK(clients[1].lost_in_data == 1);
}

TEST_CASE("memory is bounded, and nothing is left out of the counts") {
    LogSummary summary(10);
    for (int i = 0; i < 1000; ++i)
        summary.line("Nov 23 01:11:21 mx postfix/smtp[" + std::to_string(i + 1) +
                     "]: 45952A7814D: to=<you@example.org>, relay=mx" + std::to_string(i) +
                     ".example.org[192.0.2.1]:25, delay=1, delays=0/0/1/0, dsn=4.7.5, "
                     "status=deferred (Cannot start TLS: handshake failure)");
    std::uint64_t failed = 0;
    for (const auto& destination : summary.destinations()) failed += destination.failed;
    CHECK(summary.destinations().size() == 11);
    CHECK(failed == 1000);
    CHECK(summary.destinations().front().destination == "(others)");
    CHECK(summary.destinations().front().probe.empty());
}
