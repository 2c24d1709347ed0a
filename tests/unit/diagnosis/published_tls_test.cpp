// SPDX-License-Identifier: Apache-2.0
#include "lib/diagnosis/published_tls.hpp"

#include <doctest/doctest.h>

using namespace postfathom;

namespace {
using Mode = MtaStsPolicy::Mode;
MtaStsPolicy sts(Mode mode) {
    return {mode, {"mx1.example.org", "*.mail.example.org"}, std::chrono::hours{24}};
}
}  // namespace

TEST_CASE("what is published gives the level that senders may hold mail to") {
    struct Case {
        const char* what;
        std::optional<DaneServers> dane;
        std::optional<MtaStsPolicy> policy;
        TlsLevel level;
    };
    const Case cases[] = {
        {"nothing is known", {}, {}, TlsLevel::may},
        {"nothing is there", DaneServers{2, 0, 0}, {}, TlsLevel::may},
        {"the servers are not signed", DaneServers{}, {}, TlsLevel::may},
        {"all have TLSA", DaneServers{2, 2, 0}, {}, TlsLevel::dane_only},
        {"one has", DaneServers{2, 1, 0}, {}, TlsLevel::dane},
        {"one has, one has unusable ones", DaneServers{2, 1, 1}, {}, TlsLevel::dane},
        {"unusable ones", DaneServers{2, 0, 1}, {}, TlsLevel::encrypt},
        {"enforce", {}, sts(Mode::enforce), TlsLevel::secure},
        {"enforce without names", {}, MtaStsPolicy{Mode::enforce, {}, {}}, TlsLevel::may},
        {"testing", {}, sts(Mode::testing), TlsLevel::may},
        {"a policy of none", {}, sts(Mode::none), TlsLevel::may},
        {"DANE goes first", DaneServers{1, 1, 0}, sts(Mode::enforce), TlsLevel::dane_only},
        {"unusable TLSA and enforce", DaneServers{1, 0, 1}, sts(Mode::enforce), TlsLevel::secure},
        {"unusable TLSA and testing", DaneServers{1, 0, 1}, sts(Mode::testing), TlsLevel::encrypt},
    };
    for (const auto& [what, dane, policy, level] : cases) {
        const std::string named = what;  // clang 14 captures no structured binding
        CAPTURE(named);
        const auto published = published_tls(dane, policy);
        CHECK(published.level == level);
        CHECK(published.says.empty() == (level == TlsLevel::may));
        CHECK(published.match.empty() == (level != TlsLevel::secure));
    }
}

TEST_CASE("patterns become what Postfix matches") {
    const auto published = published_tls({}, sts(Mode::enforce));
    CHECK(published.match == std::vector<std::string>{"mx1.example.org", ".mail.example.org"});
}
