// SPDX-License-Identifier: Apache-2.0
// What domains publish about TLS: TLSA and TXT records, and MTA-STS policies.
#include "lib/destination/next_hop.hpp"
#include "probes/mta_sts.hpp"
#include "probes/tlsa_record.hpp"
#include "tests/fuzz/target.hpp"

namespace postfathom::fuzz {

const bool takes_pieces = false;

std::string tell(const Input& input) {
    std::string told;
    input.pieces([&](std::string_view bytes) {
        told += std::to_string(static_cast<int>(use_of_tlsa(bytes)));
        if (const auto text = text_of_txt(bytes)) told += mta_sts_id({*text}).value_or("");
        told += mta_sts_id({std::string(bytes)}).value_or("");
        const auto policy = parse_mta_sts_policy(bytes);
        if (!policy) return;
        require(policy->mx.size() <= max_mta_sts_names, "names are bounded");
        for (const auto& name : policy->mx) {
            const auto host = name.starts_with("*.") ? name.substr(2) : name;
            require(parse_next_hop(host).has_value(), "an mx is a host name");
            // What would begin another attribute of a line of smtp_tls_policy_maps.
            require(name.find_first_of(" \t\r\n:=,") == name.npos, "an mx is one word");
            told += name;
        }
    });
    return told;
}

}  // namespace postfathom::fuzz
