// SPDX-License-Identifier: Apache-2.0
// Suggestions as files: what each format takes, and what it leaves out.
#include "lib/suggestion/render.hpp"

#include <doctest/doctest.h>

#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>

#include "tests/unit/suggestion/suggestion_builder.hpp"

using namespace postfathom;
using namespace postfathom::test;

namespace {

std::vector<Suggestion> list_behind_tunnel() {
    auto hole = black_hole(1400);
    hole.direction = Direction::both;
    return suggest(hole, behind_tunnel());
}

std::string rendered(SuggestionFormat format, std::optional<SuggestionKind> kind = {},
                     bool undo = false) {
    return render(
               list_behind_tunnel(),
               {.format = format, .kind = kind, .undo = undo, .destination = "[mail.example.org]"})
        .value_or("nothing");
}

// Lines that are no comment.
std::vector<std::string> live_lines(const std::string& text) {
    std::vector<std::string> lines;
    std::size_t begin = 0;
    while (begin < text.size()) {
        const auto end = text.find('\n', begin);
        auto line = text.substr(begin, end - begin);
        if (!line.empty() && line.front() != '#') lines.push_back(std::move(line));
        if (end == std::string::npos) break;
        begin = end + 1;
    }
    return lines;
}
using Lines = std::vector<std::string>;

}  // namespace

TEST_CASE("a script has the best suggestion for this host, and none beside it") {
    const auto script = rendered(SuggestionFormat::sh);
    CHECK(script.starts_with("#!/bin/sh\n"));
    CHECK(live_lines(script) == Lines{"set -e", "ip link set dev wg0 mtu 1400"});
    CHECK(script.find("# proven: ") != std::string::npos);
    CHECK(script.find("#     ip link set dev wg0 mtu 8921") != std::string::npos);
    CHECK(live_lines(rendered(SuggestionFormat::sh, SuggestionKind::route_mtu)) ==
          Lines{"set -e", "ip route replace 192.0.2.1/32 via 10.30.0.254 dev wg0 mtu 1400"});
    CHECK(live_lines(rendered(SuggestionFormat::sh, SuggestionKind::route_mtu, true)) ==
          Lines{"set -e", "ip route del 192.0.2.1/32 via 10.30.0.254 dev wg0"});
    // What is for a router runs there, on request.
    CHECK(live_lines(rendered(SuggestionFormat::sh, SuggestionKind::mss_clamp_iptables)).size() ==
          3);
    CHECK(rendered(SuggestionFormat::sh, SuggestionKind::tls_policy) == "nothing");
    CHECK(rendered(SuggestionFormat::sh, SuggestionKind::letter) == "nothing");
}

TEST_CASE("rules for nft have neither a shell's words nor its quotes") {
    CHECK(live_lines(rendered(SuggestionFormat::nft)) ==
          Lines{"add table inet postfathom_192_0_2_1",
                "add chain inet postfathom_192_0_2_1 forward { type filter hook forward priority "
                "mangle; }",
                "add rule inet postfathom_192_0_2_1 forward ip daddr 192.0.2.1 tcp flags syn / "
                "syn,rst tcp option maxseg size set 1360",
                "add rule inet postfathom_192_0_2_1 forward ip saddr 192.0.2.1 tcp flags syn / "
                "syn,rst tcp option maxseg size set 1360"});
    CHECK(live_lines(rendered(SuggestionFormat::nft, {}, true)) ==
          Lines{"delete table inet postfathom_192_0_2_1"});
    // Its undo asks for a number first, which is a shell's work.
    CHECK(rendered(SuggestionFormat::nft, SuggestionKind::let_icmp_through) == "nothing");
}

TEST_CASE("lines for Postfix come with the name of their table") {
    const auto lines = rendered(SuggestionFormat::postfix);
    CHECK(live_lines(lines) == Lines{"[mail.example.org] encrypt"});
    CHECK(lines.find("# a line for the table of smtp_tls_policy_maps") != std::string::npos);
    CHECK(rendered(SuggestionFormat::postfix, SuggestionKind::route_mtu) == "nothing");
}

TEST_CASE("JSON has them all, and they are read back as they were") {
    const auto list = list_behind_tunnel();
    const auto parsed = boost::json::parse(rendered(SuggestionFormat::json)).as_object();
    CHECK(parsed.at("schema") == 1);
    CHECK(parsed.at("destination") == "[mail.example.org]");
    const auto& array = parsed.at("suggestions").as_array();
    REQUIRE(array.size() == list.size());
    for (std::size_t i = 0; i < list.size(); ++i) {
        CAPTURE(to_string(list[i].kind));
        CHECK(parse_suggestion(array[i]) == list[i]);
    }
    CHECK(render({}, {.format = SuggestionFormat::json}) ==
          "{\"schema\":1,\"destination\":\"\",\"suggestions\":[]}\n");
}

TEST_CASE("where there is nothing of a form, nothing is printed") {
    for (const auto format : {SuggestionFormat::text, SuggestionFormat::sh, SuggestionFormat::nft,
                              SuggestionFormat::postfix})
        CHECK_FALSE(render({}, {.format = format}));
    CHECK(rendered(SuggestionFormat::text).find("1. tunnel-mtu: ") == 0);
}

TEST_CASE("a comment never becomes a command") {
    auto list = list_behind_tunnel();
    for (auto& one : list) {
        one.scope += "\nreboot";
        one.risk += "\nreboot";
        one.proof += "\r\nreboot";
    }
    for (const auto format :
         {SuggestionFormat::sh, SuggestionFormat::nft, SuggestionFormat::postfix}) {
        const auto text = render(list, {.format = format, .destination = "x\nreboot"});
        REQUIRE(text);
        for (const auto& line : live_lines(*text)) CHECK(line != "reboot");
    }
}
