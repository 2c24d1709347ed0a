// SPDX-License-Identifier: Apache-2.0
// The corpus in tests/data/mail_log holds what real servers wrote; here is what must not be taken
// for it.
#include "lib/mail_log/server_lines.hpp"

#include <doctest/doctest.h>

#include <cstring>
#include <memory>
#include <random>

#include "tests/unit/mail_log/render.hpp"

using namespace postfathom;

namespace {

std::string parsed(const std::string& line) { return render(parse_server_line(line)); }
std::string smtpd(const std::string& text) {
    return parsed("Nov 23 01:11:21 mx postfix/smtpd[7]: " + text);
}

}  // namespace

TEST_CASE("a log of Dovecot's own and one of syslog say the same") {
    const std::string text =
        "Disconnected: Connection closed: SSL_accept() failed: error:0A000418:SSL routines::tlsv1 "
        "alert unknown ca: SSL alert number 48 (no auth attempts in 0 secs): user=<>, "
        "rip=192.0.2.9, lip=192.0.2.2, TLS handshaking: SSL_accept() failed: "
        "error:0A000418:SSL routines::tlsv1 alert unknown ca: SSL alert number 48, session=<x>";
    const std::string want =
        " - imap-handshake-failed [192.0.2.9] after TLS | SSL_accept() failed: "
        "error:0A000418:SSL routines::tlsv1 alert unknown ca: SSL alert number 48";
    CHECK(parsed("Nov 23 01:11:21 mx dovecot: imap-login: " + text) == "dovecot[0]" + want);
    CHECK(parsed("Nov 23 01:11:21 imap-login: Info: " + text) == "imap-login[0]" + want);
}

TEST_CASE("words of others are not taken for those of the server") {
    // What a client or a remote server may choose stands behind what is looked at.
    for (const std::string text : {
             "connect from unknown[192.0.2.1]",
             "NOQUEUE: reject: RCPT from x[192.0.2.1]: 554 5.7.1 <timeout after DATA from "
             "y[192.0.2.2]>: no; from=<a@example.org> proto=ESMTP helo=<lost connection after>",
             "lost connection after DATA (many bytes) from x[192.0.2.1]",
             "lost connection after DATA (12 bytes, 3 lines) from x[192.0.2.1]",
             "lost connection after DATA",
             "lost connection after DATA from 192.0.2.1",
             "SSL_accept error from x[192.0.2.1]",
             "SSL_accept error from x[y]: -1",
             "Known TLS connection established from x[192.0.2.1]: TLSv1.3",
             "warning: hostname smtp_tls does not resolve to address 192.0.2.1",
             "",
         })
        CHECK_MESSAGE(smtpd(text) == "-", text);
    const std::string smtp = "Nov 23 01:11:21 mx postfix/smtp[7]: ";
    CHECK(parsed(smtp + "4ABC0: host x[192.0.2.1] said: 451 client TLS configuration problem") ==
          "-");
    CHECK(parsed(smtp + "warning: x[192.0.2.1]:25 offered smtp AUTH with lookup error:") == "-");
    const std::string dovecot = "Nov 23 01:11:21 mx dovecot: ";
    CHECK(parsed(dovecot + "imap(me)<7><x>: Disconnected: Logged out in=1 out=2") == "-");
    CHECK(parsed(dovecot + "imap-login: Login: user=<me>, rip=192.0.2.1") == "-");
    CHECK(parsed(dovecot + "imap-login: Disconnected: user=<>, xrip=192.0.2.1") == "-");
    CHECK(parsed(dovecot + "Disconnected") == "-");
}

TEST_CASE("any bytes are accepted, and no more than the line is read") {
    std::mt19937 random(11);
    const std::string alphabet = "[]<>(): ,=/0123456789afromstadisconect";
    for (const std::string start :
         {"Nov 23 01:11:21 mx postfix/smtpd[7]: ", "Nov 23 01:11:21 mx postfix/postscreen[7]: ",
          "Nov 23 01:11:21 mx postfix/tlsproxy[7]: CONNECT to ",
          "Nov 23 01:11:21 mx postfix/qmgr[7]: from=<", "Nov 23 01:11:21 mx dovecot: imap-login: "})
        for (int run = 0; run < 2000; ++run) {
            std::string line = start;
            for (auto left = random() % 80; left > 0; --left)
                line += run % 4 == 0 ? static_cast<char>(random())
                                     : alphabet[random() % alphabet.size()];
            // On the heap, so that a read behind the end is seen by a sanitizer.
            const auto exact = std::make_unique<char[]>(line.size());
            std::memcpy(exact.get(), line.data(), line.size());
            const auto event = parse_server_line({exact.get(), line.size()});
            if (event) CHECK(event->detail.size() <= line.size());
        }
    CHECK(parsed("Nov 23 01:11:21 mx postfix/qmgr[7]: from=<" + std::string(1'000'000, 'x')) ==
          "-");
}
