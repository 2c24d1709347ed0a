// SPDX-License-Identifier: Apache-2.0
// Servers that want to be left alone for a while, and servers that take their time.
#include "lib/diagnosis/server_words.hpp"

#include <doctest/doctest.h>

using namespace postfathom;

TEST_CASE("which replies ask us to come again later") {
    struct Row {
        const char* reply;
        bool asks;
    };
    const Row rows[] = {
        {"421 4.3.2 mail.example.org closing, come again later", true},
        {"421", true},
        {"450 4.7.1 Rate limit exceeded", true},
        {"451 4.7.1 Try again in 300 seconds", true},
        {"451 Too many connections from your address", true},
        {"452 4.3.1 throttled", true},
        {"454 4.7.0 TLS not available, try later", true},
        {"550 5.7.1 too many connections, slow down", true},
        {"554 5.7.1 no service here", false},
        {"450 4.7.1 access denied", false},
        {"454 4.7.0 TLS not available", false},
        {"550 operated by a rather separate party", false},
        {"220 2.0.0 Ready, try again if it fails", false},
        {"250 rate limit 10/s", false},
        {"", false},
        {"42", false},
    };
    for (const auto& row : rows) {
        CAPTURE(row.reply);
        CHECK(asks_to_wait(row.reply) == row.asks);
    }
}

TEST_CASE("a server that takes its time is noted with the phase, one that never answers is not") {
    Evidence evidence;
    evidence.reached = Phase::quit;
    evidence.timings = {{Phase::connect, 6.0},  // the network's time, not the server's
                        {Phase::greeting, 6.04},
                        {Phase::ehlo, 0.1},
                        {Phase::starttls, 12.0}};
    auto notes = server_notes(evidence);
    REQUIRE(notes.size() == 1);
    CHECK(notes[0].id == "slow-server");
    CHECK(notes[0].text ==
          "The server takes its time and was waited for: greeting 6.0 s, starttls 12.0 s");

    evidence.reached = Phase::greeting;
    evidence.outcome = Outcome::timed_out;
    evidence.timings = {{Phase::connect, 0.1}, {Phase::greeting, 30.0}};
    CHECK(server_notes(evidence).empty());
}

TEST_CASE("what a server said when it sent us away is in the verdict, fit for a terminal") {
    Evidence evidence;
    evidence.reached = Phase::quit;
    evidence.asked_to_wait = "421 4.7.0 too\x1b[31m many";
    const auto verdict = diagnose(evidence, TlsLevel::may);
    REQUIRE_FALSE(verdict.notes.empty());
    CHECK(verdict.notes.back().id == "server-asks-to-wait");
    CHECK(verdict.notes.back().text ==
          "The server asked us to come again later: \"421 4.7.0 too?[31m many\"");
}
