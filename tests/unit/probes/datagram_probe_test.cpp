// SPDX-License-Identifier: Apache-2.0
// Which datagrams are worth sending, and what comes back in a socket's error queue, forged or not.
#include "probes/datagram_probe.hpp"

#include <doctest/doctest.h>
#include <linux/errqueue.h>
#include <netinet/in.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "probes/socket_address.hpp"

using namespace postfathom;

namespace {

IpAddress address(const char* text) { return IpAddress::parse(text).value(); }

// An error queue's message as the kernel builds it, cut to `length` bytes of ancillary data.
std::optional<DatagramError> read(int error, std::uint32_t info, const char* from,
                                  std::uint8_t origin = SO_EE_ORIGIN_ICMP,
                                  std::size_t length = sizeof(sock_extended_err) +
                                                       sizeof(sockaddr_in)) {
    alignas(cmsghdr) std::array<char, 256> control{};
    msghdr message{};
    message.msg_control = control.data();
    message.msg_controllen = CMSG_SPACE(length);
    auto* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = IPPROTO_IP;
    header->cmsg_type = IP_RECVERR;
    header->cmsg_len = CMSG_LEN(length);
    sock_extended_err body{};
    body.ee_errno = static_cast<std::uint32_t>(error);
    body.ee_info = info;
    body.ee_origin = origin;
    std::array<char, sizeof body + sizeof(sockaddr_in)> bytes{};
    std::memcpy(bytes.data(), &body, sizeof body);
    const auto offender = socket_address(address(from), 0);
    std::memcpy(bytes.data() + sizeof body, offender.get(), sizeof(sockaddr_in));
    std::memcpy(CMSG_DATA(header), bytes.data(), std::min(length, bytes.size()));
    return datagram_error(message, address("192.0.2.25"), PathMtu{1500});
}

Evidence found(std::optional<std::uint32_t> inbound, std::optional<std::uint32_t> outbound) {
    Evidence evidence;
    evidence.endpoint.address = address("192.0.2.25");
    evidence.vantage.interface_mtu = PathMtu{1500};
    evidence.vantage.route_mtu = PathMtu{1500};
    if (inbound) evidence.inbound = {PathMtu{*inbound}, true, PathMtu{*inbound + 1}};
    if (outbound) evidence.outbound = {PathMtu{*outbound}, true, PathMtu{*outbound + 1}};
    return evidence;
}

std::vector<std::uint32_t> sizes_of(const Evidence& evidence) {
    std::vector<std::uint32_t> sizes;
    for (const auto size : datagram_sizes(evidence)) sizes.push_back(size.bytes);
    return sizes;
}

}  // namespace

TEST_CASE("a healthy path gets no datagrams") {
    auto evidence = found(std::nullopt, std::nullopt);
    CHECK(sizes_of(evidence).empty());
    evidence.inbound.path_mtu = PathMtu{1500};
    evidence.outbound = {PathMtu{1500}, true, std::nullopt};
    CHECK(sizes_of(evidence).empty());
    evidence.vantage.interface_mtu.reset();
    CHECK(sizes_of(evidence).empty());
}

TEST_CASE("datagrams have the sizes around the limit that TCP found, outbound before inbound") {
    using Sizes = std::vector<std::uint32_t>;
    CHECK(sizes_of(found(1400, std::nullopt)) == Sizes{576, 1400, 1401});
    CHECK(sizes_of(found(1400, 1420)) == Sizes{576, 1420, 1421});
    // The next one up cannot be sent from here.
    CHECK(sizes_of(found(1500, std::nullopt)) == Sizes{576, 1500});
    auto v6 = found(1400, std::nullopt);
    v6.endpoint.address = address("2001:db8::25");
    CHECK(sizes_of(v6) == Sizes{1280, 1400, 1401});
}

TEST_CASE("what the kernel learned is tried with the largest packet") {
    using Sizes = std::vector<std::uint32_t>;
    auto evidence = found(std::nullopt, std::nullopt);
    evidence.vantage.route_mtu = PathMtu{1400};
    CHECK(sizes_of(evidence).empty());  // a route says so, which is its owner's matter
    evidence.vantage.route_mtu_learned = true;
    CHECK(sizes_of(evidence) == Sizes{576, 1500});
}

TEST_CASE("the destination's word is an answer, another's is not") {
    CHECK(read(ECONNREFUSED, 0, "192.0.2.25")->outcome == DatagramOutcome::passed);
    CHECK(read(ECONNREFUSED, 0, "198.51.100.1")->outcome == DatagramOutcome::silent);
    CHECK(read(EHOSTUNREACH, 0, "192.0.2.25")->outcome == DatagramOutcome::silent);
}

TEST_CASE("a router's claim is kept when it can be true") {
    const auto told = read(EMSGSIZE, 1400, "198.51.100.1");
    REQUIRE(told);
    CHECK(told->outcome == DatagramOutcome::too_big);
    CHECK(told->reported == PathMtu{1400});
    CHECK(told->router == address("198.51.100.1"));
    for (const std::uint32_t claim : {0U, 68U, 551U, 1501U, 65535U, 0xffffffffU}) {
        const auto forged = read(EMSGSIZE, claim, "198.51.100.1");
        REQUIRE(forged);
        CHECK(forged->outcome == DatagramOutcome::too_big);
        CHECK_FALSE(forged->reported);
    }
    CHECK(read(EMSGSIZE, 552, "198.51.100.1")->reported == PathMtu{552});
    // Our own kernel.
    CHECK_FALSE(read(EMSGSIZE, 1400, "0.0.0.0", SO_EE_ORIGIN_LOCAL)->router);
}

TEST_CASE("ancillary data that is cut short harms nobody") {
    for (std::size_t length = 0; length < sizeof(sock_extended_err); ++length)
        CHECK_FALSE(read(EMSGSIZE, 1400, "198.51.100.1", SO_EE_ORIGIN_ICMP, length));
    const auto no_address =
        read(EMSGSIZE, 1400, "198.51.100.1", SO_EE_ORIGIN_ICMP, sizeof(sock_extended_err));
    REQUIRE(no_address);
    CHECK_FALSE(no_address->router);
}
