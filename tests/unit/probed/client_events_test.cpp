// SPDX-License-Identifier: Apache-2.0
#include "probes/client_events.hpp"

#include <doctest/doctest.h>

#include <string>

using namespace postfathom;

TEST_CASE("lines of servers count for the client's network, each fault once") {
    const struct {
        std::string line;
        std::uint64_t handshakes;
        std::uint64_t in_data;
    } cases[] = {
        {"postfix/smtpd[7]: SSL_accept error from unknown[192.0.2.7]: lost connection", 1, 0},
        {"postfix/smtpd[7]: lost connection after STARTTLS from unknown[192.0.2.7]", 0, 0},
        {"postfix/smtpd[7]: disconnect from unknown[192.0.2.7] ehlo=1 starttls=0/1 commands=1/2", 0,
         0},
        {"postfix/smtpd[7]: timeout after DATA (0 bytes) from unknown[192.0.2.7]", 0, 1},
        {"postfix/smtpd[7]: NOQUEUE: lost connection after BDAT (1234 bytes) from "
         "unknown[192.0.2.7]",
         0, 1},
        {"postfix/smtpd[7]: lost connection after EHLO from unknown[192.0.2.7]", 0, 0},
        {"postfix/tlsproxy[7]: TLS handshake failed for service=smtpd peer=[192.0.2.7]:3434", 1, 0},
        {"postfix/tlsproxy[7]: TLS handshake failed for service=smtp peer=[192.0.2.7]:25", 0, 0},
        {"dovecot: imap-login: Disconnected: Connection closed: SSL_accept() failed: "
         "error:0A000416:SSL "
         "routines::sslv3 alert certificate unknown (no auth attempts in 0 secs): user=<>, "
         "rip=192.0.2.7, "
         "lip=192.0.2.1, TLS handshaking, session=<x>",
         1, 0},
        {"postfix/qmgr[7]: 45952A7814D: removed", 0, 0},
    };
    for (const auto& c : cases) {
        CAPTURE(c.line);
        const auto event = parse_server_line("Nov 23 01:11:21 mx " + c.line);
        REQUIRE(event);
        const auto seen = client_seen(*event);
        REQUIRE(seen.has_value() == (c.handshakes + c.in_data > 0));
        if (!seen) continue;
        CHECK(client_network(seen->network) == "192.0.2.0/24");
        CHECK(seen->counts == ClientCounts{0, 0, c.handshakes, c.in_data});
    }
}
