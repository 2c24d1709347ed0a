// SPDX-License-Identifier: Apache-2.0
#include "lib/diagnosis/check_line.hpp"

#include <doctest/doctest.h>

#include <boost/json/parse.hpp>
#include <vector>

using namespace postfathom;

TEST_CASE("ranges alert as the plugin guidelines say") {
    struct Row {
        const char* range;
        double value;
        bool alert;
    };
    for (const auto& row : std::vector<Row>{
             {"10", 5, false},
             {"10", 10, false},
             {"10", 10.5, true},
             {"10", -1, true},
             {"10:", 9, true},
             {"10:", 1e9, false},
             {"~:10", -50, false},
             {"~:10", 11, true},
             {"10:20", 15, false},
             {"10:20", 9, true},
             {"10:20", 21, true},
             {"@10:20", 15, true},
             {"@10:20", 9, false},
             {"0.5", 0.4, false},
             {"0.5", 0.6, true},
         }) {
        CAPTURE(row.range);
        CAPTURE(row.value);
        const auto range = AlertRange::parse(row.range);
        REQUIRE(range);
        CHECK(range->alerts(row.value) == row.alert);
        CHECK(range->text() == row.range);
    }
    for (const auto* bad : {"", ":", "x", "1:x", "20:10", "@", "1:2:3", "1 ", "nan", "~", "@~"}) {
        CAPTURE(bad);
        CHECK_FALSE(AlertRange::parse(bad));
    }
}

TEST_CASE("a line has the status, the words and performance data with units") {
    const auto two = *AlertRange::parse("2");
    const auto five = *AlertRange::parse("5");
    struct Row {
        CheckFacts facts;
        int status;
        std::string line;
    };
    CheckFacts well{"example.org",           Severity::ok, "healthy", 0.125, 1500, 1480,
                    std::chrono::seconds{90}};
    auto slow = well;
    slow.handshake = 3;
    auto slower = well;
    slower.handshake = 6;
    auto old = well;
    old.expired = true;
    CheckFacts ill{"example.org", Severity::critical, "pmtu-black-hole inbound", {}, 1400, {}};
    CheckFacts unsure{"example.org", Severity::unknown, "inconclusive"};
    CheckFacts notice{"example.org", Severity::notice, "certificate-self-signed"};
    CheckFacts hostile{"example.org", Severity::warning, "a|b\nc\x1b[31m"};
    const std::string sizes =
        " path_mtu_inbound=1500B;;;0; path_mtu_outbound=1480B;;;0; age=90s;;;0;";
    for (const auto& row : std::vector<Row>{
             {well, 0, "POSTFATHOM OK - example.org: healthy|handshake=0.125s;2;5;0;" + sizes},
             {slow, 1,
              "POSTFATHOM WARNING - example.org: healthy, the handshake takes 3 s|"
              "handshake=3s;2;5;0;" +
                  sizes},
             {slower, 2,
              "POSTFATHOM CRITICAL - example.org: healthy, the handshake takes 6 s|"
              "handshake=6s;2;5;0;" +
                  sizes},
             {old, 3,
              "POSTFATHOM UNKNOWN - example.org: healthy once, and nothing newer is known|"
              "handshake=0.125s;2;5;0;" +
                  sizes},
             {ill, 2,
              "POSTFATHOM CRITICAL - example.org: pmtu-black-hole inbound|"
              "path_mtu_inbound=1400B;;;0;"},
             {unsure, 3, "POSTFATHOM UNKNOWN - example.org: inconclusive"},
             {notice, 0, "POSTFATHOM OK - example.org: certificate-self-signed"},
             {hostile, 1, "POSTFATHOM WARNING - example.org: a/b?c?[31m"},
         }) {
        const auto found = check_line(row.facts, two, five);
        CHECK(found.text == row.line);
        CHECK(found.status == row.status);
    }
    CHECK(check_line(well, {}, {}).text.find("handshake=0.125s;;;0;") != std::string::npos);
    CHECK(could_not_check("no|body\nthere").text == "POSTFATHOM UNKNOWN - no/body?there");
    CHECK(could_not_check("x").status == 3);
}

TEST_CASE("of several servers the slowest handshake and the smallest sizes count") {
    CheckFacts facts;
    take_measures(
        boost::json::parse(
            R"({"endpoints": [{"timings": {"handshake": 0.2}, "path_mtu": {"inbound": 1500, "outbound": null}},
                {"timings": {"handshake": 1}, "path_mtu": {"inbound": 1400, "outbound": 1480}},
                {"timings": null}, 5]})"),
        facts);
    CHECK(facts.handshake == 1.0);
    CHECK(facts.inbound == 1400u);
    CHECK(facts.outbound == 1480u);
    for (const auto* nothing :
         {"null", "[]", "{}", R"({"endpoints": 5})",
          R"({"endpoints": [{"path_mtu": {"inbound": -1, "outbound": 1e99}}]})"}) {
        CheckFacts none;
        take_measures(boost::json::parse(nothing), none);
        CHECK_FALSE(none.handshake);
        CHECK_FALSE(none.inbound);
        CHECK_FALSE(none.outbound);
    }
}
