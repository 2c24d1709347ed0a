// SPDX-License-Identifier: Apache-2.0
// Plays a server's lines to a dialog and tells how it ended.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "probes/dialog.hpp"

namespace postfathom {

struct Ended {
    Phase phase;
    Outcome outcome;
    std::string reply;
    std::string sent;
    bool starttls_offered;
    DialogFacts facts;
    bool operator==(const Ended&) const = default;
};

// The server's lines in order; "TLS" is the handshake. `cut` says how many bytes come at a time.
inline Ended talk(const std::vector<std::string>& server, std::size_t cut, Service service) {
    const auto dialog = make_dialog(service, "client.example.org");
    std::string sent;
    for (const auto& line : server) {
        sent += dialog->take_output();
        if (line == "TLS") {
            REQUIRE(dialog->step() == Dialog::Step::start_tls);
            dialog->tls_established();
            continue;
        }
        for (std::size_t at = 0; at < line.size(); at += cut)
            dialog->receive(std::string_view(line).substr(at, cut));
    }
    sent += dialog->take_output();
    return {dialog->phase(), dialog->outcome(), dialog->reply(), sent, dialog->starttls_offered(),
            dialog->facts()};
}

}  // namespace postfathom
