// SPDX-License-Identifier: Apache-2.0
// MX records from the DNS, and the hosts file.
#include "lib/destination/next_hop.hpp"
#include "probes/hosts_file.hpp"
#include "probes/mx_record.hpp"
#include "tests/fuzz/target.hpp"

namespace postfathom::fuzz {

const bool takes_pieces = false;

std::string tell(const Input& input) {
    std::string told;
    input.pieces([&](std::string_view bytes) {
        if (const auto record = parse_mx(bytes)) {
            require(record->exchange.empty() || parse_next_hop(record->exchange),
                    "an exchange is a name");
            told = record->exchange;
        }
        for (const auto& address : addresses_in_hosts_file(bytes, "mail.example.org"))
            told += address.to_string();
    });
    return told;
}

}  // namespace postfathom::fuzz
