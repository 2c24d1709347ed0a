// SPDX-License-Identifier: Apache-2.0
// A sample of a socket as a line of text, to record real ones and to read them in tests:
//   SECONDS cookie=7 peer=192.0.2.1 ...      what is 0 or not known is left out
#pragma once

#include <cstdint>
#include <cstdlib>
#include <optional>
#include <sstream>
#include <string>

#include "probes/socket_watch.hpp"

namespace postfathom::test {

template <typename Sample, typename Visit>
void visit_numbers(Sample& sample, Visit visit) {
    visit("cookie", sample.cookie);
    visit("local_port", sample.local_port);
    visit("peer_port", sample.peer_port);
    visit("established", sample.established);
    visit("destroyed", sample.destroyed);
    visit("repeating", sample.repeating);
    visit("timeouts", sample.timeouts);
    visit("unread", sample.unread);
    visit("outstanding", sample.outstanding);
    visit("unacked", sample.unacked);
    visit("sacked", sample.sacked);
    visit("send_mss", sample.send_mss);
    visit("advertised_mss", sample.advertised_mss);
    visit("route_mtu", sample.route_mtu);
    visit("options", sample.options);
    visit("bytes_acked", sample.bytes_acked);
    visit("data_segments_out", sample.data_segments_out);
    visit("repeats", sample.repeats);
    visit("bytes_repeated", sample.bytes_repeated);
    visit("bytes_received", sample.bytes_received);
    visit("out_of_order", sample.out_of_order);
}

inline std::string to_text(SocketSample sample) {
    std::ostringstream out;
    out << "local=" << sample.local.to_string() << " peer=" << sample.peer.to_string();
    visit_numbers(sample, [&](const char* name, const auto& value) {
        if (value != 0) out << ' ' << name << '=' << std::uint64_t{value};
    });
    if (sample.held) out << " held=" << *sample.held;
    if (sample.send_window) out << " send_window=" << *sample.send_window;
    return out.str();
}

inline std::optional<SocketSample> sample_from_text(const std::string& text) {
    SocketSample sample;
    std::istringstream in(text);
    std::string word;
    while (in >> word) {
        const auto equals = word.find('=');
        if (equals == std::string::npos) return std::nullopt;
        const auto name = word.substr(0, equals);
        const auto value = word.substr(equals + 1);
        const auto number = std::strtoull(value.c_str(), nullptr, 10);
        bool known = true;
        if (name == "local" || name == "peer") {
            const auto address = IpAddress::parse(value);
            if (!address) return std::nullopt;
            (name == "local" ? sample.local : sample.peer) = *address;
        } else if (name == "held") {
            sample.held = static_cast<std::uint32_t>(number);
        } else if (name == "send_window") {
            sample.send_window = static_cast<std::uint32_t>(number);
        } else {
            known = false;
            visit_numbers(sample, [&](const char* member, auto& target) {
                if (name != member) return;
                target = static_cast<std::remove_reference_t<decltype(target)>>(number);
                known = true;
            });
        }
        if (!known) return std::nullopt;
    }
    return sample;
}

}  // namespace postfathom::test
