// SPDX-License-Identifier: Apache-2.0
#include "probes/tcp_evidence.hpp"

#include <doctest/doctest.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cstring>

#include "lib/base/descriptor.hpp"

using namespace postfathom;

namespace {

tcp_info sample() {
    tcp_info info{};
    info.tcpi_options = TCPI_OPT_TIMESTAMPS | TCPI_OPT_SACK;
    info.tcpi_advmss = 1448;
    info.tcpi_snd_mss = 1348;
    info.tcpi_rcv_mss = 929;
    info.tcpi_pmtu = 1500;
    info.tcpi_bytes_received = 200;
    info.tcpi_data_segs_in = 4;
    info.tcpi_rcv_ooopack = 1;
    info.tcpi_dsack_dups = 2;
    return info;
}

}  // namespace

TEST_CASE("counters are read from what the kernel gives") {
    const auto info = sample();
    const auto counters = tcp_counters_from(std::as_bytes(std::span(&info, 1)));
    CHECK(counters.advertised_mss == 1448);
    CHECK(counters.received_mss == 929);
    CHECK(counters.peer_mss == 1360);
    CHECK(counters.bytes_received == 200);
    CHECK(counters.out_of_order_segments == 1);
    CHECK(counters.dsack_duplicates == 2);
    CHECK(option_bytes(counters) == 12);
}

TEST_CASE("a closed window is read only from kernels that know it, and from open connections") {
    auto info = sample();
    const auto counters = [&info](std::size_t length) {
        return tcp_counters_from(std::as_bytes(std::span(&info, 1)).first(length));
    };
    constexpr auto known = offsetof(tcp_info, tcpi_snd_wnd) + 4;
    CHECK_FALSE(counters(known).window_closed);
    info.tcpi_state = 1;  // established
    CHECK(counters(known).window_closed);
    CHECK_FALSE(counters(known - 1).window_closed);
    info.tcpi_snd_wnd = 1;
    CHECK_FALSE(counters(known).window_closed);
}

TEST_CASE("an older kernel's shorter answer leaves zeros, at every length") {
    const auto info = sample();
    const auto bytes = std::as_bytes(std::span(&info, 1));
    for (std::size_t length = 0; length <= bytes.size(); ++length) {
        const auto counters = tcp_counters_from(bytes.first(length));
        CHECK(counters.advertised_mss ==
              (length >= offsetof(tcp_info, tcpi_advmss) + 4 ? 1448 : counters.advertised_mss));
        if (length <= offsetof(tcp_info, tcpi_rcv_ooopack))
            CHECK(counters.out_of_order_segments == 0);
    }
    CHECK(tcp_counters_from({}) == TcpCounters{});
}

TEST_CASE("a longer answer of a later kernel is taken as far as it is known") {
    std::array<std::byte, sizeof(tcp_info) + 64> bytes{};
    const auto info = sample();
    std::memcpy(bytes.data(), &info, sizeof info);
    CHECK(tcp_counters_from(bytes).received_mss == 929);
}

TEST_CASE("a socket of ours can be asked, others not") {
    const Descriptor tcp(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    CHECK(tcp_counters(tcp.get()).has_value());
    const Descriptor udp(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    CHECK_FALSE(tcp_counters(udp.get()).has_value());
    CHECK_FALSE(tcp_counters(-1).has_value());
}
