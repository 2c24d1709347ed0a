// SPDX-License-Identifier: Apache-2.0
// Suggestions as values: their JSON is read back as it was, and nothing else is taken for one.
#include <doctest/doctest.h>

#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>

#include "lib/diagnosis/suggestion.hpp"

using namespace postfathom;

namespace {

Suggestion whole() {
    Suggestion one;
    one.kind = SuggestionKind::no_pipelining;
    one.form = SuggestionForm::postfix_line;
    one.scope = "scope";
    one.why = "why";
    one.table = "a_table";
    one.commands = {"first", "second"};
    one.files = {{"/etc/x", {"line"}, true}, {"main.cf", {}, false}};
    one.expected = "expected";
    one.verify = {"verify"};
    one.undo = {"undo"};
    one.risk = "risk";
    one.proven = true;
    one.proof = "proof";
    one.tls_floor = TlsLevel::encrypt;
    return one;
}

}  // namespace

TEST_CASE("a suggestion is read back as it was written") {
    CHECK(parse_suggestion(to_json(whole())) == whole());
    for (const auto kind : all_suggestion_kinds()) {
        auto one = whole();
        one.kind = kind;
        CHECK(parse_suggestion(to_json(one)) == one);
        CHECK(parse_suggestion_kind(to_string(kind)) == kind);
    }
}

TEST_CASE("what cannot be printed, or is no suggestion, is none") {
    const auto changed = [](const char* name, boost::json::value value) {
        auto object = to_json(whole());
        object[name] = std::move(value);
        return parse_suggestion(object).has_value();
    };
    CHECK(changed("why", "other words"));
    CHECK(changed("why", nullptr));
    CHECK_FALSE(changed("kind", "weaker-tls"));
    CHECK_FALSE(changed("form", "magic"));
    CHECK_FALSE(changed("tls_floor", "high"));
    CHECK_FALSE(changed("why", "an escape \x1b[31m"));
    CHECK_FALSE(changed("commands", boost::json::array{"two\nlines"}));
    CHECK_FALSE(changed("commands", boost::json::array{5}));
    CHECK_FALSE(changed("commands", boost::json::array{}));
    CHECK_FALSE(changed("undo", boost::json::array{std::string(5'000, 'x')}));
    CHECK_FALSE(changed("undo", boost::json::array(65, "x")));
    CHECK_FALSE(changed("files", boost::json::array{"x"}));
    CHECK_FALSE(changed("files", boost::json::parse(R"([{"file": "a\nb", "lines": []}])")));
    for (const char* text : {"null", "5", "[]", "{}", "\"x\""})
        CHECK_FALSE(parse_suggestion(boost::json::parse(text)));
}
