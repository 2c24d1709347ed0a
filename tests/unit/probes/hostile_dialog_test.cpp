// SPDX-License-Identifier: Apache-2.0
// What a server, or somebody in its place, does to a conversation, in either protocol.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "tests/unit/probes/dialog_talk.hpp"

using namespace postfathom;

namespace {

struct Spoken {
    Service service;
    std::string greeting;
    std::string offers;
    std::string go_ahead;
};

const std::vector<Spoken> both{
    {Service::smtp, "220 x\r\n", "250-x\r\n250 STARTTLS\r\n", "220 go\r\n"},
    {Service::imap, "* OK\r\n", "* CAPABILITY STARTTLS\r\nA1 OK\r\n", "A2 OK go\r\n"},
};

}  // namespace

TEST_CASE("clear text behind the reply to STARTTLS ends the conversation") {
    for (const auto& spoken : both) {
        CAPTURE(to_string(spoken.service));
        for (const std::string injected :
             {"250 x\r\n", "A", "\r\n", "* OK\r\n", "\x16\x03\x03", " "}) {
            CAPTURE(injected);
            const std::vector<std::string> server{spoken.greeting, spoken.offers,
                                                  spoken.go_ahead + injected};
            // In one read, and in reads of their own.
            for (const std::size_t cut : {1000, 9, 3, 1}) {
                const auto ended = talk(server, cut, spoken.service);
                CHECK(ended.phase == Phase::starttls);
                CHECK(ended.outcome == Outcome::garbled);
                CHECK(ended.facts.fault == ProtocolFault::clear_text_before_tls);
                CHECK(ended.starttls_offered);
            }
        }
        // Quoted, for a person to recognise, and safe to print.
        const auto ended = talk({spoken.greeting, spoken.offers, spoken.go_ahead + "\x1b[31mhi"},
                                1000, spoken.service);
        CHECK(ended.reply == "?[31mhi");
    }
}

TEST_CASE("nothing of the clear text is carried over into TLS") {
    for (const auto& spoken : both) {
        const auto dialog = make_dialog(spoken.service, "client.example.org");
        dialog->receive(spoken.greeting);
        dialog->receive(spoken.offers);
        dialog->receive(spoken.go_ahead);
        REQUIRE(dialog->step() == Dialog::Step::start_tls);
        dialog->take_output();
        dialog->tls_established();
        CHECK(dialog->phase() == Phase::ehlo_after_tls);
        CHECK(dialog->take_output() == (spoken.service == Service::imap
                                            ? "A3 CAPABILITY\r\n"
                                            : "EHLO client.example.org\r\n"));
    }
}

TEST_CASE("a reply that began and did not end is counted") {
    for (const auto& spoken : both) {
        const auto dialog = make_dialog(spoken.service, "x");
        dialog->receive(spoken.greeting.substr(0, 3));
        dialog->interrupted(Outcome::timed_out);
        CHECK(dialog->outcome() == Outcome::timed_out);
        CHECK(dialog->facts().unfinished_bytes == 3);
        const auto silent = make_dialog(spoken.service, "x");
        silent->interrupted(Outcome::timed_out);
        CHECK(silent->facts().unfinished_bytes == 0);
    }
    const auto between_lines = make_dialog(Service::smtp, "x");
    between_lines->receive("220-a\r\n");
    between_lines->interrupted(Outcome::timed_out);
    CHECK(between_lines->facts().unfinished_bytes == 5);
}

TEST_CASE("control characters are counted and never shown") {
    const auto smtp =
        talk({std::string("220 a\0b\x1b[2J\x7f\tc\r\n", 16), "421 \x07 no\r\n"}, 3, Service::smtp);
    CHECK(smtp.facts.control_characters == 4);
    CHECK(smtp.reply == "421 ? no");
    const auto imap = talk({std::string("* OK a\0b\r\n", 10), "* BYE \x1b\r\n"}, 3, Service::imap);
    CHECK(imap.facts.control_characters == 2);
    CHECK(imap.reply == "* BYE ?");
}

TEST_CASE("a keyword that a middlebox crossed out is kept") {
    const auto keyword = [](const std::string& line) {
        return talk({"220 x\r\n", "250-x\r\n250-SIZE\r\n250 " + line + "\r\n"}, 7, Service::smtp)
            .facts.crossed_out;
    };
    for (const std::string mangled : {"XXXXXXXA", "XXXXXXXX", "XXXB", "********"})
        CHECK(keyword(mangled) == mangled);
    for (const std::string honest : {"XFORWARD", "XCLIENT", "X-EXPS", "XXX", "STARTTLS", "", "*"})
        CHECK(keyword(honest) == "");
    CHECK(talk({"220 x\r\n", "250-XXXXXXXX\r\n250 DSN\r\n"}, 7, Service::smtp).facts.crossed_out ==
          "");  // the first line is the server's name
}

TEST_CASE("what is wrong in the answer to our good-bye changes nothing") {
    const auto ended = talk({"220 x\r\n", "250-x\r\n250 STARTTLS\r\n", "220 go\r\n", "TLS",
                             "250 x\r\n", "what was that?\r\n"},
                            4, Service::smtp);
    CHECK(ended.outcome == Outcome::ok);
    CHECK(ended.phase == Phase::quit);
    CHECK(ended.facts == DialogFacts{});
}
