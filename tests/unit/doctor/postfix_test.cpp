// SPDX-License-Identifier: Apache-2.0
// Findings about Postfix's settings, our sockets and the log.
#include <doctest/doctest.h>

#include <algorithm>
#include <string>

#include "lib/doctor/examine.hpp"
#include "tests/unit/doctor/findings.hpp"
#include "tests/unit/suggestion/weaker_words.hpp"

using namespace postfathom;

namespace {

// As on Debian 12 with the hooks that README.md shows.
PostfixConfiguration good() {
    PostfixConfiguration postfix;
    postfix.parameters = {
        {"mail_version", "3.7.11"},
        {"queue_directory", "/var/spool/postfix"},
        {"milter_default_action", "tempfail"},
        {"milter_connect_timeout", "30s"},
        {"milter_command_timeout", "30s"},
        {"milter_content_timeout", "300s"},
        {"smtpd_policy_service_default_action", "451 4.3.5 Server configuration problem"},
        {"smtpd_policy_service_timeout", "100s"},
        {"smtpd_policy_service_try_limit", "2"},
        {"smtpd_milters",
         "inet:127.0.0.1:8891, { unix:run/postfathom/milter.sock, connect_timeout=3s, "
         "command_timeout=5s, content_timeout=5s, default_action=accept }"},
        {"smtpd_recipient_restrictions",
         "reject_unauth_destination, check_policy_service { unix:run/postfathom/policy.sock, "
         "timeout=3s, try_limit=1, default_action=DUNNO }"},
        {"smtp_delivery_status_filter", "socketmap:unix:run/postfathom/dsn.sock:dsn"},
        {"smtp_tls_security_level", "encrypt"},
        {"smtp_tls_loglevel", "1"},
        {"minimal_backoff_time", "300s"}};
    postfix.services = {{"smtp", "inet", true, "smtpd", {}}, {"smtp", "unix", true, "smtp", {}}};
    return postfix;
}

DoctorFacts facts_of_a_host() {
    const std::string below = "/var/spool/postfix/run/postfathom/";
    DoctorFacts facts;
    facts.own = {below + "policy.sock", "", below + "dsn.sock", "", below + "milter.sock",
                 "/var/log/mail.log"};
    return facts;
}

std::vector<Finding> with(const std::string& parameter, const std::string& value,
                          DoctorFacts facts = facts_of_a_host()) {
    facts.postfix = good();
    facts.postfix->parameters[parameter] = value;
    return examine(facts);
}

SocketFacts socket(SocketState state, std::vector<FileMode> way = {}) {
    return {"policy.socket",
            "postfathom-policyd",
            "/var/spool/postfix/run/postfathom/policy.sock",
            true,
            state,
            std::move(way)};
}

}  // namespace

TEST_CASE("hooks as README.md has them are in order") {
    auto facts = facts_of_a_host();
    facts.postfix = good();
    const auto findings = examine(facts);
    for (const auto& finding : findings) {
        CAPTURE(finding.what);
        CHECK(finding.severity == Severity::ok);
    }
    CHECK(find(findings, "hooks") != nullptr);
}

TEST_CASE("what is wrong with a hook") {
    struct Row {
        std::string parameter;
        std::string value;
        std::string finding;
        Severity severity;
    };
    const Row rows[] = {
        {"smtpd_milters", "unix:run/postfathom/milter.sock", "milter-default-action",
         Severity::critical},
        {"smtpd_milters", "{ unix:run/postfathom/milter.sock, default_action=accept }",
         "milter-timeout", Severity::warning},
        {"non_smtpd_milters", "unix:run/postfathom/milter.sock", "milter-default-action",
         Severity::critical},
        {"smtpd_milters",
         "{ unix:/srv/postfathom/milter.sock, connect_timeout=3s, command_timeout=5s, "
         "content_timeout=5s, default_action=accept }",
         "hook-path", Severity::warning},  // smtpd is chrooted, and the socket elsewhere
        {"smtpd_milters", "inet:127.0.0.1:8891", "hooks-unused", Severity::notice},
        {"smtpd_recipient_restrictions", "check_policy_service unix:run/postfathom/policy.sock",
         "policy-default-action", Severity::critical},
        {"smtpd_recipient_restrictions",
         "check_policy_service { unix:run/postfathom/policy.sock, default_action=dunno }",
         "policy-timeout", Severity::warning},
        {"smtpd_data_restrictions", "check_policy_service unix:run/postfathom/policy.sock",
         "policy-default-action", Severity::critical},
        {"smtpd_recipient_restrictions", "permit", "hooks-unused", Severity::notice},
        {"smtp_delivery_status_filter",
         "socketmap:unix:/var/spool/postfix/run/postfathom/dsn.sock:dsn", "hook-path",
         Severity::warning},
        {"smtp_delivery_status_filter", "pcre:/etc/postfix/dsn", "hooks-unused", Severity::notice},
        {"smtp_tls_policy_maps", "socketmap:unix:run/postfathom/tables.sock:tls", "table-closed",
         Severity::critical},  // tables.socket is not set
    };
    for (const auto& row : rows) {
        CAPTURE(row.parameter);
        CAPTURE(row.value);
        const auto findings = with(row.parameter, row.value);
        const auto* finding = find(findings, row.finding);
        REQUIRE(finding != nullptr);
        CHECK(finding->severity == row.severity);
        CHECK_FALSE(finding->why.empty());
        CHECK_FALSE(finding->mend.empty());
        CHECK(find(findings, "hooks") == nullptr);
    }
}

TEST_CASE("a hook that a service of master.cf has is looked at as well") {
    auto facts = facts_of_a_host();
    facts.postfix = good();
    facts.postfix->services.push_back({"submission",
                                       "inet",
                                       true,
                                       "smtpd",
                                       {{"smtpd_milters", "unix:run/postfathom/milter.sock"}}});
    const auto findings = examine(facts);
    const auto* finding = find(findings, "milter-default-action");
    REQUIRE(finding != nullptr);
    CHECK(finding->what.find("submission/inet") != std::string::npos);
}

TEST_CASE("the table that fails closed is in order while its socket listens") {
    for (const auto state : {SocketState::listens, SocketState::dead}) {
        auto facts = facts_of_a_host();
        facts.own.tables_socket = "/var/spool/postfix/run/postfathom/tables.sock";
        facts.sockets = {
            {"tables.socket", "postfathom-policyd", facts.own.tables_socket, true, state, {}}};
        const auto findings =
            with("smtp_tls_policy_maps", "socketmap:unix:run/postfathom/tables.sock:tls", facts);
        CHECK((find(findings, "table-closed") == nullptr) == (state == SocketState::listens));
    }
}

TEST_CASE("TLS levels and logs of Postfix") {
    struct Row {
        std::string parameter;
        std::string value;
        std::string finding;
        Severity severity;
    };
    const Row rows[] = {
        {"smtp_tls_security_level", "", "clear-text", Severity::warning},
        {"smtp_tls_security_level", "may", "clear-text-fall-back", Severity::warning},
        {"smtp_tls_security_level", "dane", "tls-level", Severity::ok},
        {"smtp_tls_loglevel", "0", "tls-log-level", Severity::notice},
        {"maillog_file", "/var/log/postfix.log", "log-place", Severity::warning},
        {"maillog_file", "/var/log/mail.log", "log-service", Severity::warning},
        {"mail_version", "2.11.3", "postfix-version", Severity::warning},
    };
    for (const auto& row : rows) {
        CAPTURE(row.value);
        const auto findings = with(row.parameter, row.value);
        REQUIRE(find(findings, row.finding) != nullptr);
        CHECK(find(findings, row.finding)->severity == row.severity);
    }
}

TEST_CASE("Postfix's user has to pass every directory and to write to the socket") {
    const auto& path = socket(SocketState::listens).path;
    struct Row {
        std::string name;
        FileMode directory;
        FileMode socket;
        bool may;
    };
    const FileMode open{"/var/spool/postfix/run/postfathom", 990, 33, 0750};
    const Row rows[] = {
        {"by the group", open, {path, 990, 33, 0660}, true},
        {"by anyone",
         {"/var/spool/postfix/run/postfathom", 0, 0, 0755},
         {path, 990, 990, 0666},
         true},
        {"another group", open, {path, 990, 990, 0660}, false},
        {"the group may only read", open, {path, 990, 33, 0640}, false},
        {"the directory is closed",
         {"/var/spool/postfix/run/postfathom", 990, 990, 0750},
         {path, 990, 33, 0660},
         false},
    };
    for (const auto& row : rows) {
        CAPTURE(row.name);
        auto facts = facts_of_a_host();
        facts.postfix = good();
        facts.postfix_account = Account{"postfix", 101, {33}};
        facts.sockets = {
            socket(SocketState::listens, {{"/", 0, 0, 0755}, row.directory, row.socket})};
        const auto findings = examine(facts);
        CHECK((find(findings, "socket-permission") == nullptr) == row.may);
        CHECK((find(findings, "daemons") != nullptr) == row.may);
    }
}

TEST_CASE("sockets that do not answer, or where chrooted services cannot go") {
    auto facts = facts_of_a_host();
    facts.postfix = good();
    facts.sockets = {socket(SocketState::dead), socket(SocketState::listens)};
    CHECK(find(examine(facts), "daemon-down")->severity == Severity::warning);
    facts.sockets = {socket(SocketState::absent)};
    CHECK(find(examine(facts), "daemons")->severity == Severity::notice);
    facts.sockets = {socket(SocketState::denied)};
    CHECK(find(examine(facts), "socket")->severity == Severity::unknown);
    facts.sockets = {socket(SocketState::listens)};
    facts.sockets->front().path = "/run/postfathom/policy.sock";
    CHECK(find(examine(facts), "socket-outside-chroot") != nullptr);
    for (auto& service : facts.postfix->services) service.chroot = false;
    CHECK(find(examine(facts), "socket-outside-chroot") == nullptr);
}

TEST_CASE("the log has to be there and to be readable by the prober") {
    struct Row {
        std::string name;
        bool exists;
        std::uint32_t mode;
        std::string finding;
    };
    for (const auto& row :
         {Row{"missing", false, 0, "log-missing"}, Row{"for its group", true, 0640, "log"},
          Row{"for root alone", true, 0600, "log-unreadable"}}) {
        CAPTURE(row.name);
        auto facts = facts_of_a_host();
        facts.prober = DaemonFacts{POSTFATHOM_VERSION, Account{"postfathom", 990, {990, 4}}, 0};
        facts.log = LogFacts{"/var/log/mail.log",
                             row.exists,
                             {{"/", 0, 0, 0755}, {"/var/log/mail.log", 0, 4, row.mode}}};
        CHECK(find(examine(facts), row.finding) != nullptr);
    }
}

TEST_CASE("a daemon of another version was not restarted") {
    DoctorFacts facts;
    facts.prober = DaemonFacts{"0.0.9", {}, 0};
    CHECK(find(examine(facts), "versions")->severity == Severity::warning);
    facts.prober->version = POSTFATHOM_VERSION;
    CHECK(find(examine(facts), "versions")->severity == Severity::ok);
}

TEST_CASE("nothing that mends a host makes its TLS weaker") {
    for (const auto level : test::levels)
        for (const std::string table : {"", "hash:/etc/postfix/tls_policy"}) {
            auto facts = facts_of_a_host();
            facts.postfix = good();
            facts.postfix->parameters["smtp_tls_security_level"] = to_string(level);
            facts.postfix->parameters["smtp_tls_policy_maps"] = table;
            facts.postfix->parameters["smtp_tls_loglevel"] = "0";
            facts.kernel = KernelFacts{0, 1, {}, {}};
            KernelRoute route{"203.0.113.6", "eth0", "", 1400};
            auto locked = route;
            locked.mtu_locked = true;
            facts.links = LinkFacts{{}, {route, locked}};
            for (const auto& finding : examine(facts))
                for (const auto& line : finding.mend) {
                    CAPTURE(line);
                    CHECK(test::weaker_in(line, level) == "");
                }
        }
}
