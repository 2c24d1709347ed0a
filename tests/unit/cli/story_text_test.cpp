// SPDX-License-Identifier: Apache-2.0
#include "cli/story_text.hpp"

#include <doctest/doctest.h>

#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <fstream>
#include <sstream>

#include "cli/daemon_answer.hpp"

using namespace postfathom;

namespace {

// Wherever the story's lines are folded.
bool has(const std::string& story, const std::string& words) {
    INFO(story);
    INFO(words);
    std::string flowing;
    for (const char c : story) {
        const bool blank = c == ' ' || c == '\n';
        if (!blank || !flowing.ends_with(' ')) flowing += blank ? ' ' : c;
    }
    const bool found = flowing.find(words) != std::string::npos;
    CHECK(found);
    return found;
}

boost::json::value parsed(const std::string& text) {
    const auto value = parse_answer(text);
    REQUIRE(value.is_object());
    return value;
}

// Of a message with one attempt, whose members `more` adds to or replaces.
std::string story_with(const std::string& more, const std::string& message = "",
                       const QueueTimes& times = {}) {
    auto attempt = parsed(R"({"at": "Nov 23 01:11:21", "program": "smtp", "recipient_domain":
        "example.org", "recipients": 1, "next_hop": "example.org", "relay": null, "server": null,
        "delay": "300", "delays": "0.1/0/300/0", "dsn": "4.7.5", "status": "deferred", "text":
        "Cannot start TLS: handshake failure", "kind": "cannot-start-tls", "failed": [],
        "suspended": false, "suspended_by": null})");
    const auto changed = parsed("{" + more + "}");
    for (const auto& member : changed.get_object())
        attempt.get_object()[member.key()] = member.value();
    auto story = parsed(R"({"schema": 1, "queue_id": "45952A7814D", "size": 302, "recipients": 1,
        "last_active": "Nov 23 01:06:21", "removed": null, "expired": false,
        "attempts_left_out": 0})");
    const auto of_message = parsed("{" + message + "}");
    for (const auto& member : of_message.get_object())
        story.get_object()[member.key()] = member.value();
    story.get_object()["attempts"] = boost::json::array{attempt};
    return message_story(story, times);
}

}  // namespace

TEST_CASE("a message's story tells what happened, when, and what comes next") {
    const auto story = story_with("");
    has(story, "Message 45952A7814D: 302 bytes, 1 recipient");
    has(story, "Nov 23 01:11:21: deferred, for example.org");
    has(story, "4.7.5 Cannot start TLS: handshake failure");
    has(story, "the TLS handshake took 300 s");
    has(story, "300 s after the last attempt at the earliest");
    has(story, "postqueue -i 45952A7814D");
    has(story, "postfathom probe 'example.org'");
}

TEST_CASE("a recipient's domain is one word of the command that is printed") {
    const auto story = story_with(R"("recipient_domain": "x'`reboot`'.example", "next_hop": "",
        "status": "sent", "relay": "mx.example.org[192.0.2.1]:25", "tls_established": false,
        "failed": [{"kind": "cannot-start-tls", "server": "mx.example.org[192.0.2.1]:25",
        "reason": ""}])");
    has(story, R"(postfathom suggest 'x'\''`reboot`'\''.example' --kind tls-policy)");
}

TEST_CASE("the next attempt is as far away as the message is old, within Postfix's bounds") {
    for (const auto& [delay, wait] :
         {std::pair("1.5", "300 s"), std::pair("299", "300 s"), std::pair("1200", "1200 s"),
          std::pair("90000", "4000 s"), std::pair("nonsense", "300 s")})
        has(story_with(R"("delay": ")" + std::string(delay) + "\""),
            std::string(wait) + " after the last attempt");
    has(story_with(R"("delay": "10")", "", {60, 4000, true}),
        "with this Postfix's times it is tried again 60 s after the last attempt");
    // Nobody keeps an operator from a minimal_backoff_time above the maximal one.
    has(story_with(R"("delay": "90000")", "", {600, 300, true}), "600 s after the last attempt");
    CHECK(story_with("", R"("removed": "Nov 23 01:12:00")").find("Next:") == std::string::npos);
    CHECK(story_with(R"("status": "bounced")").find("Next:") == std::string::npos);
}

TEST_CASE("a message that went in clear text after TLS had failed is told so, and no other") {
    const auto sent = [](const std::string& server, const std::string& kind, bool established) {
        return story_with(R"("status": "sent", "dsn": "2.0.0", "text": "250 ok", "relay":
            "mx.example.org[192.0.2.1]:25", "tls_established": )" +
                          std::string(established ? "true" : "false") +
                          R"(, "failed": [{"kind": ")" + kind + R"(", "server": ")" + server +
                          R"(", "reason": ""}])");
    };
    has(sent("mx.example.org[192.0.2.1]:25", "cannot-start-tls", false), "IN CLEAR TEXT");
    has(sent("mx.example.org[192.0.2.1]", "handshake-error", false),
        "postfathom suggest 'example.org' --kind tls-policy");
    for (const auto& story : {sent("mx.example.org[192.0.2.1]:25", "cannot-start-tls", true),
                              sent("mx2.example.org[192.0.2.2]:25", "cannot-start-tls", false),
                              sent("mx.example.org[192.0.2.1]:25", "connect-failed", false),
                              story_with(R"("status": "sent")")})
        CHECK(story.find("CLEAR TEXT") == std::string::npos);
}

TEST_CASE("a suspended delivery is explained by the failure behind it, or said to be unknown") {
    const std::string suspended = R"("suspended": true, "delays": "1/19/0/0", "text":
        "delivery temporarily suspended: Cannot start TLS: handshake failure", "suspended_by": )";
    const auto known = story_with(suspended + R"({"queue_id": "55952A7814D", "at":
        "Nov 23 01:09:00", "server": "mx.example.org[192.0.2.1]:25"})");
    has(known, "put off without an attempt");
    has(known,
        "message 55952A7814D failed there at Nov 23 01:09:00, with mx.example.org[192.0.2.1]:25");
    has(known, "minimal_backoff_time (300 s unless set)");
    has(story_with(suspended + "null", "", {60, 4000, true}), "minimal_backoff_time (60 s), then");
    has(story_with(suspended + "null"), "which one is not in the lines that were read");
}

TEST_CASE("what is no matter of the way to the server is called so") {
    has(story_with(R"("kind": null, "text": "host mx.example.org[192.0.2.1] said: 451 later")"),
        "this is no matter of the way to it");
    const auto own = story_with(R"("kind": null, "text": "client TLS configuration problem")");
    has(own, "could not look its TLS policy up on this host");
    CHECK(own.find("postfathom probe") == std::string::npos);
}

TEST_CASE("with what the daemon knows, the evidence is in the story") {
    std::ifstream file(TEST_DATA "/report/black-hole.json");
    std::ostringstream content;
    content << file.rdbuf();
    boost::json::object known;
    known["next_hop"] = "[mail.example.org]";
    known["freshness"] = "fresh";
    known["verdict"] = parsed(R"({"severity": "critical", "since": "2026-11-23T01:00:00Z",
        "measured_at": "2026-11-23T01:05:00Z",
        "summary": "pmtu-black-hole inbound, path MTU 1400, MSS 1360 works"})");
    known["report"] = parsed(content.str());
    const auto story = destination_story(known);
    has(story, "[mail.example.org]: pmtu-black-hole inbound, path MTU 1400, MSS 1360 works");
    has(story, "mail.example.org[192.0.2.1]:25");
    has(story, "from 10.30.0.1 on wg0, interface MTU 8921");
    has(story, "path MTU: inbound 1400 exactly, outbound not known");
    has(story,
        "sent: a ClientHello of 320 bytes, packets of 1401 bytes allowed to the server; came "
        "back: timed-out in phase handshake after 0.2 s, largest packet 700 bytes; a later, "
        "smaller segment arrived, 4 of full size did not arrive");
    has(story, "packets of 1400 bytes allowed to the server; came back: ok");
    has(story, "ruled out: peer-stall, lossy-path, tls-protocol-mismatch, tls-no-shared-cipher");
    has(story, "what would help: tunnel-mtu");
    has(story, "proven by a counter-probe");
}

TEST_CASE("an answer of another version, or none, is no reason to fall") {
    for (const std::string text :
         {"null", "5", "[]", "{}", R"({"attempts": 5})", R"({"attempts": [null, 5, {}]})",
          R"({"attempts": [{"delays": "////", "failed": [1], "delay": {}}], "unknown": 3})"}) {
        const auto value = parse_answer(text);
        CHECK_FALSE(message_story(value, {}).empty());
        CHECK_FALSE(destination_story(value).empty());
    }
    const auto hostile = story_with(R"("text": "\u001b[31mred\u0007")");
    CHECK(hostile.find('\x1b') == std::string::npos);
    CHECK(hostile.find('\a') == std::string::npos);
}
