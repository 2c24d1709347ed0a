// SPDX-License-Identifier: Apache-2.0
// Nothing we print may ever lead to weaker TLS, or to packets that may be fragmented: every
// diagnosis against every floor, rendered in full.
#include <doctest/doctest.h>

#include <array>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <optional>
#include <regex>
#include <set>
#include <string>
#include <vector>

#include "cli/story_text.hpp"
#include "lib/diagnosis/check_line.hpp"
#include "lib/diagnosis/mending.hpp"
#include "lib/diagnosis/report.hpp"
#include "lib/suggestion/render.hpp"
#include "tests/unit/diagnosis/random_evidence.hpp"
#include "tests/unit/suggestion/suggestion_builder.hpp"
#include "tests/unit/suggestion/weaker_words.hpp"

using namespace postfathom;
using namespace postfathom::test;

namespace {

void check_text(const std::string& text, TlsFloor floor) {
    CAPTURE(text);
    CAPTURE(to_string(floor));
    CHECK(weaker_in(text, floor) == "");
}

// Why a person does something may name what they leave: "the level goes from may to encrypt".
void check_suggestion(const Suggestion& one, TlsFloor floor, const PublishedTls& published) {
    CAPTURE(to_string(one.kind));
    CHECK(one.tls_floor.level() == std::max(floor.level(), published.level));
    CHECK_FALSE(one.commands.empty());
    CHECK_FALSE(one.verify.empty());
    CHECK_FALSE(one.undo.empty());
    CHECK_FALSE(one.scope.empty());
    CHECK_FALSE(one.why.empty());
    CHECK_FALSE(one.expected.empty());
    CHECK_FALSE(one.risk.empty());
    CHECK_FALSE(one.proof.empty());
    if (one.form == SuggestionForm::postfix_line)
        for (const auto& line : one.commands) {
            CAPTURE(line);
            auto result = line.substr(line.find(' ') + 1);
            if (one.table == "smtp_discard_ehlo_keyword_address_maps") {
                CHECK(result == "pipelining");
            } else {
                REQUIRE(one.table == "smtp_tls_policy_maps");
                const auto level = parse_tls_level(result.substr(0, result.find(' ')));
                REQUIRE(level);
                CHECK(*level >= one.tls_floor.level());
                CHECK(*level >= published.level);
                CHECK(*level > floor.level());
                // Names only beside the level that asks for them.
                const bool named = result.find(" match=") != std::string::npos;
                CHECK(named == (*level == TlsLevel::secure));
            }
        }
}

HostFacts with_settings(HostFacts host) {
    host.has_nft = true;
    host.has_iptables = true;
    host.tcp_mtu_probing = 0;
    host.owner = InterfaceOwner::networkd;
    host.owner_file = "/etc/systemd/network/10-x.network";
    PostfixFacts postfix;
    postfix.values = {{"config_directory", "/etc/postfix"},
                      {"inet_protocols", "all"},
                      {"smtp_tls_policy_maps", "hash:/etc/postfix/tls_policy"},
                      {"smtp_discard_ehlo_keyword_address_maps", ""},
                      {"smtp_tls_session_cache_database", ""},
                      {"smtpd_tls_cert_file", "/etc/letsencrypt/live/x/cert.pem"},
                      {"smtpd_tls_protocols", "!TLSv1.2"},
                      {"smtpd_tls_mandatory_protocols", "TLSv1.3"}};
    postfix.smtp_service = "smtp       unix  -       -       y       -       -       smtp";
    host.postfix = postfix;
    return host;
}

std::vector<SuggestionContext> contexts(const std::string& ip) {
    const bool v4 = address(ip).family() == IpFamily::v4;
    const auto gateway = v4 ? "10.0.0.1" : "fe80::1";
    auto tunnel = plain_host(ip, gateway);
    tunnel.host.interface = "wg0";
    tunnel.host.interface_kind = "wireguard";
    tunnel.host.interface_mtu = PathMtu{8921};
    auto locked = plain_host(ip, gateway);
    locked.host.existing_host_route = ip + " dev eth0 mtu lock 1492";  // bad
    auto imap = plain_host(ip, gateway);
    imap.endpoint.service = Service::imaps;
    auto hostile = plain_host(ip, gateway);
    hostile.next_hop_verbatim = "example.org none";  // bad
    auto unknown = plain_host(ip, gateway);
    unknown.host = HostFacts{};
    auto settled = plain_host(ip, gateway);
    settled.next_hop = parse_next_hop("example.org").value();
    settled.next_hop_verbatim = "example.org";
    settled.host = with_settings(settled.host);
    settled.evidence = conversation({gap(1500), pass(1400)}, ip);
    settled.evidence.handshake->resumes = true;
    settled.clean_ways = {
        {address(v4 ? "10.0.0.7" : "2001:db8::7"), address(ip), PathMtu{1500}, PathMtu{1500}},
        {address(v4 ? "2001:db8::8" : "10.0.0.8"), address(v4 ? "2001:db8::2" : "192.0.2.2"),
         PathMtu{1500}, PathMtu{1500}}};
    auto container = settled;
    container.host.in_container = true;
    container.host.interface_kind = "veth";
    auto own = settled;
    own.host.own = true;
    return {
        plain_host(ip, gateway), tunnel, locked, imap, hostile, unknown, settled, container, own};
}

// All that a person can be shown of it.
std::vector<std::string> all_renderings(const std::vector<Suggestion>& list) {
    std::vector<std::string> texts;
    for (const auto format : {SuggestionFormat::text, SuggestionFormat::json, SuggestionFormat::sh,
                              SuggestionFormat::nft, SuggestionFormat::postfix})
        for (const bool undo : {false, true}) {
            std::vector<std::optional<SuggestionKind>> kinds{std::nullopt};
            if (format == SuggestionFormat::sh || format == SuggestionFormat::nft)
                for (const auto kind : all_suggestion_kinds()) kinds.emplace_back(kind);
            for (const auto kind : kinds)
                if (auto text = render(list, {.format = format,
                                              .kind = kind,
                                              .undo = undo,
                                              .destination = "example.org"}))
                    texts.push_back(std::move(*text));
        }
    return texts;
}

Report report_on(const Evidence& evidence, const Diagnosis& diagnosis,
                 const SuggestionContext& context) {
    Report report;
    report.destination = "[mail.example.org]";
    report.floor = context.floor.level();
    report.diagnosis = diagnosis;
    report.endpoints = {{evidence, {diagnosis, {diagnosis}}}};
    report.published = context.published;
    report.suggestions = suggest(diagnosis, context);
    return report;
}

// How far a connection came is no keyword of EHLO.
std::string without_phases(const std::string& story) {
    static const std::regex phase{"(in[ \\n]+phase|reached)[ \\n]+starttls"};
    return std::regex_replace(story, phase, "");
}

void check_report(const Report& report) {
    for (const auto& one : report.suggestions)
        check_suggestion(one, report.floor, *report.published);
    check_text(to_text(report, false), report.floor);
    const auto json = to_json(report);
    check_text(boost::json::serialize(json), report.floor);
    // postfathom verify, explain and check.
    const auto verification = mending(json, json);
    check_text(without_phases(to_text(verification, false)), report.floor);
    check_text(without_phases(boost::json::serialize(to_json(verification))), report.floor);
    const boost::json::object known{
        {"next_hop", report.destination}, {"verdict", json.at("diagnosis")}, {"report", json}};
    check_text(without_phases(destination_story(known)), report.floor);
    CheckFacts facts{report.destination, report.diagnosis.severity, report.diagnosis.summary};
    take_measures(json, facts);
    check_text(check_line(facts, {}, {}).text, report.floor);
}

}  // namespace

TEST_CASE("the check of this file finds what it is for") {
    constexpr std::array planted{
        "example.org may",                                  // bad
        "postconf -e 'smtp_tls_security_level = encrypt'",  // bad
        "smtp_discard_ehlo_keywords = starttls",            // bad
        "192.0.2.1 pipelining, starttls",                   // bad
        "smtpd_tls_protocols = >=TLSv1",                    // bad
        "ip route replace 192.0.2.1/32 mtu lock 1400",      // bad
        "smtp_tls_policy_maps: example.org none",           // bad
        "disable_esmtp",                                    // bad
        "example.org encrypt protocols=TLSv1",              // bad
        "sysctl -w net.ipv4.ip_no_pmtu_disc=1",             // bad
    };
    for (const char* text : planted) {
        CAPTURE(std::string(text));
        CHECK(weaker_in(text, TlsLevel::encrypt) != "");
    }
    CHECK(weaker_in("example.org encrypt", TlsLevel::may) == "");
    CHECK(weaker_in("smtpd_tls_protocols = >=TLSv1.2", TlsLevel::may) == "");
    CHECK(weaker_in("example.org encrypt", TlsLevel::dane) == "encrypt");
}

// What the owner of a domain may publish.
const std::vector<PublishedTls>& all_published() {
    using Mode = MtaStsPolicy::Mode;
    const MtaStsPolicy enforce{Mode::enforce, {"mx.example.org", "*.example.net"}, {}};
    const MtaStsPolicy testing{Mode::testing, {"mx.example.org"}, {}};
    static const std::vector<PublishedTls> all{
        published_tls({}, {}),
        published_tls(DaneServers{2, 2, 0}, enforce),
        published_tls(DaneServers{2, 1, 0}, {}),
        published_tls(DaneServers{2, 0, 2}, testing),
        published_tls(DaneServers{2, 0, 0}, enforce),
    };
    return all;
}

TEST_CASE("no diagnosis on any floor, whatever is published, leads to weaker TLS") {
    constexpr std::array directions{Direction::inbound, Direction::outbound, Direction::both};
    std::size_t seen = 0;
    std::set<SuggestionKind> made;
    for (const auto* ip : {"192.0.2.1", "2001:db8::1"})
        for (const auto id : all_diagnosis_ids())
            for (const auto floor : levels)
                for (auto context : contexts(ip)) {
                    context.floor = floor;
                    context.published = all_published()[seen % all_published().size()];
                    auto diagnosis = black_hole(1400, ip);
                    diagnosis.id = id;
                    diagnosis.sizes = "segments of 513 bytes";
                    diagnosis.direction = directions[seen++ % directions.size()];
                    const auto evidence = conversation({gap(1500), gap(1420), pass(1400)}, ip);
                    const auto report = report_on(evidence, diagnosis, context);
                    check_report(report);
                    for (const auto& one : report.suggestions) made.insert(one.kind);
                    for (const auto& text : all_renderings(report.suggestions))
                        check_text(text, context.floor);
                }
    // Each kind was among them.
    for (const auto kind : all_suggestion_kinds()) {
        CAPTURE(to_string(kind));
        CHECK(made.contains(kind));
    }
}

TEST_CASE("no evidence on any floor leads to weaker TLS") {
    RandomEvidence random(20261124);
    for (int i = 0; i < 2'000; ++i) {
        auto context = plain_host();
        context.floor = levels[random.below(levels.size())];
        context.published =
            all_published()[random.below(static_cast<std::uint32_t>(all_published().size()))];
        const auto evidence = random.evidence();
        const auto verdict = diagnose(evidence, context.floor);
        Report report = report_on(evidence, verdict.diagnosis, context);
        report.endpoints.front().verdict = verdict;
        check_report(report);
    }
}
