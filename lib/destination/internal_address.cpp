// SPDX-License-Identifier: Apache-2.0
#include "lib/destination/internal_address.hpp"

#include <algorithm>
#include <initializer_list>
#include <iterator>

namespace postfathom {

namespace {

struct Prefix {
    std::array<std::uint8_t, 4> bytes;
    unsigned bits;
};

// "Globally reachable" is false in IANA's registries of special-purpose addresses; and 224.0.0.0/3.
constexpr Prefix internal_v4[] = {
    {{0, 0, 0, 0}, 8},      {{10, 0, 0, 0}, 8},    {{100, 64, 0, 0}, 10}, {{127, 0, 0, 0}, 8},
    {{169, 254, 0, 0}, 16}, {{172, 16, 0, 0}, 12}, {{192, 0, 0, 0}, 24},  {{192, 168, 0, 0}, 16},
    {{198, 18, 0, 0}, 15},  {{224, 0, 0, 0}, 3}};
// fc00::/7, link-local and site-local, multicast.
constexpr Prefix internal_v6[] = {
    {{0xfc, 0, 0, 0}, 7}, {{0xfe, 0x80, 0, 0}, 9}, {{0xff, 0, 0, 0}, 8}};

template <std::size_t count>
bool within(const std::array<std::uint8_t, 16>& bytes, const Prefix (&prefixes)[count]) {
    return std::any_of(std::begin(prefixes), std::end(prefixes), [&](const Prefix& prefix) {
        for (unsigned bit = 0; bit < prefix.bits; ++bit) {
            const unsigned mask = 0x80U >> bit % 8;
            if (((bytes[bit / 8] ^ prefix.bytes[bit / 8]) & mask) != 0) return false;
        }
        return true;
    });
}

}  // namespace

bool is_internal(const IpAddress& address) {
    const auto& bytes = address.bytes();
    if (address.family() == IpFamily::v4) return within(bytes, internal_v4);
    const auto v4_at = [&bytes](std::size_t at) {
        return IpAddress::from_v4({bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]});
    };
    const auto begins = [&bytes](std::initializer_list<std::uint8_t> with) {
        return std::equal(with.begin(), with.end(), bytes.begin());
    };
    if (begins({0x00, 0x64, 0xff, 0x9b, 0, 1})) return true;
    if (begins({0x00, 0x64, 0xff, 0x9b})) return is_internal(v4_at(12));
    if (begins({0x20, 0x02})) return is_internal(v4_at(2));
    if (begins({0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})) return true;
    return within(bytes, internal_v6);
}

}  // namespace postfathom
