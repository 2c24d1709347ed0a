// SPDX-License-Identifier: Apache-2.0
#include "probes/imap_dialog.hpp"

#include <doctest/doctest.h>

#include <random>
#include <string>
#include <vector>

#include "tests/unit/probes/dialog_talk.hpp"

using namespace postfathom;

namespace {

const std::string greeting = "* OK [CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED] ready\r\n";
const std::string with = "* CAPABILITY IMAP4rev1 starttls LOGINDISABLED\r\nA1 OK done\r\n";
const std::string without = "* CAPABILITY IMAP4rev1 STARTTLSX LOGINDISABLED\r\nA1 OK done\r\n";
const std::string inside = "* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\nA3 OK done\r\n";
const std::string bye = "* BYE see you\r\nA4 OK logged out\r\n";

}  // namespace

TEST_CASE("IMAP conversations come out alike however the bytes are cut") {
    struct Case {
        const char* what;
        std::vector<std::string> server;
        Phase phase;
        Outcome outcome;
        std::string sent;
    };
    const std::string hello = "A1 CAPABILITY\r\n";
    const std::vector<Case> cases{
        {"all goes well",
         {greeting, with, "A2 OK begin\r\n", "TLS", inside, bye},
         Phase::quit,
         Outcome::ok,
         hello + "A2 STARTTLS\r\nA3 CAPABILITY\r\nA4 LOGOUT\r\n"},
        {"no list in the greeting",
         {"* OK\r\n", with, "A2 OK begin\r\n", "TLS", inside, bye},
         Phase::quit,
         Outcome::ok,
         hello + "A2 STARTTLS\r\nA3 CAPABILITY\r\nA4 LOGOUT\r\n"},
        {"words of its own between",
         {greeting, "* OK still here\r\n* 3 EXISTS\r\n" + with,
          "* NO [ALERT] disk is full\r\nA2 OK begin\r\n", "TLS", "* OK\r\n" + inside, bye},
         Phase::quit,
         Outcome::ok,
         hello + "A2 STARTTLS\r\nA3 CAPABILITY\r\nA4 LOGOUT\r\n"},
        {"a literal that speaks of STARTTLS",
         {greeting, "* NO {26}\r\n\r\n* CAPABILITY STARTTLS\r\nA x\r\n" + without,
          "* BYE\r\nA2 OK\r\n"},
         Phase::starttls,
         Outcome::not_offered,
         hello + "A2 LOGOUT\r\n"},
        {"STARTTLS is not offered",
         {greeting, without, "* BYE\r\nA2 OK\r\n"},
         Phase::starttls,
         Outcome::not_offered,
         hello + "A2 LOGOUT\r\n"},
        {"STARTTLS is refused",
         {greeting, with, "A2 NO not now\r\n", "* BYE\r\nA3 OK\r\n"},
         Phase::starttls,
         Outcome::rejected,
         hello + "A2 STARTTLS\r\nA3 LOGOUT\r\n"},
        {"STARTTLS is not understood",
         {greeting, with, "A2 BAD what?\r\n", "* BYE\r\nA3 OK\r\n"},
         Phase::starttls,
         Outcome::rejected,
         hello + "A2 STARTTLS\r\nA3 LOGOUT\r\n"},
        {"CAPABILITY is refused",
         {greeting, "A1 BAD what?\r\n", "A2 OK\r\n"},
         Phase::ehlo,
         Outcome::rejected,
         hello + "A2 LOGOUT\r\n"},
        {"the greeting is BYE", {"* BYE busy\r\n"}, Phase::greeting, Outcome::rejected, ""},
        {"logged in by the greeting",
         {"* PREAUTH welcome\r\n", "* BYE\r\nA1 OK\r\n"},
         Phase::starttls,
         Outcome::not_offered,
         "A1 LOGOUT\r\n"},
        {"BYE in the middle",
         {greeting, "* BYE shutting down\r\n"},
         Phase::ehlo,
         Outcome::rejected,
         hello},
        {"a greeting with a tag", {"A1 OK\r\n"}, Phase::greeting, Outcome::garbled, ""},
        {"an unknown greeting", {"* HELLO\r\n"}, Phase::greeting, Outcome::garbled, ""},
        {"a tag that is not ours", {greeting, "A9 OK\r\n"}, Phase::ehlo, Outcome::garbled, hello},
        {"an unknown status", {greeting, "A1 MAYBE\r\n"}, Phase::ehlo, Outcome::garbled, hello},
        {"a request to go on", {greeting, "+ go on\r\n"}, Phase::ehlo, Outcome::garbled, hello},
        {"an empty line", {greeting, "\r\n"}, Phase::ehlo, Outcome::garbled, hello},
        {"SMTP", {"220 mail.example.org ESMTP\r\n"}, Phase::greeting, Outcome::garbled, ""},
        {"POP3", {"+OK ready\r\n"}, Phase::greeting, Outcome::garbled, ""},
        {"binary", {std::string("\x16\x03\x01\x00\x02", 5)}, Phase::greeting, Outcome::garbled, ""},
        {"only line feeds",
         {"* OK\n", "* CAPABILITY STARTTLS\nA1 ok\n", "A2 ok\n"},
         Phase::handshake,
         Outcome::ok,
         hello + "A2 STARTTLS\r\n"},
    };
    for (const auto& example : cases) {
        CAPTURE(example.what);
        const auto whole = talk(example.server, 100'000, Service::imap);
        CHECK(whole.phase == example.phase);
        CHECK(whole.outcome == example.outcome);
        CHECK(whole.sent == example.sent);
        for (std::size_t cut = 1; cut < 40; ++cut) {
            CAPTURE(cut);
            auto pieces = talk(example.server, cut, Service::imap);
            // How much of a line that is no response was there to quote depends on the pieces.
            if (whole.outcome == Outcome::garbled) pieces.reply = whole.reply;
            CHECK(pieces == whole);
        }
    }
}

TEST_CASE("IMAP over implicit TLS greets inside") {
    const auto ended = talk(
        {"TLS", "* PREAUTH hello\r\n", "* CAPABILITY IMAP4rev1\r\nA1 OK\r\n", "* BYE\r\nA2 OK\r\n"},
        7, Service::imaps);
    CHECK(ended.phase == Phase::quit);
    CHECK(ended.outcome == Outcome::ok);
    CHECK(ended.sent == "A1 CAPABILITY\r\nA2 LOGOUT\r\n");
    CHECK(ended.facts == DialogFacts{});
}

TEST_CASE("what an IMAP server shows beside the outcome is kept") {
    CHECK(talk({greeting, without}, 5, Service::imap).facts.starttls_in_greeting);
    CHECK_FALSE(talk({"* OK ready\r\n", without}, 5, Service::imap).facts.starttls_in_greeting);
    CHECK(talk({"* PREAUTH x\r\n"}, 5, Service::imap).facts.logged_in_by_greeting);
    CHECK(talk({"* BYE x\r\n"}, 5, Service::imap).facts.told_to_go);
    CHECK(talk({greeting, with, "* BYE x\r\n"}, 5, Service::imap).facts.told_to_go);
    // Its answer to our good-bye is none.
    CHECK_FALSE(talk({greeting, without, "* BYE\r\nA2 OK\r\n"}, 5, Service::imap).facts.told_to_go);
}

TEST_CASE("IMAP responses are bounded") {
    const auto endless = [](const std::string& begin, const std::string& more) {
        ImapDialog dialog(Service::imap);
        dialog.receive(begin);
        std::size_t given = 0;
        while (dialog.step() == Dialog::Step::wait && given < 1'000'000) {
            dialog.receive(more);
            given += more.size();
        }
        CHECK(dialog.outcome() == Outcome::garbled);
        CHECK(dialog.facts().fault == ProtocolFault::endless_reply);
        return given;
    };
    CHECK(endless("* OK ", std::string(100, 'a')) <= ImapResponseParser::max_line + 100);
    CHECK(endless("* OK {16000}\r\n", std::string(100, 'a')) <=
          ImapResponseParser::max_response + ImapResponseParser::max_line);
    CHECK(endless("* OK {99999999999999999999}\r\n", "a") <= 1);
    CHECK(endless("* OK", " {1}\r\nx") <= ImapResponseParser::max_response + 10);
    CHECK(endless(greeting, "* OK more\r\n") <= Dialog::max_bytes);
}

TEST_CASE("random bytes never break the IMAP parser") {
    std::mt19937 random(7);
    const std::string alphabet = "*A12 \r\nOKBYE{3}STARTLCP\x01\xff";
    for (int round = 0; round < 3000; ++round) {
        std::string text;
        const auto length = random() % 200;
        for (std::size_t i = 0; i < length; ++i) text += alphabet[random() % alphabet.size()];
        if (round % 2 == 0) text = greeting + "* " + text;
        if (round % 3 == 0) text = greeting + with + "* " + text;
        auto whole = talk({text}, text.size() + 1, Service::imap);
        const auto cut = talk({text}, 1, Service::imap);
        if (whole.outcome == Outcome::garbled) whole.reply = cut.reply;
        CHECK(whole == cut);
    }
}
