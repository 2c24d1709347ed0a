// SPDX-License-Identifier: Apache-2.0
#include "lib/base/pace.hpp"

#include <doctest/doctest.h>

#include <algorithm>

using namespace postfathom;
using namespace std::chrono_literals;

TEST_CASE("a key is allowed once per interval, and a flood of keys takes no more memory") {
    const Pace::Time start{1h};
    Pace pace(60s, 3);
    CHECK(pace.allow("a", start));
    CHECK_FALSE(pace.allow("a", start + 59s));
    CHECK(pace.allow("a", start + 60s));
    CHECK(pace.allow("b", start + 61s));
    CHECK(pace.allow("c", start + 61s));
    for (int i = 0; i < 1000; ++i) CHECK_FALSE(pace.allow("x" + std::to_string(i), start + 62s));
    CHECK(pace.keys() == 3);
    CHECK(pace.allow("d", start + 120s));  // "a" is due and makes room
    CHECK(pace.keys() == 3);
}

TEST_CASE("what was allowed and did not happen may be tried again at once") {
    const Pace::Time start{1h};
    Pace pace(60s, 3);
    CHECK(pace.allow("a", start));
    pace.retract("a");
    pace.retract("never seen");
    CHECK(pace.allow("a", start + 1s));
    CHECK_FALSE(pace.allow("a", start + 2s));
}

TEST_CASE("names that came once are forgotten long before all memory is in use") {
    const Pace::Time start{1h};
    Pace pace(60s, 10'000);
    std::size_t most = 0;
    for (int second = 0; second < 3600; ++second) {
        CHECK(pace.allow("name" + std::to_string(second), start + std::chrono::seconds(second)));
        most = std::max(most, pace.keys());
    }
    CHECK(most <= 121);
    // Nothing was forgotten that is not due.
    CHECK_FALSE(pace.allow("name3599", start + 3600s));
    CHECK_FALSE(pace.allow("name3541", start + 3600s));
    CHECK(pace.allow("name3540", start + 3600s));
}
