// SPDX-License-Identifier: Apache-2.0
// Which changes bring our hooks into a configuration, and out of it.
#include "lib/postfix/setup.hpp"

#include <doctest/doctest.h>

#include <string>

#include "tests/unit/suggestion/weaker_words.hpp"

using namespace postfathom;

namespace {

const std::string check =
    "check_policy_service { unix:run/postfathom/policy.sock, timeout=3s, try_limit=1, "
    "default_action=DUNNO }";
const std::string milter =
    "{ unix:run/postfathom/milter.sock, connect_timeout=3s, command_timeout=5s, "
    "content_timeout=5s, default_action=accept }";
const std::string table = "socketmap:unix:run/postfathom/dsn.sock:dsn";

OwnPlaces own() {
    const std::string below = "/var/spool/postfix/run/postfathom/";
    return {below + "policy.sock", "", below + "dsn.sock", below + "tables.sock",
            below + "milter.sock", ""};
}

PostfixConfiguration debian() {
    PostfixConfiguration postfix;
    postfix.parameters = {{"mail_version", "3.7.11"},
                          {"queue_directory", "/var/spool/postfix"},
                          {"smtpd_relay_before_recipient_restrictions", "yes"},
                          {"smtpd_relay_restrictions",
                           "permit_mynetworks permit_sasl_authenticated defer_unauth_destination"},
                          {"smtp_delivery_status_filter", "$default_delivery_status_filter"}};
    postfix.services = {{"smtp", "inet", true, "smtpd", {}}, {"smtp", "unix", true, "smtp", {}}};
    return postfix;
}

std::map<std::string, std::string> defaults() {
    return {{"smtpd_milters", ""},
            {"smtpd_recipient_restrictions", ""},
            {"smtp_delivery_status_filter", "$default_delivery_status_filter"}};
}

PostfixConfiguration after(PostfixConfiguration postfix, const SetupPlan& plan) {
    for (const auto& change : plan.changes) {
        if (!change.service.empty()) {
            for (auto& service : postfix.services)
                if (service.name + '/' + service.type == change.service)
                    service.options[change.parameter] = change.value;
        } else {
            postfix.parameters[change.parameter] =
                change.unset ? defaults().at(change.parameter) : change.value;
        }
    }
    return postfix;
}

const std::set<Hook> usual{Hook::policy, Hook::milter, Hook::tags};

}  // namespace

TEST_CASE("a fresh Debian gets three lines, and nothing the second time") {
    const auto plan = plan_setup(debian(), own(), usual);
    REQUIRE(plan);
    REQUIRE(plan->changes.size() == 3);
    CHECK(plan->notes.empty());
    CHECK(plan->changes[0] == SetupChange{"", "smtpd_recipient_restrictions", check, false});
    CHECK(plan->changes[1] == SetupChange{"", "smtpd_milters", milter, false});
    CHECK(plan->changes[2] == SetupChange{"", "smtp_delivery_status_filter", table, false});
    const auto again = plan_setup(after(debian(), *plan), own(), usual);
    REQUIRE(again);
    CHECK(again->changes.empty());
}

TEST_CASE("what is there stays, and removal brings it back") {
    struct Row {
        std::string name;
        std::string parameter;
        std::string value;
        std::string becomes;
    };
    const Row rows[] = {
        {"another milter", "smtpd_milters", "inet:127.0.0.1:8891",
         "inet:127.0.0.1:8891, " + milter},
        {"a list that ends in a comma", "smtpd_milters", "inet:127.0.0.1:8891,",
         "inet:127.0.0.1:8891, " + milter},
        {"a milter in braces", "smtpd_milters", "{ unix:x, default_action=accept }",
         "{ unix:x, default_action=accept }, " + milter},
        {"the relay check comes before this list", "smtpd_recipient_restrictions",
         "permit_mynetworks, reject_unauth_destination",
         check + ", permit_mynetworks, reject_unauth_destination"},
        {"another policy service", "smtpd_recipient_restrictions",
         "check_policy_service inet:127.0.0.1:10023",
         check + ", check_policy_service inet:127.0.0.1:10023"},
        {"a filter", "smtp_delivery_status_filter", "pcre:/etc/postfix/dsn",
         "pcre:/etc/postfix/dsn, " + table},
    };
    for (const auto& row : rows) {
        CAPTURE(row.name);
        auto postfix = debian();
        postfix.parameters[row.parameter] = row.value;
        const auto plan = plan_setup(postfix, own(), usual);
        REQUIRE(plan);
        const auto changed = after(postfix, *plan);
        CHECK(changed.value(row.parameter) == row.becomes);
        const auto back = after(changed, plan_removal(changed, defaults(), own()));
        CHECK(list_items(back.value(row.parameter)) == list_items(row.value));
        CHECK(plan_removal(back, defaults(), own()).changes.empty());
    }
}

TEST_CASE("the check comes after the relay check where that is not looked at before") {
    struct Row {
        std::string name;
        std::string relay;
        std::string before;  // smtpd_relay_before_recipient_restrictions
        std::string list;
        std::string becomes;
    };
    const Row rows[] = {
        {"no relay restrictions", "", "yes", "permit_mynetworks, reject_unauth_destination, permit",
         "permit_mynetworks, reject_unauth_destination, " + check + ", permit"},
        {"looked at later", "defer_unauth_destination", "no",
         "permit_mynetworks reject_unauth_destination",
         "permit_mynetworks reject_unauth_destination, " + check},
        {"an older Postfix", "defer_unauth_destination", "", "defer_unauth_destination permit",
         "defer_unauth_destination, " + check + " permit"},
        {"no relay check in sight", "", "yes", "permit_mynetworks, reject",
         "permit_mynetworks, reject, " + check},
        {"a word that only ends so", "", "yes", "x_reject_unauth_destination",
         "x_reject_unauth_destination, " + check},
    };
    for (const auto& row : rows) {
        CAPTURE(row.name);
        auto postfix = debian();
        postfix.parameters["smtpd_relay_restrictions"] = row.relay;
        postfix.parameters["smtpd_relay_before_recipient_restrictions"] = row.before;
        postfix.parameters["smtpd_recipient_restrictions"] = row.list;
        const auto plan = plan_setup(postfix, own(), {Hook::policy});
        REQUIRE(plan);
        REQUIRE(plan->changes.size() == 1);
        CHECK(plan->changes[0].value == row.becomes);
    }
}

TEST_CASE("a service with a list of its own is added to, an empty one is left alone") {
    auto postfix = debian();
    postfix.services.push_back(
        {"submission", "inet", true, "smtpd", {{"smtpd_milters", "inet:127.0.0.1:8891"}}});
    postfix.services.push_back({"127.0.0.1:10025", "inet", true, "smtpd", {{"smtpd_milters", ""}}});
    const auto plan = plan_setup(postfix, own(), {Hook::milter});
    REQUIRE(plan);
    REQUIRE(plan->changes.size() == 2);
    // Without blanks, which `postconf -P` does not take.
    CHECK(plan->changes[1] ==
          SetupChange{"submission/inet", "smtpd_milters",
                      "inet:127.0.0.1:8891,{unix:run/postfathom/milter.sock,connect_timeout=3s,"
                      "command_timeout=5s,content_timeout=5s,default_action=accept}",
                      false});
    REQUIRE(plan->notes.size() == 1);
    CHECK(plan->notes[0].find("127.0.0.1:10025/inet") != std::string::npos);
    const auto changed = after(postfix, *plan);
    const auto back = after(changed, plan_removal(changed, defaults(), own()));
    CHECK(back.services == postfix.services);
    CHECK(postconf_arguments(plan->changes[1]).front() == "-P");
}

TEST_CASE("what postconf cannot write is said, with the line to write by hand") {
    auto postfix = debian();
    postfix.services.push_back({"submission",
                                "inet",
                                true,
                                "smtpd",
                                {{"smtpd_milters", "{ unix:x, { default_action = accept } }"}}});
    const auto plan = plan_setup(postfix, own(), {Hook::milter});
    REQUIRE(plan);
    CHECK(plan->changes.size() == 1);
    REQUIRE(plan->notes.size() == 1);
    CHECK(plan->notes[0].find("-o { smtpd_milters = { unix:x, ") != std::string::npos);
}

TEST_CASE("what this Postfix cannot have is refused, with what to do") {
    auto old = debian();
    old.parameters["mail_version"] = "2.11.3";
    CHECK_FALSE(plan_setup(old, own(), usual));
    auto outside = own();
    outside.policy_socket = "/run/postfathom/policy.sock";
    const auto chrooted = plan_setup(debian(), outside, {Hook::policy});
    REQUIRE_FALSE(chrooted);
    CHECK(chrooted.error().message.find("policy.socket") != std::string::npos);
    auto free = debian();
    for (auto& service : free.services) service.chroot = false;
    const auto plan = plan_setup(free, outside, {Hook::policy});
    REQUIRE(plan);
    CHECK(plan->changes[0].value.find("unix:/run/postfathom/policy.sock") != std::string::npos);
    auto without_tables = own();
    without_tables.tables_socket.clear();
    CHECK_FALSE(plan_setup(debian(), without_tables, {Hook::tls}));
}

TEST_CASE("the tables that fail closed come last, with a word of warning") {
    auto postfix = debian();
    postfix.parameters["smtp_tls_policy_maps"] = "hash:/etc/postfix/tls_policy";
    const auto plan = plan_setup(postfix, own(), {Hook::tls, Hook::ehlo});
    REQUIRE(plan);
    CHECK(plan->changes[0].value ==
          "hash:/etc/postfix/tls_policy, socketmap:unix:run/postfathom/tables.sock:tls");
    CHECK(plan->changes[1].value == "socketmap:unix:run/postfathom/tables.sock:ehlo");
    CHECK(plan->notes.size() == 2);
}

TEST_CASE("no change makes TLS weaker, whatever Postfix has") {
    for (const auto level : test::levels) {
        auto postfix = debian();
        postfix.parameters["smtp_tls_security_level"] = to_string(level);
        postfix.parameters["smtp_tls_policy_maps"] = "hash:/etc/postfix/tls_policy";
        const auto plan = plan_setup(
            postfix, own(), {Hook::policy, Hook::milter, Hook::tags, Hook::tls, Hook::ehlo});
        REQUIRE(plan);
        CHECK(plan->changes.size() == 5);
        for (const auto& change : plan->changes) {
            CAPTURE(change.parameter);
            // What postconf(1) writes; the name of the table of EHLO keywords is no keyword.
            CHECK(test::weaker_in(change.value, level) == "");
            CHECK(std::set<std::string>{"smtpd_milters", "smtpd_recipient_restrictions",
                                        "smtp_delivery_status_filter", "smtp_tls_policy_maps",
                                        "smtp_discard_ehlo_keyword_address_maps"}
                      .contains(change.parameter));
        }
    }
}

TEST_CASE("hooks have names") {
    CHECK(parse_hook_name("tags") == Hook::tags);
    CHECK_FALSE(parse_hook_name("dsn"));
    CHECK_FALSE(parse_hook_name(""));
}
