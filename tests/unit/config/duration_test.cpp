// SPDX-License-Identifier: Apache-2.0
#include "lib/config/duration.hpp"

#include <doctest/doctest.h>

using namespace postfathom;
using namespace std::chrono_literals;

TEST_CASE("durations have one whole number and one unit") {
    CHECK(parse_duration("300ms") == 300ms);
    CHECK(parse_duration("30s") == 30s);
    CHECK(parse_duration("10m") == 10min);
    CHECK(parse_duration("24h") == 24h);
    CHECK(parse_duration("7d") == 24h * 7);
    CHECK(parse_duration("0s") == 0s);
    for (const auto* text : {"", "30", "s", "-1s", "+1s", "1.5s", " 1s", "1s ", "1 s", "1S", "1w",
                             "99999999999999999999s", "9999999999999d", "1s1s", "0x10s"}) {
        CAPTURE(text);
        CHECK_FALSE(parse_duration(text).has_value());
    }
}

TEST_CASE("a duration is rendered in its largest whole unit") {
    CHECK(render_duration(0ms) == "0ms");
    CHECK(render_duration(1500ms) == "1500ms");
    CHECK(render_duration(90s) == "90s");
    CHECK(render_duration(3600s) == "1h");
    CHECK(render_duration(48h) == "2d");
    for (const auto duration : {1ms, 999ms, 60'000ms, 86'400'001ms})
        CHECK(parse_duration(render_duration(duration)) == duration);
}

TEST_CASE("sizes are bytes or whole binary units") {
    CHECK(parse_bytes("4096") == 4096);
    CHECK(parse_bytes("256MiB") == std::uint64_t{256} << 20);
    CHECK_FALSE(parse_bytes("256MB").has_value());
    CHECK_FALSE(parse_bytes("99999999999TiB").has_value());
    CHECK_FALSE(parse_bytes("").has_value());
    CHECK(render_bytes(std::uint64_t{256} << 20) == "256MiB");
    CHECK(render_bytes(1000) == "1000");
}
