// SPDX-License-Identifier: Apache-2.0
// What Postfix (3.10 and later, smtp_tlsrpt_enable) tells of one TLS handshake through libtlsrpt:
// a datagram of JSON, datagram protocol version 1 of that library (0.5), meant for the collector of
// a TLSRPT reporter (RFC 8460). Pure; any bytes are accepted.
//
// It names the host of the next hop, not its brackets or port. A success names no server.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/result.hpp"
#include "lib/mail_log/scan.hpp"

namespace postfathom {

// The library fills a datagram with the server's whole EHLO reply, so a server has a say in its
// size.
inline constexpr std::size_t max_tls_report_bytes = 64 * 1024;

// tlsrpt_failure_t of libtlsrpt's tlsrpt.h, in the words of RFC 8460, section 4.3.
enum class TlsFailureKind {
    starttls_not_supported = 201,
    certificate_host_mismatch = 202,
    certificate_not_trusted = 203,
    certificate_expired = 204,
    validation_failure = 205,  // also all that has no word of its own, such as a time-out
    sts_policy_fetch_error = 301,
    sts_policy_invalid = 302,
    sts_webpki_invalid = 303,
    tlsa_invalid = 304,
    dnssec_invalid = 305,
    dane_required = 306,
    other = 0,  // a later library's
};
std::string_view to_string(TlsFailureKind kind);
// The server has a part in it, not only a policy or the DNS.
bool concerns_server(TlsFailureKind kind);

struct TlsFailure {
    TlsFailureKind kind = TlsFailureKind::other;
    std::optional<LoggedPeer> peer;  // no port is told
    std::string reason;              // "tls-handshake-failure"; printable(), may be empty
    bool operator==(const TlsFailure&) const = default;
};

struct TlsReport {
    std::string domain;  // the next hop's host, lower case
    bool succeeded = false;
    std::vector<TlsFailure> failures;  // none when it succeeded
    bool operator==(const TlsReport&) const = default;
};

Result<TlsReport> parse_tls_report(std::string_view datagram);

}  // namespace postfathom
