// SPDX-License-Identifier: Apache-2.0
// Requests of the policy delegation protocol, as anybody who reaches the socket may send them.
#include "policyd/policy_request.hpp"
#include "tests/fuzz/target.hpp"

namespace postfathom::fuzz {

const bool takes_pieces = true;

std::string tell(const Input& input) {
    PolicyRequestParser parser;
    std::string told;
    bool broken = false;
    input.pieces([&](std::string_view bytes) {
        while (!bytes.empty() && !broken) {
            const auto status = parser.feed(bytes);
            if (status == PolicyRequestParser::Status::complete) {
                const auto& found = parser.request();
                for (const auto* text :
                     {&found.request, &found.protocol_state, &found.recipient, &found.instance,
                      &found.policy_context, &found.client_address}) {
                    require(text->size() <= max_policy_line, "values are bounded");
                    told += *text + '\n';
                }
                told += "complete\n";
            } else if (status == PolicyRequestParser::Status::broken) {
                broken = true;
            } else {
                require(bytes.empty(), "who needs more has taken all");
            }
        }
    });
    if (broken) return told + "broken: " + parser.error();
    return told + (parser.mid_request() ? "unfinished" : "");
}

}  // namespace postfathom::fuzz
