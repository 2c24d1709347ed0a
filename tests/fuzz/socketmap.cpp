// SPDX-License-Identifier: Apache-2.0
// Requests to socketmap tables: netstrings, as anybody who reaches the socket may send them.
#include "policyd/socketmap.hpp"
#include "tests/fuzz/target.hpp"

namespace postfathom::fuzz {

const bool takes_pieces = true;

std::string tell(const Input& input) {
    SocketmapParser parser;
    std::string told;
    bool broken = false;
    input.pieces([&](std::string_view bytes) {
        while (!bytes.empty() && !broken) {
            const auto status = parser.feed(bytes);
            if (status == SocketmapParser::Status::complete) {
                require(parser.name().size() + parser.key().size() <= max_socketmap_request,
                        "requests are bounded");
                told += parser.overlong() ? "overlong " : "";
                told.append(parser.name()) += '\n';
                told.append(parser.key()) += '\n';
                append_found(told, parser.key());
            } else if (status == SocketmapParser::Status::broken) {
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
