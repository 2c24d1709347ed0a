// SPDX-License-Identifier: Apache-2.0
// Whether mail to a next hop should wait for TLS instead of going in clear text. At level "may"
// Postfix tries the same server again without TLS once a message is older than
// minimal_backoff_time, when the handshake failed or a session over TLS broke. Where TLS is known
// to work there and the path is what fails, "encrypt" makes it wait. Pure.
#pragma once

#include <optional>
#include <vector>

#include "lib/diagnosis/record.hpp"
#include "lib/diagnosis/tls_floor.hpp"

namespace postfathom {

// The transport is at fault: TLS would work if its packets arrived as they were sent. What the TLS
// layer itself says, and certificates, are no such reasons.
bool fails_for_transport(DiagnosisId id);

// A TLS handshake with the endpoint was completed: in a probe of some time, or in the counter-probe
// that proves a black hole.
bool handshake_was_completed(const EndpointRecord& endpoint);

// `least`, or what Postfix had for the next hop where that is higher; uncertain where that is not
// known, or there is no record.
TlsFloor floor_by(const NextHopRecord* next_hop, TlsLevel least);

// The level to ask for, which is never below the floor nor below what Postfix has for the next hop;
// nothing where that is not known. Nothing either unless the next hop is ill for a
// transport reason now, a handshake was completed with an endpoint that is, or with some endpoint,
// as Postfix told of late, while that one offered STARTTLS, and none of its endpoints is known to
// go without TLS, since mail may rightly go there in clear text.
std::optional<SuggestedLevel> guard_level(const NextHopRecord& next_hop,
                                          const std::vector<EndpointRecord>& endpoints,
                                          TlsLevel floor, WallTime now, const AgeLimits& limits);

}  // namespace postfathom
