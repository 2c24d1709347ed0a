// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <algorithm>

#include "lib/diagnosis/tls_floor.hpp"

using namespace postfathom;

namespace {

constexpr TlsLevel levels[] = {TlsLevel::none,        TlsLevel::may,       TlsLevel::encrypt,
                               TlsLevel::fingerprint, TlsLevel::half_dane, TlsLevel::dane,
                               TlsLevel::dane_only,   TlsLevel::verify,    TlsLevel::secure};

}  // namespace

TEST_CASE("levels are spelled and ordered as Postfix does") {
    for (const auto level : levels) CHECK(parse_tls_level(to_string(level)) == level);
    CHECK(to_string(TlsLevel::dane_only) == "dane-only");
    CHECK(TlsLevel::encrypt < TlsLevel::dane);
    CHECK_FALSE(parse_tls_level("Encrypt"));
    CHECK_FALSE(parse_tls_level("encrypt ciphers=low"));
}

TEST_CASE("a suggested level is never below or equal to the floor, and never none or may") {
    for (const auto floor : levels)
        for (const auto wanted : levels) {
            const auto raised = SuggestedLevel::raise(floor, wanted);
            if (!raised) continue;
            CHECK(raised->level() == wanted);
            CHECK(raised->level() > floor);
            CHECK(raised->level() >= TlsLevel::encrypt);
        }
    CHECK(SuggestedLevel::raise(TlsLevel::may, TlsLevel::encrypt)->level() == TlsLevel::encrypt);
    CHECK(SuggestedLevel::raise(TlsLevel::none, TlsLevel::encrypt));
    CHECK_FALSE(SuggestedLevel::raise(TlsLevel::none, TlsLevel::may));
    CHECK_FALSE(SuggestedLevel::raise(TlsLevel::encrypt, TlsLevel::encrypt));
}

TEST_CASE("nothing is suggested above a floor that is not certain, nor when one of two is not") {
    for (const auto floor : levels)
        for (const auto wanted : levels) {
            CHECK_FALSE(SuggestedLevel::raise(TlsFloor::uncertain(floor), wanted));
            CHECK_FALSE(
                SuggestedLevel::raise(highest(TlsFloor::uncertain(floor), TlsLevel::may), wanted));
            CHECK(highest(floor, wanted).level() ==
                  std::max(TlsFloor(floor).level(), TlsFloor(wanted).level()));
            CHECK(highest(floor, wanted).certain());
        }
}

TEST_CASE("a raise never trades one check of the peer for another") {
    CHECK_FALSE(SuggestedLevel::raise(TlsLevel::dane, TlsLevel::encrypt));
    CHECK_FALSE(
        SuggestedLevel::raise(TlsLevel::dane, TlsLevel::secure));  // the TLSA check would go
    CHECK_FALSE(SuggestedLevel::raise(TlsLevel::fingerprint, TlsLevel::dane));
    CHECK(SuggestedLevel::raise(TlsLevel::dane, TlsLevel::dane_only));
    CHECK(SuggestedLevel::raise(TlsLevel::verify, TlsLevel::secure));
}

TEST_CASE("only levels that ask the trust store are stopped by a certificate fault") {
    for (const auto level : levels)
        CHECK(checks_certificate(level) ==
              (level == TlsLevel::verify || level == TlsLevel::secure));
}
