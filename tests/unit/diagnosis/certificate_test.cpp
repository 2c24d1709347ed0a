// SPDX-License-Identifier: Apache-2.0
// Faults of the certificate chain: a notice where the TLS floor does not ask, critical where it
// does.
#include <doctest/doctest.h>

#include <functional>

#include "tests/unit/diagnosis/evidence_builder.hpp"

using namespace postfathom;
using namespace postfathom::test;
using namespace std::chrono_literals;

namespace {

Evidence with(const std::function<void(CertificateFacts&)>& change) {
    auto evidence = conversation({pass(1500)});
    change(*evidence.handshake->certificate);
    return evidence;
}

}  // namespace

TEST_CASE("each fault of a certificate has its identifier") {
    struct Row {
        const char* expected;
        std::function<void(CertificateFacts&)> change;
        const char* words;
    };
    const Row rows[] = {
        {"certificate-expired", [](auto& c) { c.not_after = WallTime{1'770'000'000s}; },
         "expired on 2026-02-02T02:40:00Z"},
        {"certificate-expired", [](auto& c) { c.verify_code = 10; }, "chain has expired"},
        {"certificate-not-yet-valid", [](auto& c) { c.not_before = WallTime{1'790'000'000s}; },
         "valid only from"},
        {"certificate-not-yet-valid", [](auto& c) { c.verify_code = 9; }, "not valid yet"},
        {"certificate-self-signed",
         [](auto& c) {
             c.verify_code = 18;
             c.self_signed = true;
         },
         "signed by itself"},
        {"certificate-untrusted", [](auto& c) { c.verify_code = 19; }, "Example Issuing CA 1"},
        {"certificate-untrusted", [](auto& c) { c.verify_code = 20; }, "does not know who issued"},
        {"certificate-untrusted",
         [](auto& c) {
             c.verify_code = 23;
             c.verify_text = "certificate revoked";
         },
         "certificate revoked"},
        {"certificate-incomplete-chain",
         [](auto& c) {
             c.verify_code = 21;
             c.chain_length = 1;
             c.missing_issuer = "CN=Middle CA";
         },
         "sends 1 certificate and leaves out the issuer \"CN=Middle CA\""},
        {"certificate-name-mismatch",
         [](auto& c) {
             c.name_matches = false;
             c.names = {"other.example.net"};
         },
         "for other.example.net, not for mail.example.org"},
        {"certificate-weak",
         [](auto& c) {
             c.key = "RSA 1024";
             c.key_bits = 1024;
         },
         "RSA 1024"},
        {"certificate-weak", [](auto& c) { c.signature = "sha1WithRSAEncryption"; }, "sha1With"},
        {"certificate-weak",
         [](auto& c) {
             c.verify_code = 66;
             c.verify_text = "EE key too weak";
         },
         "EE key too weak"},
    };
    for (const auto& row : rows) {
        INFO(std::string{row.words});
        const auto lenient = diagnose(with(row.change), TlsLevel::may);
        REQUIRE(lenient.findings.size() == 1);
        CHECK(to_string(lenient.diagnosis.id) == row.expected);
        CHECK(lenient.diagnosis.severity == Severity::notice);
        CHECK(lenient.diagnosis.summary.find(row.words) != std::string::npos);
        for (const auto level : {TlsLevel::none, TlsLevel::encrypt, TlsLevel::dane})
            CHECK(diagnosis_of(with(row.change), level).severity == Severity::notice);
        for (const auto level : {TlsLevel::verify, TlsLevel::secure})
            CHECK(diagnosis_of(with(row.change), level).severity == Severity::critical);
    }
}

TEST_CASE("certificates without fault raise nothing") {
    const std::function<void(CertificateFacts&)> changes[] = {
        [](auto&) {},
        [](auto& c) {
            c.key = "EC prime256v1";
            c.key_bits = 256;
        },
        [](auto& c) {
            c.key = "ED25519";
            c.key_bits = 253;
        },
        // The operator's own certificate in the operator's own trust store.
        [](auto& c) {
            c.self_signed = true;
            c.signature = "sha1WithRSAEncryption";
        },
        [](auto& c) {
            c.not_before = {};
            c.not_after = {};
            c.key_bits = 0;
        },
    };
    for (const auto& change : changes)
        CHECK(diagnosis_of(with(change), TlsLevel::secure).id == DiagnosisId::healthy);
}

TEST_CASE("several faults are all found, and a black hole stands above them") {
    auto evidence = conversation({gap(1500), gap(1420), pass(1400)});
    auto& facts = *evidence.handshake->certificate;
    facts.self_signed = true;
    facts.verify_code = 18;
    facts.name_matches = false;
    facts.not_after = WallTime{1'770'000'000s};
    const auto verdict = diagnose(evidence, TlsLevel::may);
    REQUIRE(verdict.findings.size() == 4);
    CHECK(verdict.findings[0].id == DiagnosisId::pmtu_black_hole);
    CHECK(verdict.findings[1].id == DiagnosisId::certificate_expired);
    CHECK(verdict.findings[2].id == DiagnosisId::certificate_self_signed);
    CHECK(verdict.findings[3].id == DiagnosisId::certificate_name_mismatch);
    CHECK(verdict.diagnosis == verdict.findings[0]);
}

TEST_CASE("a peer's names are printed safely and in bounds") {
    const auto evidence = with([](auto& c) {
        c.name_matches = false;
        c.names.assign(32, std::string(400, 'a') + "\x1b[2J");
    });
    const auto found = diagnosis_of(evidence);
    CHECK(found.summary.find('\x1b') == std::string::npos);
    CHECK(found.summary.size() < 700);
}

TEST_CASE("a certificate without end is valid, and dates beyond any clock do no harm") {
    const WallTime year_9999{253'402'300'799s};  // 99991231235959Z (RFC 5280 section 4.1.2.5)
    CHECK(diagnosis_of(with([&](auto& c) { c.not_after = year_9999; })).id == DiagnosisId::healthy);
    CHECK(diagnosis_of(with([&](auto& c) {
              c.not_before = year_9999;
          })).summary.find("after 2200") != std::string::npos);
    CHECK(diagnosis_of(with([](auto& c) {
              c.not_after = WallTime::min();
          })).summary.find("before 1900") != std::string::npos);
}
