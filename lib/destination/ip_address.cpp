// SPDX-License-Identifier: Apache-2.0
#include "lib/destination/ip_address.hpp"

#include <arpa/inet.h>

#include <algorithm>

namespace postfathom {

std::optional<IpAddress> IpAddress::parse(std::string_view text) {
    // inet_pton stops at a NUL; what follows it must not pass unread.
    if (text.find(char{}) != std::string_view::npos) return std::nullopt;
    const std::string terminated(text);
    std::array<std::uint8_t, 4> four{};
    if (inet_pton(AF_INET, terminated.c_str(), four.data()) == 1) return from_v4(four);
    std::array<std::uint8_t, 16> sixteen{};
    if (inet_pton(AF_INET6, terminated.c_str(), sixteen.data()) == 1) return from_v6(sixteen);
    return std::nullopt;
}

IpAddress IpAddress::from_v4(std::array<std::uint8_t, 4> bytes) {
    IpAddress address;
    std::copy(bytes.begin(), bytes.end(), address.bytes_.begin());
    return address;
}

IpAddress IpAddress::from_v6(std::array<std::uint8_t, 16> bytes) {
    constexpr std::array<std::uint8_t, 12> mapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    if (std::equal(mapped.begin(), mapped.end(), bytes.begin()))
        return from_v4({bytes[12], bytes[13], bytes[14], bytes[15]});
    IpAddress address;
    address.family_ = IpFamily::v6;
    address.bytes_ = bytes;
    return address;
}

std::string IpAddress::to_string() const {
    std::array<char, INET6_ADDRSTRLEN> text{};
    inet_ntop(family_ == IpFamily::v4 ? AF_INET : AF_INET6, bytes_.data(), text.data(),
              text.size());
    return text.data();
}

bool IpAddress::is_loopback() const {
    if (family_ == IpFamily::v4) return bytes_[0] == 127;
    return bytes_[15] == 1 &&
           std::all_of(bytes_.begin(), bytes_.end() - 1, [](auto b) { return b == 0; });
}

bool IpAddress::is_unspecified() const {
    return std::all_of(bytes_.begin(), bytes_.end(), [](auto b) { return b == 0; });
}

}  // namespace postfathom
