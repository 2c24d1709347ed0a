// SPDX-License-Identifier: Apache-2.0
// A whole conversation from a server's bytes. The first byte chooses the service and what the
// caller does; what follows the byte 0x16, with which a TLS handshake begins, is said inside TLS,
// when it comes to that.
#pragma once

#include <algorithm>
#include <array>

#include "lib/cache/json_fields.hpp"
#include "probes/dialog.hpp"
#include "tests/fuzz/target.hpp"

namespace postfathom::fuzz {

inline std::string tell_dialog(const Input& input, std::array<Service, 2> services) {
    if (input.bytes().empty()) return {};
    const auto choice = static_cast<unsigned char>(input.bytes().front());
    const auto mark = std::min(input.bytes().find('\x16'), input.bytes().size());
    const auto dialog = make_dialog(services[choice & 1U], "probe.example.org");
    if ((choice & 2U) != 0) dialog->hold_after_ehlo();
    std::string sent;
    const auto hear = [&](std::string_view bytes) {
        dialog->receive(bytes);
        sent += dialog->take_output();
    };
    input.pieces(hear, 1, mark);
    if (dialog->step() == Dialog::Step::start_tls) {
        dialog->tls_established();
        sent += dialog->take_output();
    }
    input.pieces(hear, mark + 1);
    if ((choice & 4U) != 0) dialog->interrupted(Outcome::timed_out);

    const auto& facts = dialog->facts();
    require(is_printable(dialog->reply()) && dialog->reply().size() <= 256,
            "replies are printable");
    require(is_printable(facts.crossed_out), "quoted keywords are printable");
    require(sent.size() <= 4096, "a server cannot make us talk");
    // Of what cannot be understood as much is quoted as has come, for a person to recognise.
    const auto reply = facts.fault == ProtocolFault::none ? dialog->reply() : std::string();
    return std::to_string(static_cast<int>(dialog->step())) + ' ' +
           std::to_string(static_cast<int>(dialog->phase())) + ' ' +
           std::to_string(static_cast<int>(dialog->outcome())) + ' ' +
           std::to_string(static_cast<int>(facts.fault)) + ' ' +
           std::to_string(dialog->starttls_offered()) + std::to_string(facts.told_to_go) + ' ' +
           std::to_string(facts.unfinished_bytes) + ' ' + std::to_string(facts.control_characters) +
           '\n' + facts.crossed_out + '\n' + reply + '\n' + sent;
}

}  // namespace postfathom::fuzz
