// SPDX-License-Identifier: Apache-2.0
// What postconf prints, as postconf 3.7 on Debian 12 does.
#include "lib/postfix/configuration.hpp"

#include <doctest/doctest.h>

#include <string>

using namespace postfathom;

TEST_CASE("parameters are read from what postconf prints, whatever their values hold") {
    const auto parameters = parse_parameters(
        "mail_version = 3.7.11\nsmtpd_milters =\nbroken line\n"
        "virtual_alias_maps = inline:{ a=b }, hash:/etc/x\n");
    CHECK(parameters.size() == 3);
    CHECK(parameters.at("mail_version") == "3.7.11");
    CHECK(parameters.at("smtpd_milters").empty());
    CHECK(parameters.at("virtual_alias_maps") == "inline:{ a=b }, hash:/etc/x");
    CHECK(PostfixConfiguration{parameters, {}}.value("nothing").empty());
}

TEST_CASE("services are read with their chroot setting and their options") {
    const auto services = parse_services(
        "smtp       inet  n       -       y       -       -       smtpd\n"
        "relay      unix  -       -       -       -       -       smtp -o syslog_name=postfix/r "
        "-o { smtpd_milters = { unix:a, default_action=accept } }\n"
        "too few columns\n");
    REQUIRE(services.size() == 2);
    CHECK(services[0].chroot);
    CHECK(services[0].program == "smtpd");
    CHECK_FALSE(services[1].chroot);
    CHECK(services[1].options.at("syslog_name") == "postfix/r");
    CHECK(services[1].options.at("smtpd_milters") == "{ unix:a, default_action=accept }");
}

TEST_CASE("a list has one item for what stands in braces") {
    using Items = std::vector<std::string>;
    CHECK(list_items("a, b  c,,d") == Items{"a", "b", "c", "d"});
    CHECK(list_items("check_policy_service { unix:x, timeout=3s }, permit") ==
          Items{"check_policy_service", "{ unix:x, timeout=3s }", "permit"});
    CHECK(list_items("{ never closed, b") == Items{"{ never closed, b"});
    CHECK(list_items(" ,\t").empty());
}

TEST_CASE("a hook is read with and without braces") {
    CHECK(parse_hook("unix:run/x.sock").endpoint == "unix:run/x.sock");
    const auto hook =
        parse_hook("{ inet:127.0.0.1:1, Default_Action=accept,{ connect_timeout = 2s } }");
    CHECK(hook.endpoint == "inet:127.0.0.1:1");
    CHECK(hook.attributes.at("default_action") == "accept");
    CHECK(hook.attributes.at("connect_timeout") == "2s");
    CHECK(parse_hook("{}").endpoint.empty());
}

TEST_CASE("times have units") {
    CHECK(parse_postfix_time("30") == 30.0);
    CHECK(parse_postfix_time("5m") == 300.0);
    CHECK(parse_postfix_time("1h") == 3600.0);
    CHECK(parse_postfix_time("2", 'd') == 172800.0);
    CHECK_FALSE(parse_postfix_time("fast"));
    CHECK_FALSE(parse_postfix_time("3sec"));
}

TEST_CASE("versions compare by their first two numbers") {
    CHECK(parse_postfix_version("3.7.11") == PostfixVersion{3, 7});
    CHECK(parse_postfix_version("3.12-20260821") == PostfixVersion{3, 12});
    CHECK(parse_postfix_version("3.7.11") < parse_postfix_version("3.10.1"));
    CHECK(parse_postfix_version("unknown") == PostfixVersion{});
    CHECK(parse_postfix_version("3.-2") == PostfixVersion{});
}

TEST_CASE("a socket's path is one below the queue directory when it is relative or chrooted") {
    CHECK(socket_file("run/a", "/q", false) == "/q/run/a");
    CHECK(socket_file("run/a", "/q", true) == "/q/run/a");
    CHECK(socket_file("/run/a", "/q", true) == "/q/run/a");
    CHECK(socket_file("/run/a", "/q", false) == "/run/a");
}
