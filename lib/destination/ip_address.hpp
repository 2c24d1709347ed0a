// SPDX-License-Identifier: Apache-2.0
// An IPv4 or IPv6 address as a plain value. An IPv4-mapped IPv6 address is the IPv4 address.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "lib/base/units.hpp"

namespace postfathom {

class IpAddress {
  public:
    IpAddress() = default;  // 0.0.0.0

    // Text as inet_pton(3) takes it, without brackets, prefix length or scope.
    static std::optional<IpAddress> parse(std::string_view text);
    static IpAddress from_v4(std::array<std::uint8_t, 4> bytes);
    static IpAddress from_v6(std::array<std::uint8_t, 16> bytes);

    IpFamily family() const { return family_; }
    // Network byte order; IPv4 uses the first four.
    const std::array<std::uint8_t, 16>& bytes() const { return bytes_; }

    // As inet_ntop(3) prints it.
    std::string to_string() const;

    bool is_loopback() const;
    bool is_unspecified() const;

    auto operator<=>(const IpAddress&) const = default;

  private:
    IpFamily family_ = IpFamily::v4;
    std::array<std::uint8_t, 16> bytes_{};
};

}  // namespace postfathom
