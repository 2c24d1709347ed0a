// SPDX-License-Identifier: Apache-2.0
#include "probes/clear_text_watch.hpp"

#include <doctest/doctest.h>

using namespace postfathom;
using namespace std::chrono_literals;

namespace {

const std::string server = "mail.example.net[192.0.2.1]:25";

struct Log {
    // "-" for nothing found, else "QUEUEID SERVER SIGN FAILURES".
    std::string operator()(const std::string& text, unsigned pid = 3910,
                           const std::string& host = "mx") {
        const auto line = parse_log_line("Nov 23 01:11:21 " + host + " postfix/smtp[" +
                                         std::to_string(pid) + "]: " + text);
        REQUIRE_MESSAGE(line, text);
        const auto found = watch.line(*line, now);
        if (!found) return "-";
        return found->queue_id + " " + found->peer.host + " " +
               std::string(to_string(found->sign)) + " " + std::to_string(found->failures);
    }
    bool ill = false;
    ClearTextWatch::Time now{std::chrono::hours{1000}};
    ClearTextWatch watch{[this](const LoggedPeer&) { return ill; }};
};

const std::string stalled = "SSL_connect error to " + server + ": Connection timed out";
const std::string skipped = "45952A7814D: Cannot start TLS: handshake failure";

std::string established(const std::string& to = server) {
    return "Untrusted TLS connection established to " + to +
           ": TLSv1.3 with cipher X (256/256 bits)";
}
std::string status(const std::string& id, const std::string& more, const std::string& words,
                   const std::string& relay = server) {
    return id + ": to=<you@example.net>, relay=" + relay + ", " + more +
           "delay=300, delays=0/0/300/0, " + words;
}
std::string sent(const std::string& id = "45952A7814D", const std::string& relay = server) {
    return status(id, "", "dsn=2.0.0, status=sent (250 2.0.0 taken)", relay);
}
const std::string deferred =
    status("45952A7814D", "", "dsn=4.7.5, status=deferred (Cannot start TLS: handshake failure)");

}  // namespace

TEST_CASE("a server that is tried again in the same delivery is tried without TLS") {
    Log log;
    CHECK(log(stalled) == "-");
    CHECK(log(skipped) == "-");
    CHECK(log(sent()) == "45952A7814D mail.example.net tls-failed-before 1");
    SUBCASE("once for all recipients of the message") {
        CHECK(log(sent()) == "-");
        CHECK(log(sent()) == "-");
    }
    SUBCASE("again for the next message, with the failures of both") {
        log(stalled);
        CHECK(log(sent("4595200000D")) == "4595200000D mail.example.net tls-failed-before 2");
    }
}

TEST_CASE("a session over TLS that broke is followed by clear text too") {
    Log log;
    log(established());
    log("45952A7814D: conversation with mail.example.net[192.0.2.1] timed out while sending "
        "message "
        "body");
    CHECK(log(sent()) == "45952A7814D mail.example.net tls-failed-before 1");
    SUBCASE("unless TLS was established again") {
        log(established());
        log("45952A7814D: lost connection with mail.example.net[192.0.2.1] while sending RCPT TO");
        log(established());
        CHECK(log(sent("4595200000D")) == "-");
    }
}

TEST_CASE(
    "without a line about TLS a delivery counts as clear text only where such lines are written") {
    Log log;
    log(stalled);
    log(deferred);
    SUBCASE("smtp_tls_loglevel may be 0") { CHECK(log(sent()) == "-"); }
    SUBCASE("it is not") {
        log(established("other.example.net[192.0.2.9]:25"), 4711);
        CHECK(log(sent()) == "45952A7814D mail.example.net no-tls-line 1");
    }
    SUBCASE("that of another host in the same log says nothing") {
        log(established("other.example.net[192.0.2.9]:25"), 4711, "other");
        CHECK(log(sent()) == "-");
    }
    SUBCASE("a delivery with TLS is what everybody wants") {
        log(established());
        CHECK(log(sent()) == "-");
    }
    SUBCASE("a connection that is used again had its session logged before") {
        log(established("other.example.net[192.0.2.9]:25"), 4711);
        CHECK(log(status("45952A7814D", "conn_use=2, ", "dsn=2.0.0, status=sent (ok)")) == "-");
    }
    SUBCASE("a session that is used again is TLS") {
        log("Untrusted TLS connection reused to " + server + ": TLSv1.3 with cipher X");
        CHECK(log(sent()) == "-");
    }
}

TEST_CASE("where Postfix says what it did, that counts and nothing else") {
    struct Row {
        std::string word;
        std::string found;
    };
    const std::vector<Row> rows{
        {"may:none", "45952A7814D mail.example.net tls-word 1"},
        {"none", "45952A7814D mail.example.net tls-word 1"},
        {"may", "-"},
        {"may?", "-"},
        {"encrypt", "-"},
        {"dane:encrypt", "-"},
        {"!encrypt", "-"},
    };
    for (const auto& row : rows) {
        CAPTURE(row.word);
        Log log;
        log(stalled);
        log(skipped);
        CHECK(log(status("45952A7814D", "",
                         "tls=" + row.word + ", dsn=2.0.0, status=sent (250 2.0.0 taken)")) ==
              row.found);
    }
}

TEST_CASE("clear text is worth an alarm only where TLS was tried") {
    Log log;
    log(established("other.example.net[192.0.2.9]:25"), 4711);
    CHECK(log(sent()) == "-");  // a server without STARTTLS, like many
    SUBCASE("or where it is known that the path keeps it from working") {
        log.ill = true;
        CHECK(log(sent("4595200000D")) == "4595200000D mail.example.net no-tls-line 0");
    }
    SUBCASE("another address or port is another server") {
        log(stalled, 4712);
        log(deferred, 4712);
        CHECK(log(sent("4595200000D", "mail.example.net[192.0.2.2]:25")) == "-");
        CHECK(log(sent("4595200000E", "mail.example.net[192.0.2.1]:587")) == "-");
        CHECK(log(sent("4595200000F")) == "4595200000F mail.example.net no-tls-line 1");
    }
    SUBCASE("a failure of yesterday is forgotten") {
        log(stalled, 4712);
        log(deferred, 4712);
        log.now += 25h;
        CHECK(log(sent("4595200000F")) == "-");
    }
    SUBCASE("what tlsproxy(8) did has no line with an address, and the status line has") {
        log(deferred, 4712);
        CHECK(log(sent("4595200000F")) == "4595200000F mail.example.net no-tls-line 1");
        log(skipped, 4713);
        CHECK(log(sent("45952A7814D", "mail.example.net[192.0.2.5]:25"), 4713) ==
              "45952A7814D mail.example.net no-tls-line 1");
    }
}

TEST_CASE("a failed first server and TLS with the second are no clear text") {
    Log log;
    log(stalled);
    log(skipped);
    log(established("mail2.example.net[192.0.2.2]:25"));
    CHECK(log(sent("45952A7814D", "mail2.example.net[192.0.2.2]:25")) == "-");
}

TEST_CASE("the next delivery of a process starts anew") {
    Log log;
    log(established());
    CHECK(log(sent()) == "-");
    log.ill = true;
    CHECK(log(sent("4595200000F")) == "4595200000F mail.example.net no-tls-line 0");
}

TEST_CASE("memory is bounded") {
    Log log;
    for (unsigned i = 1; i < ClearTextWatch::max_servers + 500; ++i) {
        const auto address = std::to_string(i / 250 % 250) + "." + std::to_string(i % 250);
        log("SSL_connect error to a[198.18." + address + "]:25: Connection timed out", i);
    }
    log(stalled, 1);
    CHECK(log(sent(), 1) == "45952A7814D mail.example.net tls-failed-before 1");
}
