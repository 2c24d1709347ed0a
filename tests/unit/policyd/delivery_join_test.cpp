// SPDX-License-Identifier: Apache-2.0
// The log is given as Postfix writes it; time is in milliseconds since the start.
#include "policyd/delivery_join.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>

using namespace postfathom;
using namespace std::chrono_literals;

namespace {

constexpr std::uint32_t pid = 3910;
constexpr auto tls = TroubleKind::cannot_start_tls;
constexpr auto certificate = TroubleKind::certificate_error;
const std::string failure = "4.7.5 Cannot start TLS: handshake failure";
const std::string unverified = "4.7.5 Server certificate not verified";

struct Story {
    DeliveryJoin join;
    DeliveryJoin::Time start{1h};

    std::string host = "mx";  // that writes the lines

    void log(int ms, const std::string& text, std::uint32_t process = pid) {
        const auto line = parse_log_line("Nov 23 01:11:21 " + host + " postfix/smtp[" +
                                         std::to_string(process) + "]: " + text);
        REQUIRE_MESSAGE(line, text);
        join.line(*line, start + std::chrono::milliseconds(ms));
    }
    void handshake_error(int ms, const std::string& peer, std::uint32_t process = pid) {
        log(ms, "SSL_connect error to " + peer + ":25: Connection reset by peer", process);
    }
    void status(int ms, const std::string& queue_id, const std::string& dsn_and_text,
                std::uint32_t process = pid) {
        log(ms,
            queue_id + ": to=<you@example.org>, relay=none, delay=5, delays=0/0/5/0, dsn=" +
                dsn_and_text.substr(0, 5) + ", status=deferred (" + dsn_and_text.substr(6) + ")",
            process);
    }
    void answered(int ms, const std::string& text, std::uint32_t process = pid) {
        join.answered(process, text, start + std::chrono::milliseconds(ms));
    }
    // "wait 40", "unknown" or the peer.
    std::string find(int asked, int now, TroubleKind kind = tls, std::uint32_t process = pid) {
        const auto found = join.find(process, kind, start + std::chrono::milliseconds(asked), 300ms,
                                     start + std::chrono::milliseconds(now));
        if (const auto* wait = std::get_if<DeliveryJoin::WaitUntil>(&found))
            return "wait " + std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(
                                                wait->time - start)
                                                .count());
        const auto* peer = std::get_if<LoggedPeer>(&found);
        return peer ? peer->host : "unknown";
    }
};

const std::string a = "a.example.org[192.0.2.1]";
const std::string b = "b.example.net[192.0.2.2]";

}  // namespace

TEST_CASE("the line just before the question names the server, after the settle time") {
    Story story;
    story.handshake_error(0, a);
    CHECK(story.find(1, 1) == "wait 21");
    CHECK(story.find(1, 21) == "a.example.org");
}

TEST_CASE("a line that trails the question is waited for") {
    Story story;
    CHECK(story.find(0, 0) == "wait 20");
    CHECK(story.find(0, 20) == "wait 300");
    SUBCASE("and taken when it comes") {
        story.handshake_error(150, a);
        CHECK(story.find(0, 150) == "a.example.org");
    }
    SUBCASE("and given up when it does not") { CHECK(story.find(0, 300) == "unknown"); }
    SUBCASE("a line of another process is none of ours") {
        story.handshake_error(150, b, pid + 1);
        CHECK(story.find(0, 300) == "unknown");
    }
}

TEST_CASE("three recipients of one delivery all get its server") {
    Story story;
    story.handshake_error(0, a);
    for (const int at : {1, 22, 43}) {
        CHECK(story.find(at, at + 20) == "a.example.org");
        story.answered(at + 20, failure + " (path: x)");
        story.status(at + 21, "45952A7814D", failure + " (path: x)");
    }
    SUBCASE("and one that asks late waits the whole time") {
        CHECK(story.find(80, 100) == "wait 380");
        CHECK(story.find(80, 380) == "a.example.org");
    }
    // With other processes at work, the log may trail for longer than that; theirs prove whether.
    SUBCASE("and one that asks late while others do gets it when the log is read past it") {
        CHECK(story.find(80, 100) == "wait 380");
        CHECK(story.find(81, 102, tls, pid + 1) == "wait 381");
        SUBCASE("as the status line of another process's later answer tells") {
            story.answered(110, failure, pid + 1);
            story.status(120, "45952A7999F", failure, pid + 1);
            CHECK(story.find(80, 120) == "wait 380");
            CHECK(story.find(80, 380) == "a.example.org");
        }
        SUBCASE("not when nothing tells") { CHECK(story.find(80, 380) == "unknown"); }
        SUBCASE("not when that answer was earlier") {
            story.answered(79, failure, pid + 1);
            story.status(120, "45952A7999F", failure, pid + 1);
            CHECK(story.find(80, 380) == "unknown");
        }
        SUBCASE("not when that answer has not come back") {
            story.answered(110, failure, pid + 1);
            CHECK(story.find(80, 380) == "unknown");
        }
        SUBCASE("not when that was the next delivery, whose line comes in time") {
            story.handshake_error(130, b);
            story.answered(140, failure, pid + 1);
            story.status(150, "45952A7999F", failure, pid + 1);
            CHECK(story.find(80, 380) == "b.example.net");
        }
    }
    SUBCASE(
        "and one that asks late does not, when others were answered whose text names the server") {
        CHECK(story.find(80, 100) == "wait 380");
        story.answered(90, "4.4.1 connect to " + b + ":25: Connection refused", pid + 1);
        CHECK(story.find(80, 380) == "unknown");
    }
    SUBCASE("and one that asks late, when others asked before the last answer only") {
        story.find(50, 50, tls, pid + 1);
        story.answered(60, failure + " (path: x)");
        story.status(61, "45952A7814D", failure + " (path: x)");
        CHECK(story.find(80, 380) == "a.example.org");
    }
}

TEST_CASE("a further recipient waits until the status line of the one before is seen") {
    Story story;
    story.handshake_error(0, a);
    CHECK(story.find(1, 21) == "a.example.org");
    story.answered(21, failure);
    CHECK(story.find(22, 42) == "wait 322");
    story.status(100, "45952A7814D", failure);
    CHECK(story.find(22, 100) == "wait 172");  // that took 79 ms, so a line may still trail
    CHECK(story.find(22, 172) == "a.example.org");
}

TEST_CASE("the next delivery of the process does not get the last one's server") {
    Story story;
    story.handshake_error(0, a);
    CHECK(story.find(1, 21) == "a.example.org");
    story.answered(21, failure);
    SUBCASE("when nothing of either has reached the log yet") {
        CHECK(story.find(40, 60) == "wait 340");
        CHECK(story.find(40, 340) == "unknown");
    }
    SUBCASE("when its own line comes within the wait") {
        story.status(45, "45952A7814D", failure);
        story.handshake_error(50, b);
        CHECK(story.find(40, 95) == "b.example.net");
    }
    SUBCASE("when it asks soon, and its own line trails for longer than lines lately did") {
        story.status(22, "45952A7814D", failure);
        CHECK(story.find(200, 220) == "wait 500");
        story.handshake_error(230, b);
        CHECK(story.find(200, 230) == "b.example.net");
    }
    SUBCASE("when it asks later, though its own line is missing") {
        story.status(22, "45952A7814D", failure);
        CHECK(story.find(600, 620) == "wait 900");
        CHECK(story.find(600, 900) == "unknown");
        story.handshake_error(901, b);
        CHECK(story.find(600, 901) == "b.example.net");
    }
    SUBCASE("when another delivery's outcome of the same words came between") {
        story.status(22, "45952A7814D", failure);
        story.status(23, "45952A7999F", failure);
        CHECK(story.find(40, 340) == "unknown");
    }
}

TEST_CASE("a stale line is not taken: smtp(8) asks at once after writing it") {
    Story story;
    story.handshake_error(0, a);
    CHECK(story.find(501, 521) == "wait 801");
    CHECK(story.find(501, 801) == "unknown");
    // So a process that has the pid of one that ended gets nothing of it.
}

TEST_CASE("a host that was given up is not the one that failed last") {
    const auto contradicted_by = [](const std::string& text) {
        Story story;
        story.handshake_error(0, a);
        story.log(1, text);
        return story.find(2, 302);
    };
    CHECK(contradicted_by("45952A7814D: Cannot start TLS: handshake failure") == "unknown");
    CHECK(contradicted_by("connect to " + b + ":25: Connection refused") == "unknown");
    CHECK(contradicted_by("45952A7814D: lost connection with " + b + " while sending MAIL FROM") ==
          "unknown");
    CHECK(contradicted_by("Untrusted TLS connection established to " + b + ":25: TLSv1.3 with x") ==
          "unknown");
    CHECK(contradicted_by("Untrusted TLS connection established to " + a + ":25: TLSv1.3 with x") ==
          "unknown");
    CHECK(contradicted_by("45952A7814D: to=<you@example.org>, relay=" + b +
                          ":25, delay=5, dsn=2.0.0, status=sent (250 ok)") == "unknown");
    CHECK(contradicted_by("SSL_connect error to " + b + ":25: lost connection") == "b.example.net");
}

TEST_CASE("a certificate that was not verified is joined with its own line") {
    Story story;
    story.log(0, "certificate verification failed for " + a + ":25: untrusted issuer /CN=x");
    SUBCASE("with the line of the session that was established all the same") {
        story.log(1, "Untrusted TLS connection established to " + a + ":25: TLSv1.3 with x");
        CHECK(story.find(2, 22, certificate) == "a.example.org");
        story.answered(22, unverified);
        story.status(23, "45952A7814D", unverified);
        CHECK(story.find(24, 60, certificate) == "a.example.org");
    }
    SUBCASE("but not by a question about a handshake") {
        CHECK(story.find(2, 302, tls) == "unknown");
    }
}

TEST_CASE("a certificate that tlsproxy did not verify is joined with the session's line") {
    Story story;
    const auto established = [](const std::string& trust, const std::string& peer) {
        return trust + " TLS connection established to " + peer + ":25: TLSv1.3 with x";
    };
    for (const std::string trust : {"Untrusted", "Trusted", "Anonymous"}) {
        CAPTURE(trust);
        Story each;
        each.log(0, established(trust, a));
        CHECK(each.find(2, 22, certificate) == "a.example.org");
    }
    SUBCASE("not when it was verified") {
        story.log(0, established("Verified", a));
        CHECK(story.find(2, 302, certificate) == "unknown");
    }
    SUBCASE("nor is a failed handshake its") {
        story.log(0, established("Untrusted", a));
        CHECK(story.find(2, 302, tls) == "unknown");
    }
    SUBCASE("the last server of several counts") {
        story.log(0, established("Untrusted", a));
        story.log(1, "45952A7814D: Server certificate not verified");
        CHECK(story.find(2, 302, certificate) == "unknown");
        story.log(310, established("Untrusted", b));
        CHECK(story.find(311, 340, certificate) == "b.example.net");
    }
    SUBCASE("a delivery before that went well is none") {
        story.log(0, established("Untrusted", a));
        story.answered(10, "2.0.0 250 ok");
        CHECK(story.find(12, 40, certificate) == "wait 312");
        story.log(41, "45952A7814D: to=<you@example.org>, relay=" + a +
                          ":25, delay=5, dsn=2.0.0, status=sent (250 ok)");
        CHECK(story.find(12, 312, certificate) == "unknown");
    }
}

TEST_CASE("answers to successes count too, and are found again in the log") {
    Story story;
    story.answered(0, "2.0.0 250 2.0.0 Ok: queued as ABC \x01 \xc3\xa9");
    story.handshake_error(30, a);
    CHECK(story.find(31, 51) == "wait 331");  // that success has not been logged yet
    story.log(52,
              "45952A7814D: to=<you@example.org>, relay=none, delay=5, dsn=2.0.0, status=sent (250 "
              "2.0.0 Ok: queued as ABC ? \xc3\xa9)");
    CHECK(story.find(31, 135) == "wait 331");  // so the handshake line was of an earlier delivery
    story.handshake_error(135, b);
    CHECK(story.find(31, 136) == "b.example.net");
}

TEST_CASE("a long text that the log cuts is found again") {
    Story story;
    const auto text = "4.4.2 host " + a + " said: 450 " + std::string(5000, 'x');
    story.answered(0, text);
    story.log(
        1, "45952A7814D: to=<you@example.org>, relay=none, delay=5, dsn=4.4.2, status=deferred (" +
               text.substr(6, 1900));
    story.handshake_error(10, b);
    CHECK(story.find(11, 60) == "b.example.net");
}

TEST_CASE("status lines that never come block a process for a while, not for ever") {
    Story story;
    story.answered(0, failure);
    story.handshake_error(30'000, a);
    CHECK(story.find(30'001, 30'301) == "unknown");
    story.handshake_error(61'000, a);
    CHECK(story.find(61'001, 61'021) == "a.example.org");
}

TEST_CASE("a slow log makes us wait longer before we are certain") {
    Story story;
    story.answered(0, failure);
    story.status(50, "45952A7814D", failure);
    story.handshake_error(1000, a);
    CHECK(story.find(1001, 1021) == "wait 1101");
    CHECK(story.find(1001, 1101) == "a.example.org");
}

TEST_CASE("no patience, no certainty") {
    Story story;
    story.handshake_error(0, a);
    CHECK(std::holds_alternative<DeliveryJoin::Unknown>(
        story.join.find(pid, tls, story.start, 0ms, story.start)));
}

TEST_CASE("a process of another PID namespace cannot be joined") {
    Story story;
    story.answered(0, failure, 0);
    CHECK(story.find(1, 1, tls, 0) == "unknown");
    CHECK(story.join.processes() == 0);
}

TEST_CASE("lines that another host wrote into the same log are none of ours") {
    Story story;
    story.handshake_error(0, a);
    CHECK(story.find(1, 21) == "a.example.org");
    story.answered(21, failure);
    story.status(22, "45952A7814D", failure);  // so this is our host
    story.host = "other";
    story.handshake_error(100, b);
    CHECK(story.find(101, 401) == "a.example.org");
    story.host = "mx";
    story.handshake_error(500, a);
    story.host = "other";
    story.log(501, "45952A7814D: Cannot start TLS: handshake failure");
    CHECK(story.find(502, 522) == "a.example.org");
    SUBCASE("until our answers come back no more: the host was renamed") {
        story.answered(530, failure);
        CHECK(story.find(61'000, 61'300) == "unknown");
        story.handshake_error(61'301, b);
        CHECK(story.find(61'302, 61'322) == "b.example.net");
    }
}

TEST_CASE("memory is bounded in processes and in answers") {
    Story story;
    constexpr int last = DeliveryJoin::max_processes + 500;
    for (std::uint32_t process = 1; process <= last; ++process)
        story.handshake_error(static_cast<int>(process), a, process);
    CHECK(story.join.processes() == DeliveryJoin::max_processes);
    // The newest are kept.
    CHECK(story.find(last + 1, last + 21, tls, last) == "a.example.org");

    Story proxy;  // proxymap(8) asks for many, and logs nothing
    for (int i = 0; i < 1000; ++i) proxy.answered(i, failure);
    proxy.handshake_error(1001, a);
    CHECK(proxy.find(1002, 1302) == "unknown");
}

TEST_CASE("with connections through tlsproxy, the server that was greeted in this delivery is it") {
    const auto a_address = *IpAddress::parse("192.0.2.1");
    const auto b_address = *IpAddress::parse("192.0.2.2");
    Story story;
    const auto greets = [&](int ms, const IpAddress& server) {
        story.join.greeted(pid, server, story.start + std::chrono::milliseconds(ms));
    };
    const auto find = [&](int asked, int now, TroubleKind kind = tls) -> std::string {
        const auto found =
            story.join.find(pid, kind, story.start + std::chrono::milliseconds(asked), 300ms,
                            story.start + std::chrono::milliseconds(now));
        if (const auto* peer = std::get_if<LoggedPeer>(&found)) return peer->address.to_string();
        return std::holds_alternative<DeliveryJoin::Unknown>(found) ? "unknown" : "wait";
    };
    SUBCASE("not before the log is known to be read") {
        greets(0, a_address);
        CHECK(find(1, 301) == "unknown");
    }
    story.answered(-1000, failure, pid + 1);
    story.status(-999, "45952A7814D", failure, pid + 1);
    greets(0, a_address);
    SUBCASE("after the whole wait, since another host may have been tried") {
        CHECK(find(50, 299) == "wait");
        CHECK(find(50, 350) == "192.0.2.1");
    }
    SUBCASE("and for the other recipients at once") {
        CHECK(find(50, 350) == "192.0.2.1");
        story.answered(350, failure);
        CHECK(find(351, 351) == "192.0.2.1");
        story.answered(351, failure);
        CHECK(find(352, 352) == "192.0.2.1");
        story.answered(352, failure);
        SUBCASE("but not for the next delivery, which greeted nobody that we know of") {
            for (int i = 0; i < 3; ++i) story.status(400, "45952A7814D", failure);
            story.join.proxy_connects("mx", story.start + 450ms);
            CHECK(find(500, 800) == "unknown");
        }
        SUBCASE("a slow further recipient gets it when nothing was connected to since") {
            for (int i = 0; i < 3; ++i) story.status(400, "45952A7814D", failure);
            story.join.proxy_connects("other", story.start + 450ms);
            CHECK(find(500, 799) == "wait");
            CHECK(find(500, 800) == "192.0.2.1");
        }
        SUBCASE("but not while others are at work and the log is not known to be read that far") {
            for (int i = 0; i < 3; ++i) story.status(400, "45952A7814D", failure);
            story.find(450, 450, tls, pid + 1);
            CHECK(find(500, 799) == "wait");
            CHECK(find(500, 800) == "unknown");
            story.answered(600, failure, pid + 1);
            story.status(601, "45952A7999F", failure, pid + 1);
            CHECK(find(500, 800) == "192.0.2.1");
        }
        SUBCASE("nor after a line about another host") {
            for (int i = 0; i < 3; ++i) story.status(400, "45952A7814D", failure);
            story.log(420, "connect to b.example.net[192.0.2.2]:25: Connection refused");
            CHECK(find(500, 800) == "unknown");
        }
        SUBCASE("which is its own server's when it did") {
            for (int i = 0; i < 3; ++i) story.status(400, "45952A7814D", failure);
            greets(450, b_address);
            CHECK(find(500, 800) == "192.0.2.2");
        }
        SUBCASE("and not while the log is behind") {
            greets(450, b_address);
            CHECK(find(500, 800) == "unknown");
        }
    }
    SUBCASE("of several servers the last one") {
        greets(10, b_address);
        CHECK(find(50, 350) == "192.0.2.2");
    }
    SUBCASE("not when a host was given up after it") {
        for (const std::string line :
             {"45952A7814D: Cannot start TLS: handshake failure",
              "connect to b.example.net[192.0.2.2]:25: Connection refused",
              "45952A7814D: conversation with b.example.net[192.0.2.2] timed out while sending "
              "MAIL FROM",
              "Trusted TLS connection established to b.example.net[192.0.2.2]:25: TLSv1.3"}) {
            greets(0, a_address);
            story.log(200, line);
            CHECK(find(50, 350) == "unknown");
        }
    }
    SUBCASE("the process's own line says more") {
        story.handshake_error(40, b);
        CHECK(find(50, 350) == "192.0.2.2");
    }
    SUBCASE("only for handshakes") { CHECK(find(50, 350, certificate) == "unknown"); }
    SUBCASE("another process's greeting is none of ours") {
        story.join.greeted(pid + 1, b_address, story.start + 20ms);
        CHECK(find(50, 350) == "192.0.2.1");
    }
}

TEST_CASE("whatever is read meanwhile, a question never waits longer than its patience") {
    std::mt19937 random(7);  // NOLINT: the same in every run
    const auto below = [&](int limit) {
        return static_cast<int>(random() % static_cast<unsigned>(limit));
    };
    for (int round = 0; round < 2000; ++round) {
        Story story;
        const int patience = below(400);
        const int asked = 1000 + below(100);
        for (int i = below(6); i > 0; --i) {
            const int ms = below(1000);
            switch (below(4)) {
                case 0:
                    story.handshake_error(ms, below(2) == 0 ? a : b);
                    break;
                case 1:
                    story.answered(ms, failure);
                    break;
                case 2:
                    story.status(ms, "45952A7814D", failure);
                    break;
                default:
                    story.join.greeted(pid, *IpAddress::parse("192.0.2.1"),
                                       story.start + std::chrono::milliseconds(ms));
            }
        }
        const auto begin = story.start + std::chrono::milliseconds(asked);
        const auto end = begin + std::chrono::milliseconds(patience);
        auto now = begin;
        bool answered = false;
        // A question is looked at again at the time it named, or earlier when a line came.
        for (int looks = 0; !answered && looks < 100; ++looks) {
            const auto found =
                story.join.find(pid, tls, begin, std::chrono::milliseconds(patience), now);
            const auto* wait = std::get_if<DeliveryJoin::WaitUntil>(&found);
            answered = wait == nullptr;
            if (answered) break;
            REQUIRE(wait->time > now);
            REQUIRE(wait->time <= end);
            const auto step = wait->time - now;
            now = below(2) == 0 ? wait->time : now + step / 2 + 1us;
            now = std::min(now, end);
            if (below(3) == 0)
                story.handshake_error(
                    static_cast<int>(
                        std::chrono::duration_cast<std::chrono::milliseconds>(now - story.start)
                            .count()),
                    below(2) == 0 ? a : b);
        }
        CHECK(answered);
        CHECK(now <= end);
        CHECK_FALSE(std::holds_alternative<DeliveryJoin::WaitUntil>(
            story.join.find(pid, tls, begin, std::chrono::milliseconds(patience), end)));
    }
}
