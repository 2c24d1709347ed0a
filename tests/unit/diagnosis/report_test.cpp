// SPDX-License-Identifier: Apache-2.0
// The report as data, against golden files, and as text for a person.
// POSTFATHOM_UPDATE_GOLDEN=1 in the environment writes the golden files anew: read the difference
// then.
#include <doctest/doctest.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "lib/diagnosis/report.hpp"
#include "tests/unit/diagnosis/random_evidence.hpp"
#include "tests/unit/suggestion/suggestion_builder.hpp"

using namespace postfathom;
using namespace postfathom::test;
namespace json = boost::json;

namespace {

Report report_on(Evidence evidence, const SuggestionContext& context) {
    Report report;
    report.destination = to_string(context.next_hop);
    report.floor = context.floor;
    const auto verdict = diagnose(evidence, context.floor);
    report.suggestions = suggest(verdict.diagnosis, context);
    report.endpoints.push_back({std::move(evidence), verdict});
    report.diagnosis = worst(report.endpoints, Diagnosis{});
    return report;
}

Evidence incident() {
    auto evidence =
        conversation({gap(8921), gap(1500), pass(1280), pass(1400), gap(1420), gap(1401)});
    evidence.vantage = {address("10.30.0.1"), "wg0", PathMtu{8921}, PathMtu{8921}};
    evidence.timings = {{Phase::connect, 0.031},
                        {Phase::greeting, 0.062},
                        {Phase::ehlo, 0.031},
                        {Phase::starttls, 0.031},
                        {Phase::handshake, 1.1}};
    evidence.inbound = {PathMtu{1400}, true};
    for (auto& one : evidence.attempts) one.seconds = 0.2;
    auto& counters = evidence.attempts.front().counters;
    counters.advertised_mss = 8869;
    counters.received_mss = 929;
    counters.bytes_received = 312;
    counters.out_of_order_segments = 1;
    counters.rtt_microseconds = 30100;
    auto& certificate = *evidence.handshake->certificate;
    certificate.self_signed = true;
    certificate.verify_code = 18;
    certificate.verify_text = "self-signed certificate";
    certificate.issuer = certificate.subject;
    return evidence;
}

Evidence healthy_v6() {
    auto evidence = conversation({pass(1500)}, "2001:db8::1");
    evidence.vantage = {address("2001:db8::25"), "eth0", PathMtu{1500}, PathMtu{1500}};
    evidence.timings = {{Phase::connect, 0.03}, {Phase::handshake, 0.05}};
    return evidence;
}

Report unresolved() {
    Evidence evidence;
    evidence.reached = Phase::resolve;
    evidence.outcome = Outcome::name_error;
    evidence.endpoint.name = "nowhere.example.org";
    Report report;
    report.destination = "nowhere.example.org";
    report.diagnosis = diagnose(evidence, TlsLevel::may).diagnosis;
    return report;
}

// Other writers of JSON print 1.0 as 1; a reader does not care.
json::value whole_numbers_alike(json::value value) {
    if (value.is_double() && value.as_double() == std::floor(value.as_double()))
        return static_cast<std::int64_t>(value.as_double());
    if (auto* array = value.if_array())
        for (auto& element : *array) element = whole_numbers_alike(element);
    if (auto* object = value.if_object())
        for (auto& member : *object) member.value() = whole_numbers_alike(member.value());
    return value;
}

void check_golden(const std::string& name, const Report& report) {
    const std::string path =
        std::string{POSTFATHOM_SOURCE_DIR} + "/tests/data/report/" + name + ".json";
    const auto found = whole_numbers_alike(to_json(report));
    if (std::getenv("POSTFATHOM_UPDATE_GOLDEN"))
        std::ofstream{path} << json::serialize(found) << '\n';
    std::ifstream file{path};
    REQUIRE_MESSAGE(file, path << " is missing");
    std::stringstream text;
    text << file.rdbuf();
    CHECK(json::serialize(found) == json::serialize(whole_numbers_alike(json::parse(text.str()))));
}

std::size_t longest_line(const std::string& text) {
    std::size_t longest = 0;
    for (std::size_t at = 0; at < text.size();) {
        const auto end = std::min(text.find('\n', at), text.size());
        longest = std::max(longest, end - at);
        at = end + 1;
    }
    return longest;
}

bool plain_ascii(const std::string& text) {
    for (const char c : text)
        if (c != '\n' && (c < ' ' || c > '~')) return false;
    return true;
}

}  // namespace

TEST_CASE("reports are the golden files") {
    check_golden("black-hole", report_on(incident(), behind_tunnel()));
    check_golden("healthy-ipv6", report_on(healthy_v6(), plain_host("2001:db8::1", "fe80::1")));
    check_golden("mute-server",
                 report_on(conversation({silent(1500), silent(1280), silent(576)}), plain_host()));
    check_golden("refused", report_on(ended(Phase::connect, Outcome::refused), plain_host()));
    check_golden("name-error", unresolved());
}

TEST_CASE("the schema is complete, and what is unknown is null") {
    const auto full = to_json(report_on(incident(), behind_tunnel()));
    const auto& endpoint = full.at("endpoints").as_array()[0].as_object();
    CHECK(full.at("schema") == 1);
    CHECK(endpoint.at("address") == "192.0.2.1");
    CHECK(endpoint.at("vantage").at("interface_mtu") == 8921);
    CHECK(endpoint.at("path_mtu").at("inbound") == 1400);
    CHECK(endpoint.at("path_mtu").at("inbound_exact") == true);
    CHECK(endpoint.at("path_mtu").at("outbound").is_null());
    CHECK(endpoint.at("path_mtu").at("discovery_works") == false);
    CHECK(endpoint.at("handshake").at("outcome") == "stalled");
    CHECK(endpoint.at("handshake").at("reached") == "client-hello-sent");
    CHECK(endpoint.at("handshake").at("certificate").at("self_signed") == true);
    CHECK(endpoint.at("attempts").as_array().size() == 6);
    CHECK(endpoint.at("findings").as_array().size() == 2);
    CHECK(endpoint.at("cost").at("connections") == 6);
    CHECK(full.at("diagnosis").at("id") == "pmtu-black-hole");
    CHECK(full.at("suggestions").as_array()[1].at("proven") == true);

    const auto bare = to_json(report_on(ended(Phase::connect, Outcome::refused), plain_host()));
    const auto& refused = bare.at("endpoints").as_array()[0].as_object();
    for (const char* key : {"source", "interface", "interface_mtu", "route_mtu"})
        CHECK(refused.at("vantage").at(key).is_null());
    CHECK(refused.at("path_mtu").at("inbound").is_null());
    CHECK(refused.at("path_mtu").at("discovery_works").is_null());
    CHECK(refused.at("handshake").at("protocol").is_null());
    CHECK(refused.at("handshake").at("certificate").is_null());
    CHECK(bare.at("diagnosis").at("usable_mss").is_null());
}

TEST_CASE("the report of any evidence is valid JSON and plain text of at most 100 columns") {
    RandomEvidence random(99);
    for (int i = 0; i < 1'000; ++i) {
        auto evidence = random.evidence();
        evidence.reply = std::string(random.below(400), '\x1b') + "421 \xff\n later";
        if (evidence.handshake) evidence.handshake->tls_error = std::string(500, 'e');
        const auto report = report_on(std::move(evidence), behind_tunnel());
        boost::json::error_code failed;
        json::parse(json::serialize(to_json(report)), failed);
        CHECK_FALSE(failed);
        const auto text = to_text(report, false);
        CHECK(plain_ascii(text));
        CHECK(longest_line(text) <= 100);
        CHECK(text.starts_with("[mail.example.org]: "));
    }
}

TEST_CASE("the text report says the verdict first, then the evidence, then what to do") {
    const auto report = report_on(incident(), behind_tunnel());
    const auto text = to_text(report, false);
    const char* in_this_order[] = {
        "[mail.example.org]: CRITICAL: pmtu-black-hole inbound, path MTU 1400, MSS 1360 works\n",
        "Confidence 99 %. Ruled out: peer-stall, lossy-path",
        "mail.example.org[192.0.2.1]:25 (smtp), from 10.30.0.1 on wg0, MTU 8921\n",
        "Path MTU      1400 bytes from the server to us; larger packets vanish",
        "Sizes tried   1280 passed, 1400 passed, 1401 stalled (gap), 1420 stalled (gap)",
        "TLS           TLSv1.3, TLS_AES_256_GCM_SHA384, X25519\n",
        "NOTICE        certificate-self-signed: ",
        "Cost          6 connections, 1.3 s\n",
        "What to do, best first\n",
        "1. tunnel-mtu: this host, every destination behind wg0; only this one was tried ",
        "proven by a",
        "        ip link set dev wg0 mtu 1400\n",
        "        ip route replace 192.0.2.1/32 via 10.30.0.254 dev wg0 mtu 1400\n",
        "     Undo:\n",
        "        [mail.example.org] encrypt\n",
    };
    std::size_t at = 0;
    for (const char* part : in_this_order) {
        INFO(std::string{part});
        const auto found = text.find(part, at);
        CHECK(found != std::string::npos);
        if (found != std::string::npos) at = found;
    }
    CHECK(text.find('\x1b') == std::string::npos);
    CHECK(to_text(report, true).find("\x1b[1;31m") != std::string::npos);
}

TEST_CASE("a size that is known in one direction only is labelled like any other") {
    auto evidence = conversation({silent(1500), silent(1280), silent(576)});
    evidence.outbound.path_mtu = PathMtu{1500};
    evidence.outbound.exact = true;
    const auto text = to_text(report_on(evidence, plain_host()), false);
    CHECK(text.find("\n  Path MTU      1500 bytes from us to the server") != std::string::npos);
}

TEST_CASE("a long command goes on in the next line as a shell reads it, quotes whole") {
    const auto ip = "2001:db8:1111:2222:3333:4444:5555:6666";
    const auto report =
        report_on(conversation({gap(1500), gap(1420), pass(1400)}, ip), plain_host(ip, "fe80::1"));
    const auto text = to_text(report, false);
    CHECK(longest_line(text) <= 100);
    CHECK(text.find(" \\\n            ") != std::string::npos);
    CHECK(text.find("'{ type filter hook forward priority mangle; }'") != std::string::npos);
}

TEST_CASE("the worst endpoint speaks for the destination, the first of equals") {
    const auto at = [](DiagnosisId id, Severity severity, const char* summary) {
        EndpointReport report;
        report.verdict.diagnosis.id = id;
        report.verdict.diagnosis.severity = severity;
        report.verdict.diagnosis.summary = summary;
        return report;
    };
    Diagnosis none;
    none.summary = "no endpoint";
    CHECK(worst({}, none).summary == "no endpoint");
    const std::vector<EndpointReport> endpoints{
        at(DiagnosisId::healthy, Severity::ok, "a"),
        at(DiagnosisId::refused, Severity::critical, "b"),
        at(DiagnosisId::inconclusive, Severity::unknown, "c"),
        at(DiagnosisId::peer_stall, Severity::critical, "d")};
    CHECK(worst(endpoints, none).summary == "b");
}

TEST_CASE(
    "an address of a family that this host lacks does not speak for a destination with others") {
    const auto at = [](DiagnosisId id, Severity severity) {
        EndpointReport report;
        report.verdict.diagnosis.id = id;
        report.verdict.diagnosis.severity = severity;
        return report;
    };
    const auto no_way = at(DiagnosisId::no_route, Severity::critical);
    const auto well = at(DiagnosisId::healthy, Severity::ok);
    const auto stalled = at(DiagnosisId::peer_stall, Severity::critical);
    CHECK(worst({no_way, well}, {}).id == DiagnosisId::healthy);
    CHECK(worst({well, no_way}, {}).id == DiagnosisId::healthy);
    CHECK(worst({no_way, no_way, well, stalled}, {}).id == DiagnosisId::peer_stall);
    CHECK(worst({stalled, no_way}, {}).id == DiagnosisId::peer_stall);
    CHECK(worst({no_way, no_way}, {}).id == DiagnosisId::no_route);
}

TEST_CASE("exit status follows the monitoring convention") {
    Diagnosis diagnosis;
    for (const auto& [severity, status] : {std::pair{Severity::ok, 0},
                                           {Severity::notice, 0},
                                           {Severity::warning, 1},
                                           {Severity::critical, 2},
                                           {Severity::unknown, 3}}) {
        diagnosis.severity = severity;
        CHECK(exit_status(diagnosis) == status);
    }
}

TEST_CASE("the text report tells what was allowed from what arrived") {
    const auto report =
        report_on(conversation({pass_with(1500, 1420), pass_with(1300, 1300)}), behind_tunnel());
    CHECK(to_text(report, false).find("1300 passed, 1500 allowed and 1420 passed") !=
          std::string::npos);
}
