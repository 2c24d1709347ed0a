// SPDX-License-Identifier: Apache-2.0
// The TLS level that Postfix has for a next hop, from its parameters and tables.
#include "lib/postfix/tls_policy.hpp"

#include <doctest/doctest.h>

using namespace postfathom;

namespace {

using Parameters = std::map<std::string, std::string>;
using Tables = std::map<std::string, std::map<std::string, std::string>>;

struct Asked {
    std::string level;
    std::vector<std::string> questions;  // "TABLE KEY"
};

Asked level_of(const std::string& next_hop, const Parameters& parameters, const Tables& tables) {
    Asked asked;
    asked.level = tls_level_in_force(
        next_hop, parameters, "/var/spool/postfix/run/postfathom/tables.sock",
        [&](const std::string& table, const std::string& key) -> std::optional<std::string> {
            asked.questions.push_back(table + " " + key);
            const auto found = tables.find(table);
            if (found == tables.end() || !found->second.contains(key)) return std::nullopt;
            return found->second.at(key);
        });
    return asked;
}

}  // namespace

TEST_CASE("the keys are the next hop, and of a plain domain its parents") {
    using Keys = std::vector<std::string>;
    CHECK(tls_policy_keys("mail.example.org") == Keys{"mail.example.org", ".example.org", ".org"});
    CHECK(tls_policy_keys("example.org:587") == Keys{"example.org:587"});
    CHECK(tls_policy_keys("[mail.example.org]") == Keys{"[mail.example.org]"});
    CHECK(tls_policy_keys("[192.0.2.1]:25") == Keys{"[192.0.2.1]:25"});
    CHECK(tls_policy_keys("localhost") == Keys{"localhost"});
    std::string long_name = "a";
    for (int i = 0; i < 200; ++i) long_name += ".a";
    CHECK(tls_policy_keys(long_name).size() == 16);
}

TEST_CASE("the level is that of the first value, else the one for all") {
    const Tables tables{
        {"hash:/etc/postfix/a", {{"example.org", "verify match=nexthop"}}},
        {"hash:/etc/postfix/b", {{"example.org", "encrypt"}, {".example.net", "dane-only"}}}};
    const Parameters both{{"smtp_tls_policy_maps", "hash:/etc/postfix/a, hash:/etc/postfix/b"},
                          {"smtp_tls_security_level", "may"}};
    CHECK(level_of("example.org", both, tables).level == "verify");
    CHECK(level_of("mail.example.net", both, tables).level == "dane-only");
    CHECK(level_of("example.net", both, tables).level == "may");
    CHECK(level_of("[example.org]", both, tables).level == "may");
    CHECK(level_of("mail.example.net", both, tables).questions ==
          std::vector<std::string>{
              "hash:/etc/postfix/a mail.example.net", "hash:/etc/postfix/b mail.example.net",
              "hash:/etc/postfix/a .example.net", "hash:/etc/postfix/b .example.net"});
}

TEST_CASE("without a level for all, its predecessors count") {
    CHECK(level_of("example.org", {{"smtp_enforce_tls", "yes"}}, {}).level == "encrypt");
    CHECK(level_of("example.org", {{"smtp_use_tls", "Yes"}}, {}).level == "may");
    CHECK(
        level_of("example.org", {{"smtp_tls_security_level", "Dane"}, {"smtp_use_tls", "yes"}}, {})
            .level == "dane");
    CHECK(level_of("example.org", {{"smtp_use_tls", "no"}}, {}).level.empty());
    CHECK(level_of("example.org", {}, {}).level.empty());
}

TEST_CASE("our own table is not asked, others of its kind are, and of many only some") {
    const Parameters parameters{
        {"queue_directory", "/var/spool/postfix"},
        {"smtp_tls_policy_maps",
         "socketmap:unix:run/postfathom/tables.sock:tls socketmap:inet:127.0.0.1:8461:postfix"}};
    CHECK(level_of("[x]", parameters, {}).questions ==
          std::vector<std::string>{"socketmap:inet:127.0.0.1:8461:postfix [x]"});
    std::string many;
    for (int i = 0; i < 50; ++i) many += "hash:/t" + std::to_string(i) + " ";
    CHECK(level_of("[x]", {{"smtp_tls_policy_maps", many}}, {}).questions.size() == 8);
}
