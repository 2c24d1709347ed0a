// SPDX-License-Identifier: Apache-2.0
// Prints the commands of the suggestions for a black hole of 1400 bytes behind the interface wg0,
// for commands_run.sh: print_suggestions commands|undo ADDRESS GATEWAY
#include <iostream>

#include "tests/unit/suggestion/suggestion_builder.hpp"

int main(int argc, char** argv) {
    using namespace postfathom;
    if (argc != 4) return 2;
    const std::string address = argv[2];
    auto context = test::plain_host(address, argv[3]);
    context.host.interface = "wg0";
    context.host.interface_kind = "wireguard";
    context.host.interface_mtu = PathMtu{8921};
    context.host.has_nft = true;
    auto hole = test::black_hole(1400, address);
    hole.direction = Direction::both;
    for (const auto& suggestion : suggest(hole, context)) {
        const bool shell = suggestion.form == SuggestionForm::shell ||
                           suggestion.form == SuggestionForm::other_shell;
        if (!shell) continue;  // a line of a table, a letter
        for (const auto& line :
             std::string_view{argv[1]} == "undo" ? suggestion.undo : suggestion.commands)
            std::cout << line << '\n';
    }
}
