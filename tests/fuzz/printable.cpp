// SPDX-License-Identifier: Apache-2.0
// Texts that TLS libraries and servers make, on their way into records and reports.
#include "lib/base/text.hpp"
#include "lib/cache/json_fields.hpp"
#include "lib/diagnosis/server_words.hpp"
#include "tests/fuzz/target.hpp"

namespace postfathom::fuzz {

const bool takes_pieces = false;

std::string tell(const Input& input) {
    std::string told;
    input.pieces([&](std::string_view bytes) {
        for (const std::size_t limit : {0U, 2U, 3U, 64U, 256U, 4096U}) {
            const auto shown = printable(bytes, limit);
            require(is_printable(shown), "nothing is left that a terminal would obey");
            require(shown.size() <= std::max<std::size_t>(limit, 3), "it is cut");
            require(printable(shown, std::max<std::size_t>(limit, 3)) == shown, "once is enough");
            told += shown + '\n';
        }
        told += asks_to_wait(bytes) ? "wait" : "";
        require(trim(bytes).size() <= bytes.size(), "trim takes away");
        require(iequals(to_lower(bytes), bytes), "case is all that to_lower changes");
    });
    return told;
}

}  // namespace postfathom::fuzz
