// SPDX-License-Identifier: Apache-2.0
// Nothing we print may ever lead to weaker TLS, or to packets that may be fragmented: every
// diagnosis against every floor, rendered in full.
#include <doctest/doctest.h>

#include <array>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <string>

#include "lib/diagnosis/report.hpp"
#include "tests/unit/diagnosis/random_evidence.hpp"
#include "tests/unit/diagnosis/suggestion_builder.hpp"

using namespace postfathom;
using namespace postfathom::test;

namespace {

constexpr std::array levels{TlsLevel::none,        TlsLevel::may,       TlsLevel::encrypt,
                            TlsLevel::fingerprint, TlsLevel::half_dane, TlsLevel::dane,
                            TlsLevel::dane_only,   TlsLevel::verify,    TlsLevel::secure};

bool word_character(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
}

bool has_word(const std::string& text, std::string_view word) {
    for (auto at = text.find(word); at != std::string::npos; at = text.find(word, at + 1)) {
        const bool begins = at == 0 || !word_character(text[at - 1]);
        const auto end = at + word.size();
        if (begins && (end == text.size() || !word_character(text[end]))) return true;
    }
    return false;
}

void check_text(const std::string& text, TlsLevel floor) {
    CAPTURE(text);
    CAPTURE(to_string(floor));
    for (const auto level : levels) {
        // "verify" is also the heading over the commands that verify a change.
        if (level >= floor || level == TlsLevel::verify) continue;
        CHECK_FALSE(has_word(text, to_string(level)));
    }
    if (floor > TlsLevel::none) CHECK_FALSE(has_word(text, "none"));
    for (const char* forbidden :
         {" none", "mtu lock", "disable_esmtp", "smtp_discard_ehlo", "discard_ehlo",
          "ip_no_pmtu_disc", "smtp_tls_security_level", "smtp_tls_protocols", "smtp_tls_mandatory",
          "smtp_tls_ciphers", "SSLv3", "TLSv1 ", "TLSv1.1", "advmss", "protocols=", "ciphers="})
        CHECK(text.find(forbidden) == std::string::npos);
}

std::vector<SuggestionContext> contexts(const std::string& ip) {
    const auto gateway = address(ip).family() == IpFamily::v4 ? "10.0.0.1" : "fe80::1";
    auto tunnel = plain_host(ip, gateway);
    tunnel.host.interface = "wg0";
    tunnel.host.interface_kind = "wireguard";
    tunnel.host.interface_mtu = PathMtu{8921};
    auto locked = plain_host(ip, gateway);
    locked.host.existing_host_route = ip + " dev eth0 mtu lock 1492";
    auto imap = plain_host(ip, gateway);
    imap.endpoint.service = Service::imaps;
    auto hostile = plain_host(ip, gateway);
    hostile.next_hop_verbatim = "example.org none";
    auto unknown = plain_host(ip, gateway);
    unknown.host = HostFacts{};
    return {plain_host(ip, gateway), tunnel, locked, imap, hostile, unknown};
}

Report report_on(const Evidence& evidence, const Diagnosis& diagnosis,
                 const SuggestionContext& context) {
    Report report;
    report.destination = "[mail.example.org]";
    report.floor = context.floor;
    report.diagnosis = diagnosis;
    report.endpoints = {{evidence, {diagnosis, {diagnosis}}}};
    report.suggestions = suggest(diagnosis, context);
    return report;
}

void check_report(const Report& report) {
    for (const auto& one : report.suggestions) {
        CHECK(one.tls_floor == report.floor);
        CHECK_FALSE(one.commands.empty());
        CHECK_FALSE(one.verify.empty());
        CHECK_FALSE(one.undo.empty());
        CHECK_FALSE(one.scope.empty());
        CHECK_FALSE(one.why.empty());
        for (const auto* lines : {&one.commands, &one.verify, &one.undo})
            for (const auto& line : *lines) check_text(line, report.floor);
        check_text(one.why + ' ' + one.scope, report.floor);
    }
    check_text(to_text(report, false), report.floor);
    check_text(boost::json::serialize(to_json(report)), report.floor);
}

}  // namespace

TEST_CASE("no diagnosis on any floor leads to weaker TLS") {
    for (const auto* ip : {"192.0.2.1", "2001:db8::1"})
        for (const auto id : all_diagnosis_ids())
            for (const auto floor : levels)
                for (auto context : contexts(ip)) {
                    context.floor = floor;
                    auto diagnosis = black_hole(1400, ip);
                    diagnosis.id = id;
                    const auto evidence = conversation({gap(1500), gap(1420), pass(1400)}, ip);
                    check_report(report_on(evidence, diagnosis, context));
                }
}

TEST_CASE("no evidence on any floor leads to weaker TLS") {
    RandomEvidence random(20261124);
    for (int i = 0; i < 2'000; ++i) {
        auto context = plain_host();
        context.floor = levels[random.below(levels.size())];
        const auto evidence = random.evidence();
        const auto verdict = diagnose(evidence, context.floor);
        Report report = report_on(evidence, verdict.diagnosis, context);
        report.endpoints.front().verdict = verdict;
        check_report(report);
    }
}
