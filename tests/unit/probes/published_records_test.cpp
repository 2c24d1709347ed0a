// SPDX-License-Identifier: Apache-2.0
// TLSA and MTA-STS records as strangers publish them.
#include <doctest/doctest.h>

#include <random>

#include "probes/mta_sts.hpp"
#include "probes/tlsa_record.hpp"

using namespace postfathom;

namespace {

std::string tlsa(int usage, int selector, int matching, std::size_t length) {
    std::string rdata{static_cast<char>(usage), static_cast<char>(selector),
                      static_cast<char>(matching)};
    return rdata + std::string(length, '\x5a');
}

constexpr const char* good =
    "version: STSv1\r\nmode: enforce\r\nmx: mail.example.org\r\nmx: *.example.net\r\n"
    "max_age: 604800\r\n";

}  // namespace

TEST_CASE("a TLSA record is usable where RFC 7672 says so") {
    struct Case {
        std::string rdata;
        TlsaUse use;
    };
    const Case cases[] = {
        {"", TlsaUse::malformed},
        {std::string("\3\1\1", 3), TlsaUse::malformed},
        {tlsa(3, 1, 1, 32), TlsaUse::usable},
        {tlsa(2, 0, 1, 32), TlsaUse::usable},
        {tlsa(3, 1, 2, 64), TlsaUse::usable},
        {tlsa(3, 0, 0, 900), TlsaUse::usable},
        {tlsa(3, 1, 1, 31), TlsaUse::malformed},
        {tlsa(3, 1, 2, 32), TlsaUse::malformed},
        {tlsa(0, 1, 1, 32), TlsaUse::unusable},
        {tlsa(1, 1, 1, 32), TlsaUse::unusable},
        {tlsa(4, 1, 1, 32), TlsaUse::unusable},
        {tlsa(255, 1, 1, 32), TlsaUse::unusable},
        {tlsa(3, 2, 1, 32), TlsaUse::unusable},
        {tlsa(3, 1, 3, 32), TlsaUse::unusable},
    };
    for (const auto& [rdata, use] : cases) {
        const auto bytes = rdata.size();  // clang 14 captures no structured binding
        CAPTURE(bytes);
        CHECK(use_of_tlsa(rdata) == use);
    }
    CHECK(tlsa_name("mail.example.org", 25) == "_25._tcp.mail.example.org");
}

TEST_CASE("a TXT record's strings are joined, and broken ones refused") {
    CHECK(text_of_txt("\x03v=S\x02Tx") == "v=STx");
    CHECK(text_of_txt(std::string_view("\0", 1)) == "");
    CHECK_FALSE(text_of_txt(""));
    CHECK_FALSE(text_of_txt("\x05v=S"));
}

TEST_CASE("one MTA-STS record with an id counts") {
    CHECK(mta_sts_id({"v=STSv1; id=20261123T0101;"}) == "20261123T0101");
    CHECK(mta_sts_id({"v=spf1 -all", "v=STSv1;id=1"}) == "1");
    CHECK(mta_sts_id({"v=STSv1; future=x; id=2"}) == "2");
    CHECK_FALSE(mta_sts_id({}));
    CHECK_FALSE(mta_sts_id({"v=STSv1"}));
    CHECK_FALSE(mta_sts_id({"v=STSv1;"}));
    CHECK_FALSE(mta_sts_id({"v=STSv12; id=1"}));
    CHECK_FALSE(mta_sts_id({"v=STSv1; id="}));
    CHECK_FALSE(mta_sts_id({"v=STSv1; id=a b"}));
    CHECK_FALSE(mta_sts_id({"v=STSv1; id=" + std::string(33, 'a')}));
    CHECK_FALSE(mta_sts_id({"v=STSv1; id=1", "v=STSv1; id=2"}));
}

TEST_CASE("a policy is read as RFC 8461 has it") {
    const auto policy = parse_mta_sts_policy(good);
    REQUIRE(policy);
    CHECK(*policy == MtaStsPolicy{MtaStsPolicy::Mode::enforce,
                                  {"mail.example.org", "*.example.net"},
                                  std::chrono::seconds{604800}});
    const auto relaxed =
        parse_mta_sts_policy("version:STSv1\nmode:none\nmax_age:99999999999\nnew: field\n\nnoise");
    REQUIRE(relaxed);
    CHECK(relaxed->mode == MtaStsPolicy::Mode::none);
    CHECK(relaxed->max_age == std::chrono::seconds{31'557'600});
    const auto twice = parse_mta_sts_policy(
        "version: STSv1\nmode: enforce\nmode: none\nmx: MX.Example.ORG\nmax_age: 1\n");
    REQUIRE(twice);
    CHECK(twice->mode == MtaStsPolicy::Mode::enforce);
    CHECK(twice->mx == std::vector<std::string>{"mx.example.org"});
}

TEST_CASE("a policy that is not one is refused") {
    const std::string head = "version: STSv1\nmode: enforce\nmax_age: 1\n";
    std::string many = head;
    for (int i = 0; i < 65; ++i) many += "mx: a.example.org\n";
    const std::string cases[] = {
        "",
        "<html>",
        head,  // no mx
        "mode: enforce\nmx: a.example.org\nmax_age: 1\n",
        "version: STSv2\nmode: enforce\nmx: a.example.org\nmax_age: 1\n",
        "version: STSv1\nmx: a.example.org\nmax_age: 1\n",
        "version: STSv1\nmode: ENFORCE\nmx: a.example.org\nmax_age: 1\n",
        "version: STSv1\nmode: enforce\nmx: a.example.org\n",
        "version: STSv1\nmode: enforce\nmx: a.example.org\nmax_age: -1\n",
        "version: STSv1\nmode: enforce\nmx: a.example.org\nmax_age: 1d\n",
        head + "mx: a.example.org encrypt\n",
        head + "mx: a.example.org:25\n",
        head + "mx: [192.0.2.1]\n",
        head + "mx: 192.0.2.1\n",
        head + "mx: *\n",
        head + "mx: *.\n",
        head + "mx: mail.*.example.org\n",
        head + "mx: a..example.org\n",
        head + "mx: a.example.org.\n",
        head + "mx: a.example.org\nmx: \n",
        head + std::string("mx: a\0.example.org\n", 19),
        many,
        head + "mx: a.example.org\n" + std::string(70'000, ' '),
    };
    for (const auto& text : cases) {
        CAPTURE(text.substr(0, 100));
        CHECK_FALSE(parse_mta_sts_policy(text));
    }
}

TEST_CASE("no bytes make the parsers stumble, and names are always host names") {
    std::mt19937 random(20261123);
    const std::string_view pieces[] = {"version: STSv1\n", "mode: enforce\n", "mx: ", "*.", "\n",
                                       "max_age: 9\n",     "a.example.org",   ":",    "\r", "=",
                                       " match="};
    for (int i = 0; i < 20'000; ++i) {
        std::string text;
        for (auto n = random() % 14; n > 0; --n)
            text += random() % 6 == 0 ? std::string(1, static_cast<char>(random()))
                                      : std::string(pieces[random() % std::size(pieces)]);
        static_cast<void>(use_of_tlsa(text));
        static_cast<void>(text_of_txt(text));
        static_cast<void>(mta_sts_id({text}));
        const auto policy = parse_mta_sts_policy(text);
        if (!policy) continue;
        for (const auto& name : policy->mx)
            CHECK(name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789.-*") == name.npos);
    }
}
