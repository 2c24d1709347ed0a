// SPDX-License-Identifier: Apache-2.0
// Servers and middleboxes that care about the size of a ClientHello, or about how it is cut: the
// modes of fake_mx for it. All bytes stay to be read.
#pragma once

#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cstddef>
#include <string_view>

namespace postfathom::test {

enum class HelloFate { answered, swallowed, closed, reset };

inline HelloFate fate_of_hello(int socket, std::string_view mode, std::size_t number) {
    if (mode != "swallow-hello" && mode != "one-read" && mode != "one-read-close" &&
        mode != "reset-large")
        return HelloFate::answered;
    pollfd waiting{socket, POLLIN, 0};
    ::poll(&waiting, 1, 120'000);
    std::array<unsigned char, 20000> bytes{};
    const auto length = ::recv(socket, bytes.data(), bytes.size(), MSG_PEEK);
    if (length < 5) return HelloFate::closed;
    // The record's header says how long it is (RFC 8446 section 5.1).
    const auto whole = 5U + bytes[3] * 256U + bytes[4];
    const bool at_once = static_cast<std::size_t>(length) >= whole;
    if (mode == "swallow-hello" && whole == number) return HelloFate::swallowed;
    if (mode == "one-read" && !at_once) return HelloFate::swallowed;
    if (mode == "one-read-close" && !at_once) return HelloFate::closed;
    if (mode == "reset-large" && whole > number) return HelloFate::reset;
    return HelloFate::answered;
}

}  // namespace postfathom::test
