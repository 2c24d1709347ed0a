// SPDX-License-Identifier: Apache-2.0
#include "lib/postfix/transport_table.hpp"

#include <doctest/doctest.h>

#include <map>

namespace postfathom {
namespace {

PostfixConfiguration configuration(std::map<std::string, std::string> parameters) {
    parameters.emplace("default_transport", "smtp");
    std::vector<PostfixService> services;
    for (const auto* name : {"smtp", "relay", "slow"})
        services.push_back({name, "unix", false, "smtp", {}});
    services.push_back({"error", "unix", false, "error", {}});
    services.push_back({"pipes", "unix", false, "pipe", {}});
    services.push_back({"smtp", "inet", false, "smtpd", {}});
    return {std::move(parameters), std::move(services)};
}

// "domain", "relayhost:X", "transport_maps:X"; "-" where it cannot be told.
std::string told(const PostfixConfiguration& postfix, const std::string& domain,
                 const std::map<std::string, std::string>& table = {}) {
    const auto route = route_of_domain(
        postfix, domain,
        [&](const std::string& name, const std::string& key) -> Result<std::optional<std::string>> {
            if (name == "silent:") return fail(ErrorCode::timed_out, "no answer");
            const auto found = table.find(name + key);
            if (found == table.end()) return std::nullopt;
            return found->second;
        });
    if (!route) return "-";
    if (route->by == DomainRoute::By::domain) return "domain" + route->next_hop;
    return (route->by == DomainRoute::By::relayhost ? "relayhost:" : "transport_maps:") +
           route->next_hop;
}

}  // namespace

TEST_CASE("what a table is asked for a domain") {
    const std::string anybody = "postfathom-asks-for-anybody@";
    const auto postfix = configuration({});
    CHECK(transport_keys(postfix, "a.b.example") ==
          std::vector<std::string>{anybody + "a.b.example", "a.b.example", ".b.example", ".example",
                                   "*"});
    CHECK(transport_keys(postfix, "example") ==
          std::vector<std::string>{anybody + "example", "example", "*"});
    CHECK(transport_keys(postfix, ".x") == std::vector<std::string>{anybody + ".x", ".x", "*"});
    CHECK(transport_keys(configuration({{"parent_domain_matches_subdomains",
                                         "relay_domains, transport_maps"}}),
                         "a.example") ==
          std::vector<std::string>{anybody + "a.example", "a.example", "example", "*"});
}

TEST_CASE("tables of patterns are asked for addresses alone, those of queries for both") {
    const std::map<std::string, std::string> table = {
        {"pcre:/t postfathom-asks-for-anybody@example.org", "relay:[smart.example.net]"},
        {"pcre:/t example.com", "relay:[never.example.net]"},
        {"proxy:regexp:/t example.com", "relay:[never.example.net]"},
        {"ldap:/t postfathom-asks-for-anybody@example.org", "relay:[smart.example.net]"},
        {"ldap:/t example.com", "relay:[named.example.net]"}};
    const auto told_by = [&](const std::string& name, const std::string& domain) {
        std::map<std::string, std::string> entries;
        for (const auto& [key, value] : table) {
            const auto blank = key.find(' ');
            entries.emplace(key.substr(0, blank) + key.substr(blank + 1), value);
        }
        return told(configuration({{"transport_maps", name}}), domain, entries);
    };
    CHECK(told_by("pcre:/t", "example.org") == "transport_maps:[smart.example.net]");
    CHECK(told_by("pcre:/t", "example.com") == "domain");
    CHECK(told_by("proxy:regexp:/t", "example.com") == "domain");
    CHECK(told_by("ldap:/t", "example.org") == "transport_maps:[smart.example.net]");
    CHECK(told_by("ldap:/t", "example.com") == "transport_maps:[named.example.net]");
}

TEST_CASE("a domain of ours goes by the transport of its class") {
    auto ours = [](const std::string& parameter, const std::string& value) {
        std::map<std::string, std::string> settings = {
            {"parent_domain_matches_subdomains", "relay_domains"},
            {"local_transport", "local:mx.example.net"},
            {"virtual_transport", "virtual"},
            {"relay_transport", "relay:[10.1.2.3]"}};
        settings.emplace(parameter, value);
        return configuration(std::move(settings));
    };
    const std::map<std::string, std::string> table = {{"hash:/dcorp.example", "x"}};
    for (const auto* parameter : {"mydestination", "virtual_mailbox_domains", "relay_domains"}) {
        CAPTURE(parameter);
        CHECK(told(ours(parameter, "one.example, Corp.Example"), "corp.example") == "-");
        CHECK(told(ours(parameter, "hash:/d"), "corp.example", table) == "-");
        CHECK(told(ours(parameter, "hash:/d"), "other.example", table) == "domain");
        CHECK(told(ours(parameter, "corp.example"), "other.example") == "domain");
        CHECK(told(ours(parameter, "silent:"), "other.example") == "-");
        CHECK(told(ours(parameter, "/etc/postfix/domains"), "other.example") == "-");
        CHECK(told(ours(parameter, "!corp.example"), "other.example") == "-");
    }
    CHECK(told(ours("relay_domains", "corp.example"), "sub.corp.example") == "-");
    CHECK(told(ours("mydestination", "corp.example"), "sub.corp.example") == "domain");
    // By smtp(8), to the domain's own servers or relayhost.
    CHECK(told(configuration({{"relay_domains", "corp.example"}, {"relay_transport", "relay"}}),
               "corp.example") == "domain");
    CHECK(told(configuration({{"relay_domains", "corp.example"},
                              {"relay_transport", "relay"},
                              {"relayhost", "[out.example.net]"}}),
               "corp.example") == "relayhost:[out.example.net]");
}

TEST_CASE("without an entry it is relayhost, or the domain") {
    CHECK(told(configuration({}), "example.org") == "domain");
    CHECK(told(configuration({{"relayhost", "[relay.example.net]:587"}}), "example.org") ==
          "relayhost:[relay.example.net]:587");
    CHECK(told(configuration({{"transport_maps", "a:, b:"}}), "example.org") == "domain");
}

TEST_CASE("an entry of transport_maps leads away from the domain and from relayhost") {
    const auto postfix =
        configuration({{"relayhost", "[relay.example.net]"}, {"transport_maps", "a:, b:"}});
    const std::map<std::string, std::string> table = {
        {"a:example.org", "smtp:[in.example.net]:2525"},
        {"b:example.org", "smtp:[late.example.net]"},
        {"b:.example.org", "slow:hub.example.net"},
        {"a:direct.example", "smtp:"},
        {"a:same.example", ":"},
        {"a:only.example", ":[hop.example.net]"},
        {"a:gone.example", "error:5.1.1 no"},
        {"a:piped.example", "pipes:x"},
        {"a:odd.example", "nonsense"}};
    CHECK(told(postfix, "example.org", table) == "transport_maps:[in.example.net]:2525");
    CHECK(told(postfix, "sub.example.org", table) == "transport_maps:hub.example.net");
    CHECK(told(postfix, "direct.example", table) == "domain");
    CHECK(told(postfix, "same.example", table) == "relayhost:[relay.example.net]");
    CHECK(told(postfix, "only.example", table) == "transport_maps:[hop.example.net]");
    CHECK(told(postfix, "other.example", table) == "relayhost:[relay.example.net]");
    for (const auto* elsewhere : {"gone.example", "piped.example", "odd.example"})
        CHECK(told(postfix, elsewhere, table) == "-");
    CHECK(told(configuration({{"transport_maps", "a:"}}), "x.example",
               {{"a:*", "relay:[all.example.net]"}}) == "transport_maps:[all.example.net]");
}

TEST_CASE("where it cannot be told nothing is") {
    CHECK(told(configuration({{"transport_maps", "silent:"}}), "example.org") == "-");
    CHECK(told(configuration({{"sender_dependent_relayhost_maps", "a:"}}), "example.org") == "-");
    CHECK(told(configuration({{"sender_dependent_default_transport_maps", "a:"}}), "example.org") ==
          "-");
    CHECK(told(configuration({{"default_transport", "pipes"}}), "example.org") == "-");
    CHECK(told(configuration({{"default_transport", "smtp:[relay.example.net]"}}), "example.org") ==
          "-");
}

}  // namespace postfathom
