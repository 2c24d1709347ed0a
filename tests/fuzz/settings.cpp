// SPDX-License-Identifier: Apache-2.0
// postfathom.toml. What is taken can be written and reads the same again.
#include "lib/config/duration.hpp"
#include "lib/config/load.hpp"
#include "tests/fuzz/target.hpp"

namespace postfathom::fuzz {

const bool takes_pieces = false;

std::string tell(const Input& input) {
    std::string told;
    input.pieces([&](std::string_view bytes) {
        if (const auto duration = parse_duration(bytes))
            require(parse_duration(render_duration(*duration)) == duration, "durations keep");
        if (const auto size = parse_bytes(bytes))
            require(parse_bytes(render_bytes(*size)) == size, "sizes keep");
        const auto settings = parse_settings(bytes, "input");
        if (!settings) {
            require(!settings.error().message.empty(), "faults are told");
            for (const unsigned char byte : settings.error().message)
                require(byte == '\n' || (byte >= ' ' && byte <= '~'), "faults are printable");
            told = settings.error().message;
            return;
        }
        told = render_settings(*settings);
        const auto again = parse_settings(told, "rendered");
        require(again && render_settings(*again) == told, "rendered settings read the same");
    });
    return told;
}

}  // namespace postfathom::fuzz
