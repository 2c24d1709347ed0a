// SPDX-License-Identifier: Apache-2.0
// Ports and addresses of one host side by side.
#include "lib/diagnosis/comparison.hpp"

#include <doctest/doctest.h>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

#include "lib/base/text.hpp"
#include "tests/unit/diagnosis/evidence_builder.hpp"

using namespace postfathom;
using namespace postfathom::test;

namespace {

constexpr const char* v4 = "192.0.2.1";
constexpr const char* v6 = "2001:db8::1";

Report at(Service service, const std::string& ip, Evidence evidence) {
    evidence.endpoint = {address(ip), default_port(service), service, "mail.example.org"};
    Report report;
    report.endpoints.push_back({evidence, diagnose(evidence, TlsLevel::may)});
    report.diagnosis = report.endpoints.front().verdict.diagnosis;
    return report;
}

Evidence well() {
    auto evidence = conversation({pass(1500)});
    evidence.timings = {{Phase::handshake, 0.25}};
    evidence.inbound.path_mtu = PathMtu{1500};
    evidence.outbound = {PathMtu{1500}, true};
    return evidence;
}
Evidence hole() {
    auto evidence =
        conversation({gap(1500), pass(1280), pass(1400), gap(1401), gap(1500), pass(1400)});
    evidence.inbound = {PathMtu{1400}, true};
    return evidence;
}
Evidence mute() { return conversation({silent(1500), silent(1280), silent(576)}); }
Evidence unclear() { return conversation({silent(1500)}); }
Evidence closed() { return ended(Phase::connect, Outcome::refused); }
Evidence filtered() { return ended(Phase::connect, Outcome::timed_out); }
Evidence without_starttls() { return ended(Phase::starttls, Outcome::not_offered); }
Evidence with(Evidence evidence, const std::string& subject) {
    evidence.handshake->certificate->subject = subject;
    return evidence;
}

std::string ids(const Comparison& comparison) {
    std::string text;
    for (const auto& statement : comparison.statements)
        text += (text.empty() ? "" : " ") + statement.id;
    return text;
}

bool says(const Comparison& comparison, std::string_view words) {
    for (const auto& statement : comparison.statements)
        if (statement.text.find(words) != std::string::npos) return true;
    return false;
}

}  // namespace

TEST_CASE("what differs between ports and families says where the fault is") {
    using enum Service;
    struct Row {
        const char* what;
        std::vector<Report> reports;
        const char* ids;
        const char* words;
        DiagnosisId worst;
        int exit;
    };
    const Row rows[] = {
        {"all well",
         {at(smtp, v4, well()), at(imaps, v6, well())},
         "all-alike",
         "All open ports are well",
         DiagnosisId::healthy,
         0},
        {"one open",
         {at(smtp, v4, well()), at(imap, v4, closed())},
         "all-alike",
         "One port",
         DiagnosisId::healthy,
         0},
        {"nothing open",
         {at(smtp, v4, closed()), at(imap, v4, filtered())},
         "nothing-open",
         "None of these ports",
         DiagnosisId::refused,
         2},
        {"a hole everywhere",
         {at(smtp, v4, hole()), at(smtps, v4, hole()), at(imap, v4, closed())},
         "same-everywhere",
         "pmtu-black-hole inbound, path MTU 1400",
         DiagnosisId::pmtu_black_hole,
         2},
        {"only IPv6",
         {at(smtp, v4, well()), at(smtp, v6, hole())},
         "only-ipv6-ill",
         "Only IPv6 is ill (pmtu-black-hole",
         DiagnosisId::pmtu_black_hole,
         2},
        {"only IPv4, two ports",
         {at(smtp, v4, mute()), at(smtp, v6, well()), at(imap, v4, mute()), at(imap, v6, well())},
         "only-ipv4-ill",
         "Only IPv4 is ill (peer-stall): over IPv6 the same ports are well",
         DiagnosisId::peer_stall,
         2},
        {"only IPv6 on one of its ports",
         {at(smtp, v4, well()), at(smtp, v6, hole()), at(smtps, v4, well()), at(smtps, v6, well())},
         "only-ipv6-ill",
         "on port 25 (smtp)",
         DiagnosisId::pmtu_black_hole,
         2},
        {"STARTTLS stalls, implicit TLS works",
         {at(smtp, v4, mute()), at(smtps, v4, well())},
         "implicit-tls-spared",
         "implicit TLS on port 465 (smtps) works while STARTTLS on port 25 (smtp) does not",
         DiagnosisId::peer_stall,
         2},
        {"STARTTLS is not offered on 25 alone",
         {at(smtp, v4, without_starttls()), at(imaps, v4, well())},
         "implicit-tls-spared",
         "starttls-missing",
         DiagnosisId::starttls_missing,
         1},
        {"implicit TLS stalls, STARTTLS works",
         {at(smtp, v4, well()), at(smtps, v4, mute())},
         "starttls-spared",
         "STARTTLS on port 25 (smtp) works",
         DiagnosisId::peer_stall,
         2},
        {"one of two STARTTLS ports",
         {at(smtp, v4, mute()), at(submission, v4, well())},
         "some-ports-ill",
         "port 25 (smtp) is ill (peer-stall) and port 587 (submission) is well",
         DiagnosisId::peer_stall,
         2},
        {"two troubles and nothing well",
         {at(smtp, v4, mute()), at(smtps, v4, hole())},
         "ill",
         "Ill: port 25 (smtp) and 465 (smtps)",
         DiagnosisId::peer_stall,
         2},
        {"one that could not be judged",
         {at(smtp, v4, unclear()), at(smtps, v4, well())},
         "unclear",
         "Port 25 (smtp) could not be judged",
         DiagnosisId::inconclusive,
         3},
        {"closed over IPv6 only",
         {at(smtp, v4, well()), at(smtp, v6, filtered())},
         "closed-at-one-address",
         "not at 2001:db8::1 (unreachable)",
         DiagnosisId::healthy,
         0},
        {"another certificate",
         {at(smtp, v4, well()), at(imaps, v4, with(well(), "CN=other"))},
         "certificate-differs",
         "CN=other until",
         DiagnosisId::healthy,
         0},
    };
    for (const auto& row : rows) {
        CAPTURE(row.what);
        const auto comparison = compare(row.reports);
        CHECK(ids(comparison) == row.ids);
        CHECK(says(comparison, row.words));
        CHECK(comparison.diagnosis.id == row.worst);
        CHECK(exit_status(comparison.diagnosis) == row.exit);
        CHECK(comparison.endpoints.size() == row.reports.size());
    }
}

TEST_CASE("path MTUs and TLS versions that differ are told, unknown ones are not") {
    auto smaller = well();
    smaller.attempts.front() = pass(1420);
    smaller.outbound.path_mtu = PathMtu{1420};
    smaller.handshake->protocol = "TLSv1.2";
    const auto differ = compare({at(Service::smtp, v4, well()), at(Service::smtp, v6, smaller)});
    CHECK(ids(differ) == "path-mtu-differs path-mtu-differs protocol-differs");
    CHECK(
        says(differ, "inbound path MTU differs: 1420 over IPv6 at port 25 (smtp), 1500 over IPv4"));
    CHECK(says(differ, "outbound"));

    auto at_least = well();
    at_least.attempts.front() = pass_with(1500, 1280);
    at_least.inbound.path_mtu = PathMtu{1280};
    at_least.outbound = {PathMtu{1280}, false};
    CHECK(ids(compare({at(Service::smtp, v4, well()), at(Service::smtp, v6, at_least)})) ==
          "all-alike");
}

TEST_CASE("a report without endpoints has nothing to compare") {
    const auto comparison = compare({Report{}});
    CHECK(comparison.endpoints.empty());
    CHECK(comparison.statements.empty());
    CHECK(exit_status(comparison.diagnosis) == 3);
}

TEST_CASE("the table has a line for each endpoint, and no line is too long") {
    const std::vector<Report> reports{
        at(Service::smtp, v4, hole()),
        at(Service::smtp, "2001:db8:1111:2222:3333:4444:5555:6666", well()),
        at(Service::imap, v4, closed()), at(Service::imaps, v4, mute())};
    const auto comparison = compare(reports);
    const auto text = to_text("mail.example.org", comparison, false);
    CHECK(text.starts_with("mail.example.org: CRITICAL: "));
    for (const auto line : split(text, '\n')) CHECK(line.size() <= 100);
    CHECK(text.find("closed (refused)") != std::string::npos);
    CHECK(text.find("1500") != std::string::npos);
    CHECK(text.find("0.25 s") != std::string::npos);
    CHECK(to_text("x\x1b[2J", comparison, false).find('\x1b') == std::string::npos);

    const auto json = to_json("mail.example.org", reports, comparison);
    CHECK(json.at("reports").as_array().size() == 4);
    const auto& rows = json.at("comparison").at("endpoints").as_array();
    REQUIRE(rows.size() == 4);
    CHECK(rows[0].at("inbound").to_number<int>() == 1400);
    CHECK(rows[2].at("open").as_bool() == false);
    CHECK(rows[2].at("inbound").is_null());
}
