// SPDX-License-Identifier: Apache-2.0
#include "lib/mail_log/lines.hpp"

#include <doctest/doctest.h>

#include <cstring>
#include <memory>
#include <random>

#include "lib/mail_log/scan.hpp"
#include "tests/unit/mail_log/render.hpp"

using namespace postfathom;

namespace {

const std::string head = "Nov 23 01:11:21 mx postfix/smtp[3910]: ";

std::string parsed(const std::string& line) { return render(parse_log_line(line)); }

// What follows "smtp[3910] " for a line that has `text`.
std::string event(const std::string& text) {
    const auto all = parsed(head + text);
    return all.starts_with("smtp[3910] ") ? all.substr(11) : all;
}

std::string classified(std::string_view reason) {
    const auto trouble = classify_reason(reason);
    return trouble ? std::string(to_string(trouble->kind)) + " " + render(trouble->peer) : "-";
}

}  // namespace

TEST_CASE("time stamps and tags of postlogd, syslog and journal are understood") {
    const std::string text =
        "SSL_connect error to mx.example.org[192.0.2.1]:25: Connection timed out";
    const std::string want =
        " - handshake-error mx.example.org[192.0.2.1]:25 | Connection timed out";
    for (const auto& [line, program] : std::vector<std::pair<std::string, std::string>>{
             {"Nov 23 01:11:21 mx postfix/smtp[3910]: ", "smtp[3910]"},
             {"Nov  3 01:11:21 mx postfix/smtp[3910]: ", "smtp[3910]"},
             {"Nov 23 01:11:21 mx postfix-out/smtp[7]: ", "smtp[7]"},
             {"Nov 23 01:11:21 mx postfix/slow/smtp[7]: ", "smtp[7]"},
             {"Nov 23 01:11:21 mx postfix/lmtp[7]: ", "lmtp[7]"},
             {"2026-11-23T01:11:21.123456+00:00 mx postfix/smtp[4294967295]: ", "smtp[4294967295]"},
             {"2026-11-23T01:11:21Z mx.example.net postfix/smtp[1]: ", "smtp[1]"}})
        CHECK(parsed(line + text) == program + want);
    for (const std::string line :
         {"", "Nov 23 01:11:21", "Nov 23 01:11:21 mx postfix/smtpd[3910]: ",
          "Nov 23 01:11:21 mx postfix/qmgr[3910]: ", "Nov 23 01:11:21 mx postfix/smtp: ",
          "Nov 23 01:11:21 mx postfix/smtp[]: ", "Nov 23 01:11:21 mx postfix/smtp[0]: ",
          "Nov 23 01:11:21 mx postfix/smtp[4294967296]: ", "Nov 23 01:11:21 mx postfix/smtp[1]",
          "Nov 23 01-11-21 mx postfix/smtp[1]: ", "2026-11-23 mx postfix/smtp[1]: ",
          "Nov 23 01:11:21 mx kernel: postfix/smtp[1]: ", "postfix/smtp[1]: "})
        CHECK(parsed(line + text) == "-");
}

TEST_CASE("trouble lines name their peer") {
    CHECK(event("SSL_connect error to mx.example.org[2001:db8::1]:2525: -1") ==
          "- handshake-error mx.example.org[2001:db8::1]:2525 | -1");
    CHECK(event("connect to mx.example.org[192.0.2.1]:25: Connection refused") ==
          "- connect-failed mx.example.org[192.0.2.1]:25 | Connection refused");
    CHECK(event("server certificate verification failed for mx.example.org[192.0.2.1]:25: "
                "num=62:hostname mismatch") ==
          "- certificate-error mx.example.org[192.0.2.1]:25 | num=62:hostname mismatch");
    CHECK(event("certificate verification failed for mx.example.org[192.0.2.1]:25: untrusted "
                "issuer /CN=example") ==
          "- certificate-error mx.example.org[192.0.2.1]:25 | untrusted issuer /CN=example");
    CHECK(event("4Q2b3Q0xyzz7: conversation with mx.example.org[192.0.2.1] timed out while "
                "performing the EHLO handshake") ==
          "4Q2b3Q0xyzz7 conversation-timed-out mx.example.org[192.0.2.1] | timed out while "
          "performing the EHLO handshake");
    CHECK(event("45952A7814D: lost connection with mx.example.org[192.0.2.1] while sending message "
                "body") ==
          "45952A7814D lost-connection mx.example.org[192.0.2.1] | while sending message body");
    CHECK(event("45952A7814D: Cannot start TLS: handshake failure") ==
          "45952A7814D cannot-start-tls - | handshake failure");
    CHECK(event("45952A7814D: TLS is required, but was not offered by host "
                "mx.example.org[192.0.2.1]") ==
          "45952A7814D tls-not-offered mx.example.org[192.0.2.1] | ");
    CHECK(event("45952A7814D: TLS is required, but host mx.example.org[192.0.2.1] refused to start "
                "TLS: 454 4.7.0 no") ==
          "45952A7814D cannot-start-tls mx.example.org[192.0.2.1] | 454 4.7.0 no");
    CHECK(event("45952A7814D: host mx.example.org[192.0.2.1] refused to talk to me: 421 busy") ==
          "45952A7814D refused-to-talk mx.example.org[192.0.2.1] | 421 busy");
    CHECK(event("Untrusted TLS connection established to mx.example.org[192.0.2.1]:25: TLSv1.3 "
                "with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)") ==
          "- tls-established mx.example.org[192.0.2.1]:25");
    CHECK(event("Anonymous TLS connection reused to mx.example.org[192.0.2.1]:25: TLSv1.3") ==
          "- tls-reused mx.example.org[192.0.2.1]:25");
}

TEST_CASE("of a status line it is known whether TLS and the connection were what they seem") {
    const auto status = [](const std::string& more) {
        const auto line = parse_log_line(
            "Nov 23 01:11:21 mx postfix/smtp[3910]: 45952A7814D: to=<you@example.net>, "
            "relay=mail.example.net[192.0.2.1]:25, " +
            more + "dsn=2.0.0, status=sent (250 tls=none, conn_use=3, dsn=2.0.0)");
        REQUIRE(line);
        return std::get<DeliveryStatus>(line->event);
    };
    CHECK(status("delay=3, delays=0/0/3/0, ").tls.empty());
    CHECK_FALSE(status("delay=3, delays=0/0/3/0, ").reused);
    CHECK(status("delay=3, delays=0/0/3/0, tls=may:none, ").tls == "may:none");
    CHECK(status("delay=3, delays=0/0/3/0, tls=dane/requiretls:encrypt, ").tls ==
          "dane/requiretls:encrypt");
    CHECK(status("conn_use=2, delay=3, delays=0/0/3/0, ").reused);
}

TEST_CASE("lines about something else are left alone") {
    for (const std::string text :
         {"warning: connect to run/dsn.sock: No such file or directory",
          "warning: TLS library problem: error:0A00010B:SSL routines::wrong version "
          "number:ssl.c:1:",
          "statistics: max simultaneous domains=0 addresses=1 connection=1",
          "connect to mail.example.org[private/dovecot-lmtp]: No such file or directory",
          "45952A7814D: enabling PIX workarounds: delay_dotcrlf for mx.example.org[192.0.2.1]:25",
          "45952A7814D: host mx.example.org[192.0.2.1] said: 451 connect to x[192.0.2.9]:25: no",
          "SSL_connect error to mx.example.org[192.0.2.1]", "45952A7814D: ", "45952A7814D: to=<",
          ""})
        CHECK_MESSAGE(event(text) == "-", text);
}

TEST_CASE("status lines") {
    CHECK(
        event("45952A7814D: to=<you@Example.ORG>, relay=none, delay=5, delays=0/0/5/0, dsn=4.4.1, "
              "status=deferred (connect to mx.example.org[192.0.2.1]:25: Connection timed out)") ==
        "45952A7814D status deferred 4.4.1 domain=example.org relay=- trouble=connect-failed "
        "peer=mx.example.org[192.0.2.1]:25 | connect to mx.example.org[192.0.2.1]:25: Connection "
        "timed out");
    CHECK(event("45952A7814D: to=<you@example.org>, orig_to=<me@example.net>, "
                "relay=mx.example.org[192.0.2.1]:25, conn_use=2, delay=0.1, "
                "delays=0.02/0.03/0.04/0.02, tls=may, dsn=2.0.0, status=sent (250 2.0.0 Ok "
                "(really))") ==
          "45952A7814D status sent 2.0.0 domain=example.org relay=mx.example.org[192.0.2.1]:25 "
          "trouble=- peer=- | 250 2.0.0 Ok (really)");
    CHECK(
        event("45952A7814D: to=<you@example.org>, relay=local, delay=0, delays=0/0/0/0, dsn=2.0.0, "
              "status=sent (delivered to mailbox)") ==
        "45952A7814D status sent 2.0.0 domain=example.org relay=- trouble=- peer=- | delivered to "
        "mailbox");
    CHECK(parsed(
              "Nov 23 01:11:21 mx postfix/error[5]: 45952A7814D: to=<you@example.org>, relay=none, "
              "delay=5, delays=0/5/0/0, dsn=4.7.5, status=deferred (delivery temporarily "
              "suspended: Cannot start TLS: handshake failure)") ==
          "error[5] 45952A7814D status deferred 4.7.5 domain=example.org relay=- "
          "trouble=cannot-start-tls peer=- | delivery temporarily suspended: Cannot start TLS: "
          "handshake failure");
    SUBCASE("a line that was cut keeps what names no place") {
        CHECK(event("45952A7814D: to=<you@example.org>, relay=none, delay=5, delays=0/0/5/0, "
                    "dsn=4.4.1, status=deferred (connect to mx.exa") ==
              "45952A7814D status deferred 4.4.1 domain= relay=- trouble=- peer=- | "
              "connect to mx.exa");
        CHECK(event("45952A7814D: to=<you@example.org>, relay=none, delay=5, dsn=4.4.1, sta") ==
              "-");
        // Whole, but of a length at which some are cut: its reason is still as it was answered.
        CHECK(event("45952A7814D: to=<" + std::string(900, 'y') +
                    "@example.org>, relay=none, delay=5, delays=0/0/5/0, dsn=4.4.1, "
                    "status=deferred (connect to mx)") ==
              "45952A7814D status deferred 4.4.1 domain= relay=- trouble=- peer=- | "
              "connect to mx");
    }
}

TEST_CASE("a recipient cannot forge the rest of its line") {
    CHECK(
        event("45952A7814D: to=<\"a>, relay=evil[192.0.2.66]:25, dsn=2.0.0, status=sent "
              "(x\"@example.org>, relay=none, delay=5, delays=0/0/5/0, dsn=4.4.1, status=deferred "
              "(connect to mx.example.org[192.0.2.1]:25: Connection timed out)") ==
        "45952A7814D status deferred 4.4.1 domain=example.org relay=- trouble=connect-failed "
        "peer=mx.example.org[192.0.2.1]:25 | connect to mx.example.org[192.0.2.1]:25: Connection "
        "timed out");
    CHECK(
        event("45952A7814D: to=<\"a\\\">, relay=evil[192.0.2.66]:25, \"@example.org>, relay=none, "
              "delay=5, dsn=4.4.1, status=deferred (x)") ==
        "45952A7814D status deferred 4.4.1 domain=example.org relay=- trouble=- peer=- | x");
    // Postfix before 3.5, or with info_log_address_format = internal, quotes nothing.
    for (const auto* forged :
         {"a>, relay=evil[192.0.2.66]:25, delay=1, delays=0/0/0/0, dsn=4.4.1, status=deferred "
          "(connect to evil[192.0.2.66]:25: Connection timed out)",
          "\"q\" a>, relay=evil[192.0.2.66]:25, delay=1, dsn=4.4.1, status=deferred (connect to "
          "evil[192.0.2.66]:25: Connection timed out)",
          "a>, orig_to=<b>, relay=evil[192.0.2.66]:25, delay=1, dsn=4.4.1, status=deferred (x"}) {
        CAPTURE(forged);
        const auto line = "45952A7814D: to=<" + std::string(forged) +
                          "@example.org>, relay=mx.example.org[192.0.2.1]:25, delay=5, "
                          "dsn=2.0.0, status=sent (250 ok)";
        CHECK(event(line) == "-");
    }
    // Where a line is cut within the address, its own outcome is gone and the forged one is all
    // there is; with quotes (external form) and without, and where the cut leaves a parenthesis at
    // the end.
    const std::string trouble =
        "relay=evil[192.0.2.66]:25, delay=1, delays=0/0/0/0, dsn=4.4.1, status=deferred "
        "(connect to evil[192.0.2.66]:25: Connection timed out";
    for (const std::size_t length : {300U, 900U, 1000U, 1024U, 2000U, 2048U}) {
        CAPTURE(length);
        for (const char last : {')', 'a'}) {
            auto unquoted = "45952A7814D: to=<x@example.org>, " + trouble;
            auto quoted = "45952A7814D: to=<\"x@example.org>, " + trouble;
            for (auto* line : {&unquoted, &quoted}) {
                line->resize(length - 1, 'a');
                *line += last;
            }
            CHECK(event(quoted) == "-");
            // 300 bytes with a parenthesis are an outcome that nothing cuts.
            const bool placeless = length >= 900 || last != ')';
            CHECK((event(unquoted).find("domain= relay=- trouble=- peer=- |") !=
                   std::string::npos) == placeless);
            CHECK((event(unquoted).find("relay=evil[192.0.2.66]:25") == std::string::npos) ==
                  placeless);
        }
    }
    // A server's reply stays a reply.
    CHECK(event("45952A7814D: to=<you@example.org>, relay=mx.example.org[192.0.2.1]:25, delay=5, "
                "dsn=4.7.5, status=deferred (host mx.example.org[192.0.2.1] said: 451 4.7.5 Cannot "
                "start TLS: handshake failure (in reply to RCPT TO command))") ==
          "45952A7814D status deferred 4.7.5 domain=example.org relay=mx.example.org[192.0.2.1]:25 "
          "trouble=- peer=- | host mx.example.org[192.0.2.1] said: 451 4.7.5 Cannot start TLS: "
          "handshake failure (in reply to RCPT TO command)");
}

TEST_CASE("reasons are classified by Postfix's own words") {
    for (const auto& [reason, want] : std::vector<std::pair<std::string, std::string>>{
             {"connect to a.example.org[192.0.2.1]:25: Connection timed out",
              "connect-failed a.example.org[192.0.2.1]:25"},
             {"conversation with a.example.org[192.0.2.1] timed out while receiving the initial "
              "server greeting",
              "conversation-timed-out a.example.org[192.0.2.1]"},
             {"lost connection with a.example.org[2001:db8::1] while sending RCPT TO",
              "lost-connection a.example.org[2001:db8::1]"},
             {"Cannot start TLS: handshake failure", "cannot-start-tls -"},
             {"Server certificate not verified", "certificate-error -"},
             {"TLS is required, but was not offered by host a.example.org[192.0.2.1]",
              "tls-not-offered a.example.org[192.0.2.1]"},
             {"host a.example.org[192.0.2.1] refused to talk to me: 421 4.3.2 too busy",
              "refused-to-talk a.example.org[192.0.2.1]"},
             {"host a.example.org[192.0.2.1] said: 450 4.7.1 greylisted", "-"},
             {"client TLS configuration problem", "-"},
             {"TLS is required, but our TLS engine is unavailable", "-"},
             {"unable to look up host nosuch.example.org: Name or service not known", "-"},
             {"connect to a.example.org[private/lmtp]: No such file or directory", "-"},
             {"connect to a.example.org[192.0.2.1]:99999: x", "-"},
             {"250 2.0.0 Ok: queued as 45952A7814D", "-"},
             {"", "-"}})
        CHECK(classified(reason) == want);
}

TEST_CASE("the first peer in a text is found") {
    const auto found = [](std::string_view text) { return render(find_peer(text)); };
    CHECK(found("host a.example.org[192.0.2.1] said: see b[192.0.2.2]:25") ==
          "a.example.org[192.0.2.1]");
    CHECK(found("x[y] to (a.example.org[192.0.2.1]:587)") == "a.example.org[192.0.2.1]:587");
    CHECK(found("[192.0.2.1]:25 has no name") == "-");
    CHECK(found("a[192.0.2.1]: text") == "a[192.0.2.1]");
    CHECK(found("a[192.0.2.1]:0: text") == "-");
    CHECK(found("2001:db8::1[2001:db8::1]:25: x") == "2001:db8::1[2001:db8::1]:25");
    CHECK(found("a[192.0.2.1") == "-");
    CHECK(found("") == "-");
}

TEST_CASE("any bytes are accepted") {
    const std::string line =
        head +
        "45952A7814D: to=<\"q\"@example.org>, orig_to=<a@example.net>, "
        "relay=mx.example.org[192.0.2.1]:25, conn_use=2, delay=5, delays=0/0/5/0, dsn=4.4.1, "
        "status=deferred (connect to mx.example.org[192.0.2.1]:25: Connection timed out)";
    REQUIRE(parse_log_line(line));
    // In memory of exactly this size, so that a sanitizer sees the first byte beyond.
    const auto parse_exactly = [](std::string_view text) {
        const auto copy = std::make_unique<char[]>(text.size());
        std::memcpy(copy.get(), text.data(), text.size());
        const std::string_view view(copy.get(), text.size());
        find_peer(view);
        classify_reason(view);
        return parse_log_line(view);
    };
    for (std::size_t cut = 0; cut < line.size(); ++cut) {
        parse_exactly(line.substr(0, cut));
        parse_exactly(line.substr(cut));
    }
    std::mt19937 random(42);
    for (int round = 0; round < 20'000; ++round) {
        auto broken = line;
        for (int change = 0; change < 3; ++change)
            broken[random() % broken.size()] = static_cast<char>(random());
        const auto result = parse_exactly(broken);
        if (result && result->pid == 0) FAIL("pid 0 for: ", broken);
    }
}

TEST_CASE("an overlong line is cut, and costs no more than its limit") {
    const auto long_reason = std::string(1'000'000, 'x');
    const auto result = parse_log_line(
        head +
        "45952A7814D: to=<you@example.org>, relay=none, delay=5, dsn=4.4.1, status=deferred (" +
        long_reason + ")");
    REQUIRE(result);
    CHECK(std::get<DeliveryStatus>(result->event).reason.size() < max_log_line_bytes);
    CHECK_FALSE(parse_log_line(head + std::string(1'000'000, '[')));
    CHECK_FALSE(parse_log_line(std::string(1'000'000, '\0')));
}

TEST_CASE("a host that a line names is printable, and is as long as a name may be") {
    std::string_view text = "x\xc2\x9b\x9b\x80y[192.0.2.1]:25 rest";
    const auto peer = take_peer(text);
    REQUIRE(peer);
    CHECK(peer->host.find_first_of("\xc2\x9b\x80") == std::string::npos);
    CHECK(peer->host.front() == 'x');
    const std::string tail = " mx postfix/smtp[1]: 45952A7814D: removed";
    for (const auto& [whole, expected] :
         {std::pair{"2026-11-23T01:11:21.123456789+00:00" + tail, true},
          {"2026-11-23T01:11:21." + std::string(7000, '1') + tail, false},
          {"Nov 23 01:11:21 " + std::string(256, 'm') + tail.substr(3), false}}) {
        const auto shown = whole.substr(0, 60);
        CAPTURE(shown);
        std::string_view line = whole;
        CHECK(take_head(line).has_value() == expected);
    }
    const std::string before = "45952A7814D: to=<you@example.org>, relay=none, delay=5, ";
    CHECK(event(before + "delays=0/0/5/0, dsn=4." + std::string(7000, '0') +
                ", status=deferred (x)") == "-");
}
