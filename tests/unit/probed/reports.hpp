// SPDX-License-Identifier: Apache-2.0
// Reports as a probe would give them, for tests.
#pragma once

#include "lib/diagnosis/report.hpp"
#include "probes/schedule.hpp"

namespace postfathom {

inline ProbePlace test_place(const std::string& next_hop) {
    ProbePlace result;
    result.next_hop = next_hop;
    return result;
}

inline Endpoint test_endpoint(const std::string& address = "192.0.2.1",
                              const std::string& name = "mail.example.net") {
    return Endpoint{*IpAddress::parse(address), 25, Service::smtp, name};
}

inline Diagnosis test_diagnosis(DiagnosisId id, Severity severity) {
    Diagnosis diagnosis;
    diagnosis.id = id;
    diagnosis.severity = severity;
    diagnosis.confidence = 0.99;
    return diagnosis;
}

inline Diagnosis test_black_hole() {
    auto diagnosis = test_diagnosis(DiagnosisId::pmtu_black_hole, Severity::critical);
    diagnosis.direction = Direction::inbound;
    diagnosis.path_mtu = PathMtu{1400};
    diagnosis.path_mtu_exact = true;
    diagnosis.usable_mss = Mss{1360};
    return diagnosis;
}

inline Diagnosis test_healthy() { return test_diagnosis(DiagnosisId::healthy, Severity::ok); }

inline Report test_report(const std::string& destination, const Diagnosis& diagnosis,
                          const Endpoint& endpoint = test_endpoint()) {
    Report report;
    report.destination = destination;
    report.diagnosis = diagnosis;
    report.floor = TlsLevel::encrypt;
    EndpointReport found;
    found.evidence.endpoint = endpoint;
    found.evidence.vantage.source = *IpAddress::parse("192.0.2.200");
    found.evidence.vantage.interface = "eth0";
    found.evidence.inbound.path_mtu = diagnosis.path_mtu;
    found.evidence.inbound.exact = diagnosis.path_mtu_exact;
    found.verdict.diagnosis = diagnosis;
    report.endpoints.push_back(found);
    return report;
}

}  // namespace postfathom
