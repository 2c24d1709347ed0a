// SPDX-License-Identifier: Apache-2.0
#include "probes/tcp_evidence.hpp"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>

namespace postfathom {

namespace {

// TCP_ESTABLISHED of <netinet/tcp.h>, which cannot stand beside <linux/tcp.h>.
constexpr std::uint8_t established = 1;

}  // namespace

TcpCounters tcp_counters_from(std::span<const std::byte> bytes) {
    tcp_info info{};
    if (!bytes.empty()) std::memcpy(&info, bytes.data(), std::min(bytes.size(), sizeof info));
    TcpCounters counters;
    counters.timestamps = (info.tcpi_options & TCPI_OPT_TIMESTAMPS) != 0;
    counters.advertised_mss = info.tcpi_advmss;
    counters.received_mss = info.tcpi_rcv_mss;
    counters.send_mss = info.tcpi_snd_mss;
    counters.peer_mss = info.tcpi_snd_mss + option_bytes(counters);
    counters.path_mtu = info.tcpi_pmtu;
    counters.bytes_received = info.tcpi_bytes_received;
    counters.bytes_acked = info.tcpi_bytes_acked;
    counters.unacked_segments = info.tcpi_unacked;
    counters.sacked_segments = info.tcpi_sacked;
    counters.data_segments_out = info.tcpi_data_segs_out;
    counters.congestion_window = info.tcpi_snd_cwnd;
    counters.data_segments_in = info.tcpi_data_segs_in;
    counters.out_of_order_segments = info.tcpi_rcv_ooopack;
    counters.retransmits_total = info.tcpi_total_retrans;
    counters.retransmits_outstanding = info.tcpi_retrans;
    counters.timeouts = info.tcpi_retransmits;
    counters.dsack_duplicates = info.tcpi_dsack_dups;
    counters.rtt_microseconds = info.tcpi_rtt;
    counters.retransmission_timeout_microseconds = info.tcpi_rto;
    constexpr auto window_end = offsetof(tcp_info, tcpi_snd_wnd) + sizeof info.tcpi_snd_wnd;
    counters.window_closed =
        bytes.size() >= window_end && info.tcpi_state == established && info.tcpi_snd_wnd == 0;
    return counters;
}

std::optional<TcpCounters> tcp_counters(int socket) {
    std::array<std::byte, 1024> buffer{};  // room for what later kernels add
    auto length = static_cast<socklen_t>(buffer.size());
    if (::getsockopt(socket, IPPROTO_TCP, TCP_INFO, buffer.data(), &length) != 0)
        return std::nullopt;
    return tcp_counters_from(std::span(buffer).first(length));
}

}  // namespace postfathom
