// SPDX-License-Identifier: Apache-2.0
// Datagrams of libtlsrpt, which have a server's whole EHLO reply in them.
#include "lib/mail_log/tls_report.hpp"

#include "lib/cache/json_fields.hpp"
#include "lib/destination/next_hop.hpp"
#include "tests/fuzz/target.hpp"

namespace postfathom::fuzz {

const bool takes_pieces = false;

std::string tell(const Input& input) {
    std::string told;
    input.pieces([&](std::string_view bytes) {
        const auto report = parse_tls_report(bytes);
        if (!report) {
            told = report.error().message;
            return;
        }
        const auto next_hop = parse_next_hop(report->domain);
        require(next_hop && next_hop->host == report->domain, "the domain is a next hop");
        told = report->domain + (report->succeeded ? " succeeded" : " failed");
        for (const auto& failure : report->failures) {
            require(is_printable(failure.reason), "reasons are printable");
            if (failure.peer) require(is_printable(failure.peer->host), "names are printable");
            told.append(" ").append(to_string(failure.kind)).append(failure.reason);
        }
    });
    return told;
}

}  // namespace postfathom::fuzz
