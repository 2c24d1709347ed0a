// SPDX-License-Identifier: Apache-2.0
#include "lib/destination/next_hop.hpp"

#include <doctest/doctest.h>

#include <random>
#include <string>

using namespace postfathom;

TEST_CASE("a next hop is read in every form Postfix has, and spelled in one") {
    struct Row {
        std::string_view text;
        std::string_view canonical;
        bool mx_lookup;
        std::optional<std::uint16_t> port;
    };
    const Row rows[] = {
        {"example.org", "example.org", true, {}},
        {"Example.ORG.", "example.org", true, {}},
        {" example.org ", "example.org", true, {}},
        {"example.org:587", "example.org:587", true, 587},
        {"example.org:submission", "example.org:587", true, 587},
        {"example.org:submissions", "example.org:465", true, 465},
        {"example.org:25", "example.org", true, 25},
        {"[Mail.example.org]", "[mail.example.org]", false, {}},
        {"[mail.example.org]:25", "[mail.example.org]", false, 25},
        {"[mail.example.org]:2525", "[mail.example.org]:2525", false, 2525},
        {"[192.0.2.1]", "[192.0.2.1]", false, {}},
        {"[192.0.2.1]:587", "[192.0.2.1]:587", false, 587},
        {"192.0.2.1", "[192.0.2.1]", false, {}},
        {"192.0.2.1:587", "[192.0.2.1]:587", false, 587},
        {"[IPv6:2001:DB8::1]", "[IPv6:2001:db8::1]", false, {}},
        {"[ipv6:2001:db8::1]:26", "[IPv6:2001:db8::1]:26", false, 26},
        {"[2001:db8::1]", "[IPv6:2001:db8::1]", false, {}},
        {"2001:db8::1", "[IPv6:2001:db8::1]", false, {}},
        {"[::ffff:192.0.2.1]", "[192.0.2.1]", false, {}},
        {"localhost", "localhost", true, {}},
        {"_dmarc.example.org", "_dmarc.example.org", true, {}},
    };
    for (const auto& row : rows) {
        CAPTURE(row.text);
        const auto next_hop = parse_next_hop(row.text);
        REQUIRE(next_hop.has_value());
        CHECK(to_string(*next_hop) == row.canonical);
        CHECK(next_hop->mx_lookup == row.mx_lookup);
        CHECK(next_hop->port == row.port);
        const auto again = parse_next_hop(to_string(*next_hop));
        REQUIRE(again.has_value());
        CHECK(to_string(*again) == row.canonical);
    }
}

TEST_CASE("what is no next hop is refused with what was found") {
    const std::string long_label(64, 'a');
    const std::string long_name = [] {
        std::string name;
        for (int i = 0; i < 64; ++i) name += "abc.";
        return name + "org";
    }();
    for (const std::string& text : {std::string(""),
                                    std::string("."),
                                    std::string("[]"),
                                    std::string("[mail.example.org"),
                                    std::string("mail.example.org]"),
                                    std::string("[mail.example.org]x"),
                                    std::string("example.org:"),
                                    std::string("example.org:0"),
                                    std::string("example.org:65536"),
                                    std::string("example.org:smtpx"),
                                    std::string("example..org"),
                                    std::string("-$-"),
                                    std::string("exa mple.org"),
                                    std::string("ex\tample.org"),
                                    std::string("a\0b.org", 7),
                                    std::string("[192.0.2.1\0]", 12),
                                    std::string("[IPv6:192.0.2.1]"),
                                    std::string("\xc3\xa9xample.org"),
                                    std::string("user@example.org"),
                                    std::string("[1.2.3.4.5]:x"),
                                    std::string("192.0.2.1."),
                                    std::string("[192.0.2.1.]"),
                                    std::string("/var/run/sock"),
                                    long_label + ".org",
                                    long_name,
                                    std::string(100'000, 'a')}) {
        CAPTURE(text.substr(0, 40));
        const auto next_hop = parse_next_hop(text);
        REQUIRE_FALSE(next_hop.has_value());
        CHECK(next_hop.error().code == ErrorCode::invalid_input);
        CHECK(next_hop.error().message.find("found") != std::string::npos);
        const bool foreign = text.find('\xc3') != std::string::npos;
        CHECK((next_hop.error().message.find("xn--") != std::string::npos) == foreign);
        CHECK(next_hop.error().message.size() < 300);
    }
}

TEST_CASE("a transport may list several next hops") {
    const auto found =
        parse_next_hops("one.example.org, [two.example.org]:26\tbad..name three.example.org");
    REQUIRE(found.size() == 3);
    CHECK(to_string(found[0]) == "one.example.org");
    CHECK(to_string(found[1]) == "[two.example.org]:26");
    CHECK(to_string(found[2]) == "three.example.org");
    std::string many;
    for (int i = 0; i < 1000; ++i) many += "h" + std::to_string(i) + ".example.org ";
    CHECK(parse_next_hops(many).size() == 20);
    CHECK(parse_next_hops("").empty());
    CHECK(parse_next_hops(" ,, \t").empty());
}

TEST_CASE("a recipient's domain is what follows the last @") {
    CHECK(domain_of_recipient("user@Example.ORG") == "example.org");
    CHECK(domain_of_recipient("<user@example.org>") == "example.org");
    CHECK(domain_of_recipient("\"a@b\"@example.org") == "example.org");
    CHECK(domain_of_recipient("user@[192.0.2.1]") == "[192.0.2.1]");
    CHECK(domain_of_recipient("user@[IPv6:2001:db8::1]") == "[ipv6:2001:db8::1]");
    for (const auto* text :
         {"", "user", "<>", "user@", "user@exa mple.org", "user@example.org:25", "user@a\nb.org"}) {
        CAPTURE(text);
        CHECK(domain_of_recipient(text).empty());
    }
}

TEST_CASE("random bytes are read or refused, and what is read has a stable spelling") {
    std::mt19937 random(20'231);
    const std::string_view alphabet("abc.[]:0192-_@ \t\"IPv6\x80\xff\\\0", 25);
    for (int i = 0; i < 50'000; ++i) {
        std::string text;
        const auto length = random() % 24;
        for (std::size_t k = 0; k < length; ++k) text += alphabet[random() % alphabet.size()];
        const auto next_hop = parse_next_hop(text);
        if (!next_hop) continue;
        const auto canonical = to_string(*next_hop);
        const auto again = parse_next_hop(canonical);
        REQUIRE(again.has_value());
        REQUIRE(to_string(*again) == canonical);
    }
}
