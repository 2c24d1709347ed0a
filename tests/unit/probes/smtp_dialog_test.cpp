// SPDX-License-Identifier: Apache-2.0
#include "probes/smtp_dialog.hpp"

#include <doctest/doctest.h>

#include <random>
#include <string>
#include <vector>

#include "tests/unit/probes/dialog_talk.hpp"

using namespace postfathom;

namespace {

const std::string greeting = "220-mail.example.org ESMTP\r\n220 waits\r\n";
const std::string ehlo_with =
    "250-mail.example.org\r\n250-PIPELINING\r\n250-starttls\r\n250 DSN\r\n";
const std::string ehlo_without = "250-mail.example.org\r\n250 STARTTLSX\r\n";

}  // namespace

TEST_CASE("conversations come out alike however the bytes are cut") {
    struct Case {
        const char* what;
        std::vector<std::string> server;
        Phase phase;
        Outcome outcome;
        std::string sent;
    };
    const std::string ehlo = "EHLO client.example.org\r\n";
    const std::vector<Case> cases{
        {"all goes well",
         {greeting, ehlo_with, "220 go ahead\r\n", "TLS", "250-x\r\n250 y\r\n", "221 bye\r\n"},
         Phase::quit,
         Outcome::ok,
         ehlo + "STARTTLS\r\n" + ehlo + "QUIT\r\n"},
        {"STARTTLS is not offered",
         {greeting, ehlo_without, "221 bye\r\n"},
         Phase::starttls,
         Outcome::not_offered,
         ehlo + "QUIT\r\n"},
        {"EHLO is refused and HELO taken",
         {greeting, "502 what?\r\n", "250 hello\r\n", "221 x\r\n"},
         Phase::starttls,
         Outcome::not_offered,
         ehlo + "HELO client.example.org\r\nQUIT\r\n"},
        {"EHLO and HELO are refused",
         {greeting, "502 what?\r\n", "502 no\r\n", "221 x\r\n"},
         Phase::ehlo,
         Outcome::rejected,
         ehlo + "HELO client.example.org\r\nQUIT\r\n"},
        {"STARTTLS is refused",
         {greeting, ehlo_with, "454 later\r\n", "221 x\r\n"},
         Phase::starttls,
         Outcome::rejected,
         ehlo + "STARTTLS\r\nQUIT\r\n"},
        {"the greeting is 554",
         {"554 no\r\n", "221 x\r\n"},
         Phase::greeting,
         Outcome::rejected,
         "QUIT\r\n"},
        {"the greeting is 421", {"421 closing\r\n"}, Phase::greeting, Outcome::rejected, ""},
        {"something else listens", {"SSH-2.0-Example\r\n"}, Phase::greeting, Outcome::garbled, ""},
        {"binary", {std::string("\x16\x03\x01\x00\x02", 5)}, Phase::greeting, Outcome::garbled, ""},
        {"a code out of range", {"199 x\r\n"}, Phase::greeting, Outcome::garbled, ""},
        {"no blank behind the code", {"2200 x\r\n"}, Phase::greeting, Outcome::garbled, ""},
        {"only line feeds",
         {"220 hello\n", "250-a\n250 STARTTLS\n", "220 go\n"},
         Phase::handshake,
         Outcome::ok,
         ehlo + "STARTTLS\r\n"},
        {"a bare code",
         {"220\r\n", "250-a\r\n250-STARTTLS\r\n250\r\n", "220\r\n"},
         Phase::handshake,
         Outcome::ok,
         ehlo + "STARTTLS\r\n"},
    };
    for (const auto& example : cases) {
        CAPTURE(example.what);
        const auto whole = talk(example.server, 100'000, Service::smtp);
        CHECK(whole.phase == example.phase);
        CHECK(whole.outcome == example.outcome);
        CHECK(whole.sent == example.sent);
        for (std::size_t cut = 1; cut < 40; ++cut) {
            CAPTURE(cut);
            auto pieces = talk(example.server, cut, Service::smtp);
            // How much of a line that is no reply was there to quote depends on the pieces.
            if (whole.outcome == Outcome::garbled) pieces.reply = whole.reply;
            CHECK(pieces == whole);
        }
    }
}

TEST_CASE("implicit TLS begins with the handshake and greets after it") {
    const auto ended = talk({"TLS", greeting, ehlo_without, "221 bye\r\n"}, 7, Service::smtps);
    CHECK(ended.phase == Phase::quit);
    CHECK(ended.outcome == Outcome::ok);
    CHECK(ended.sent == "EHLO client.example.org\r\nQUIT\r\n");
    const auto refused = talk({"TLS", "554 no\r\n", "221 bye\r\n"}, 7, Service::smtps);
    CHECK(refused.phase == Phase::ehlo_after_tls);
    CHECK(refused.outcome == Outcome::rejected);
}

TEST_CASE("421 is remembered wherever it comes") {
    CHECK(talk({"421 x\r\n"}, 3, Service::smtp).facts.told_to_go);
    CHECK(talk({greeting, "421 x\r\n"}, 3, Service::smtp).facts.told_to_go);
    CHECK(talk({greeting, ehlo_with, "421 x\r\n"}, 3, Service::smtp).facts.told_to_go);
    CHECK_FALSE(talk({greeting, "450 x\r\n"}, 3, Service::smtp).facts.told_to_go);
    CHECK(talk({greeting, "421 x\r\n"}, 3, Service::smtp).sent == "EHLO client.example.org\r\n");
}

TEST_CASE("replies are bounded") {
    SUBCASE("an endless line") {
        SmtpDialog dialog(Service::smtp, "x");
        dialog.receive("220 " + std::string(SmtpReplyParser::max_line, 'a'));
        CHECK(dialog.outcome() == Outcome::garbled);
    }
    SUBCASE("a reply of endless lines") {
        SmtpDialog dialog(Service::smtp, "x");
        std::size_t given = 0;
        while (dialog.step() == SmtpDialog::Step::wait && given < 1'000'000) {
            dialog.receive("220-more\r\n");
            given += 10;
        }
        CHECK(dialog.outcome() == Outcome::garbled);
        CHECK(given <= SmtpReplyParser::max_reply + 2000);
    }
    SUBCASE("all replies together") {
        SmtpDialog dialog(Service::smtp, "x");
        std::size_t given = 0;
        dialog.receive("220 x\r\n");
        const std::string long_reply = "250-" + std::string(1000, 'a') + "\r\n";
        while (dialog.step() == SmtpDialog::Step::wait && given < 1'000'000) {
            dialog.receive(long_reply);
            given += long_reply.size();
        }
        CHECK(dialog.step() == SmtpDialog::Step::close);
        CHECK(given <= SmtpDialog::max_bytes + 2000);
    }
}

TEST_CASE("what the server says is made printable") {
    const auto ended = talk({"554 \x1b[31m\xff no\r\n", "221 x\r\n"}, 5, Service::smtp);
    CHECK(ended.reply == "554 ?[31m? no");
}

TEST_CASE("random bytes never break the parser") {
    std::mt19937 random(7);
    const std::string alphabet = "0245- \r\nEHLOSTARTLS\x01\xff";
    for (int round = 0; round < 3000; ++round) {
        std::string text;
        const auto length = random() % 200;
        for (std::size_t i = 0; i < length; ++i) text += alphabet[random() % alphabet.size()];
        if (round % 2 == 0) text = greeting + text;
        SmtpDialog whole(Service::smtp, "x");
        SmtpDialog cut(Service::smtp, "x");
        whole.receive(text);
        for (const char byte : text) cut.receive(std::string_view(&byte, 1));
        CHECK(whole.step() == cut.step());
        CHECK(whole.phase() == cut.phase());
        CHECK(whole.outcome() == cut.outcome());
        CHECK(whole.take_output() == cut.take_output());
    }
}

TEST_CASE("an interruption keeps the outcome that was found before") {
    SmtpDialog dialog(Service::smtp, "x");
    dialog.receive("554 no\r\n");
    CHECK(dialog.step() == SmtpDialog::Step::wait);  // for the answer to QUIT
    dialog.interrupted(Outcome::timed_out);
    CHECK(dialog.outcome() == Outcome::rejected);
    SmtpDialog silent(Service::smtp, "x");
    silent.interrupted(Outcome::timed_out);
    CHECK(silent.outcome() == Outcome::timed_out);
    CHECK(silent.phase() == Phase::greeting);
}
