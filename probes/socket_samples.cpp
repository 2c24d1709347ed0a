// SPDX-License-Identifier: Apache-2.0
#include "probes/socket_samples.hpp"

#include <dirent.h>
#include <linux/filter.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <string_view>

namespace postfathom {

namespace {

// States of <netinet/tcp.h>, which cannot stand beside <linux/tcp.h>.
constexpr std::uint8_t state_established = 1;
constexpr std::uint32_t states_with_data = 1U << state_established | 1U << 4 /* FIN_WAIT1 */ |
                                           1U << 8 /* CLOSE_WAIT */ | 1U << 9 /* LAST_ACK */ |
                                           1U << 11 /* CLOSING */;
constexpr std::uint8_t timer_retransmission = 1;
// Room for several parts of an answer: fewer system calls with many sockets.
constexpr std::size_t buffer_bytes = 64 * 1024;

template <typename T>
std::optional<T> value_at(std::span<const std::byte> bytes, std::size_t offset = 0) {
    if (offset > bytes.size() || bytes.size() - offset < sizeof(T)) return std::nullopt;
    T value{};
    std::memcpy(&value, bytes.data() + offset, sizeof value);
    return value;
}

// The kernel's filter (inet_diag_bc_run): "source or destination port is one of these". Each
// condition is followed by a jump to the end for when it holds, as the kernel's check of programs
// wants "yes" to be the next instruction. Leaving by exactly the end accepts, beyond it rejects.
std::vector<std::byte> port_filter() {
    constexpr std::size_t condition = 2 * sizeof(inet_diag_bc_op);
    constexpr std::size_t jump = sizeof(inet_diag_bc_op);
    constexpr std::size_t conditions = 2 * mail_ports.size();
    constexpr std::size_t total = conditions * (condition + jump) - jump;
    std::vector<std::byte> program;
    const auto add = [&program](inet_diag_bc_op operation) {
        const auto* bytes = reinterpret_cast<const std::byte*>(&operation);
        program.insert(program.end(), bytes, bytes + sizeof operation);
    };
    for (std::size_t i = 0; i < conditions; ++i) {
        const bool last = i + 1 == conditions;
        const std::uint8_t code = i % 2 == 0 ? INET_DIAG_BC_D_EQ : INET_DIAG_BC_S_EQ;
        add({code, condition, static_cast<std::uint16_t>(condition + jump)});
        add({0, 0, mail_ports[i / 2]});
        if (!last)
            add({INET_DIAG_BC_JMP, jump, static_cast<std::uint16_t>(total - program.size())});
    }
    return program;
}

IpAddress address_of(std::uint8_t family, const __be32* words) {
    std::array<std::uint8_t, 16> bytes{};
    std::memcpy(bytes.data(), words, bytes.size());
    if (family == AF_INET6) return IpAddress::from_v6(bytes);
    return IpAddress::from_v4({bytes[0], bytes[1], bytes[2], bytes[3]});
}

void read_tcp_info(SocketSample& sample, std::span<const std::byte> bytes) {
    tcp_info info{};
    std::memcpy(&info, bytes.data(), std::min(bytes.size(), sizeof info));
    constexpr std::uint32_t timestamps = 12;  // RFC 7323 section 3.2, padded
    sample.options = (info.tcpi_options & TCPI_OPT_TIMESTAMPS) != 0 ? timestamps : 0;
    sample.timeouts = info.tcpi_retransmits;
    sample.unacked = info.tcpi_unacked;
    sample.sacked = info.tcpi_sacked;
    sample.send_mss = info.tcpi_snd_mss;
    sample.advertised_mss = info.tcpi_advmss;
    sample.route_mtu = info.tcpi_pmtu;
    sample.bytes_acked = info.tcpi_bytes_acked;
    sample.data_segments_out = info.tcpi_data_segs_out;
    sample.repeats = info.tcpi_total_retrans;
    sample.bytes_repeated = info.tcpi_bytes_retrans;
    sample.bytes_received = info.tcpi_bytes_received;
    sample.out_of_order = info.tcpi_rcv_ooopack;
    sample.outstanding -= std::min(sample.outstanding, info.tcpi_notsent_bytes);
    constexpr auto window_end = offsetof(tcp_info, tcpi_snd_wnd) + sizeof info.tcpi_snd_wnd;
    if (bytes.size() >= window_end) sample.send_window = info.tcpi_snd_wnd;
}

Result<Descriptor> open_socket(std::uint32_t groups) {
    Descriptor socket(
        ::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_SOCK_DIAG));
    if (!socket) return tl::make_unexpected(errno_error(errno, "socket diagnosis"));
    sockaddr_nl address{};
    address.nl_family = AF_NETLINK;
    address.nl_groups = groups;
    if (::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
        return tl::make_unexpected(errno_error(errno, "socket diagnosis"));
    return socket;
}

Result<void> ask(int socket, std::uint8_t family) {
    const auto program = port_filter();
    struct Request {
        nlmsghdr header;
        inet_diag_req_v2 question;
        nlattr filter;
    } request{};
    const std::size_t length = sizeof request + program.size();
    request.header.nlmsg_len = static_cast<std::uint32_t>(length);
    request.header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
    request.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
    request.question.sdiag_family = family;
    request.question.sdiag_protocol = IPPROTO_TCP;
    request.question.idiag_ext = 1U << (INET_DIAG_INFO - 1) | 1U << (INET_DIAG_MEMINFO - 1);
    request.question.idiag_states = states_with_data;
    request.filter.nla_type = INET_DIAG_REQ_BYTECODE;
    request.filter.nla_len = static_cast<std::uint16_t>(sizeof(nlattr) + program.size());
    std::vector<std::byte> bytes(length);
    std::memcpy(bytes.data(), &request, sizeof request);
    std::memcpy(bytes.data() + sizeof request, program.data(), program.size());
    if (::send(socket, bytes.data(), bytes.size(), 0) < 0)
        return tl::make_unexpected(errno_error(errno, "socket diagnosis"));
    return {};
}

// Calls `on_message(type, payload)` for each message of one datagram.
template <typename OnMessage>
void for_each_message(std::span<const std::byte> datagram, OnMessage on_message) {
    while (const auto header = value_at<nlmsghdr>(datagram)) {
        if (header->nlmsg_len < sizeof(nlmsghdr) || header->nlmsg_len > datagram.size()) return;
        on_message(header->nlmsg_type, datagram.first(header->nlmsg_len).subspan(sizeof(nlmsghdr)));
        datagram = datagram.subspan(
            std::min<std::size_t>(NLMSG_ALIGN(header->nlmsg_len), datagram.size()));
    }
}

// The kernel prepares its answer within our calls: there is nothing to wait for.
Result<void> receive_all(int socket, std::vector<SocketSample>& samples) {
    std::vector<std::byte> buffer(buffer_bytes);
    for (bool done = false; !done;) {
        const auto length = ::recv(socket, buffer.data(), buffer.size(), 0);
        if (length < 0 && errno == EINTR) continue;
        if (length <= 0) return tl::make_unexpected(errno_error(errno, "socket diagnosis"));
        int trouble = 0;
        for_each_message(std::span(buffer).first(static_cast<std::size_t>(length)),
                         [&](std::uint16_t type, std::span<const std::byte> payload) {
                             if (type == NLMSG_DONE) done = true;
                             if (type == NLMSG_ERROR) {
                                 done = true;
                                 trouble = -value_at<nlmsgerr>(payload).value_or(nlmsgerr{}).error;
                             }
                             if (type != SOCK_DIAG_BY_FAMILY) return;
                             if (auto sample = socket_sample_from(payload))
                                 samples.push_back(*sample);
                         });
        if (trouble != 0) return tl::make_unexpected(errno_error(trouble, "socket diagnosis"));
    }
    return {};
}

// The same condition for what is sent to all who listen: a classic BPF program over the datagram,
// which holds one message.
Result<void> attach_port_filter(int socket) {
    constexpr auto ports = sizeof(nlmsghdr) + offsetof(inet_diag_msg, id);
    std::vector<sock_filter> program;
    const auto count = static_cast<std::uint8_t>(mail_ports.size());
    const std::array<std::size_t, 2> offsets{ports + offsetof(inet_diag_sockid, idiag_sport),
                                             ports + offsetof(inet_diag_sockid, idiag_dport)};
    for (std::size_t end = 0; end < offsets.size(); ++end) {
        program.push_back(
            BPF_STMT(BPF_LD | BPF_H | BPF_ABS, static_cast<std::uint32_t>(offsets[end])));
        for (std::uint8_t i = 0; i < count; ++i) {
            // To "accept", behind what is left of this end, the other end, and "reject".
            const auto left = static_cast<std::uint8_t>(count - 1 - i);
            const auto more = static_cast<std::uint8_t>(end == 0 ? count + 1 : 0);
            program.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, mail_ports[i],
                                       static_cast<std::uint8_t>(left + more + 1), 0));
        }
    }
    program.push_back(BPF_STMT(BPF_RET | BPF_K, 0));
    program.push_back(BPF_STMT(BPF_RET | BPF_K, 0xffffffff));
    const sock_fprog attached{static_cast<std::uint16_t>(program.size()), program.data()};
    if (::setsockopt(socket, SOL_SOCKET, SO_ATTACH_FILTER, &attached, sizeof attached) != 0)
        return tl::make_unexpected(errno_error(errno, "filter of ended sockets"));
    return {};
}

constexpr std::uint32_t group_bit(unsigned group) { return 1U << (group - 1); }

}  // namespace

std::optional<SocketSample> socket_sample_from(std::span<const std::byte> message) {
    const auto header = value_at<inet_diag_msg>(message);
    if (!header || (header->idiag_family != AF_INET && header->idiag_family != AF_INET6))
        return std::nullopt;
    SocketSample sample;
    sample.cookie = std::uint64_t{header->id.idiag_cookie[1]} << 32 | header->id.idiag_cookie[0];
    sample.local = address_of(header->idiag_family, header->id.idiag_src);
    sample.peer = address_of(header->idiag_family, header->id.idiag_dst);
    sample.local_port = ntohs(header->id.idiag_sport);
    sample.peer_port = ntohs(header->id.idiag_dport);
    sample.owner = header->idiag_uid;
    sample.inode = header->idiag_inode;
    sample.established = header->idiag_state == state_established;
    sample.repeating = header->idiag_timer == timer_retransmission;
    sample.unread = header->idiag_rqueue;
    sample.outstanding = header->idiag_wqueue;
    bool told = false;
    auto rest = message.subspan(std::min(NLMSG_ALIGN(sizeof *header), message.size()));
    while (const auto attribute = value_at<nlattr>(rest)) {
        if (attribute->nla_len < sizeof(nlattr) || attribute->nla_len > rest.size()) break;
        const auto payload = rest.first(attribute->nla_len).subspan(sizeof(nlattr));
        if (attribute->nla_type == INET_DIAG_INFO && !payload.empty()) {
            read_tcp_info(sample, payload);
            told = true;
        } else if (attribute->nla_type == INET_DIAG_MEMINFO) {
            if (const auto memory = value_at<inet_diag_meminfo>(payload))
                sample.held = memory->idiag_rmem;
        }
        rest = rest.subspan(std::min<std::size_t>(NLA_ALIGN(attribute->nla_len), rest.size()));
    }
    if (!told) return std::nullopt;
    return sample;
}

Result<std::vector<SocketSample>> sample_mail_sockets() {
    const auto socket = open_socket(0);
    if (!socket) return tl::make_unexpected(socket.error());
    std::vector<SocketSample> samples;
    // IPv6 sockets with IPv4 addresses come with IPv6.
    for (const std::uint8_t family : {std::uint8_t{AF_INET}, std::uint8_t{AF_INET6}}) {
        if (const auto asked = ask(socket->get(), family); !asked)
            return tl::make_unexpected(asked.error());
        if (const auto received = receive_all(socket->get(), samples); !received)
            return tl::make_unexpected(received.error());
    }
    return samples;
}

std::set<std::uint32_t> own_socket_inodes() {
    std::set<std::uint32_t> inodes;
    DIR* const directory = ::opendir("/proc/self/fd");
    const int own = directory == nullptr ? -1 : ::dirfd(directory);
    if (own < 0) return inodes;
    while (const auto* entry = ::readdir(directory)) {
        std::array<char, 64> target{};
        const auto length = ::readlinkat(own, entry->d_name, target.data(), target.size());
        if (length <= 0) continue;
        const std::string_view text(target.data(), static_cast<std::size_t>(length));
        constexpr std::string_view prefix = "socket:[";
        if (!text.starts_with(prefix)) continue;
        std::uint32_t inode = 0;
        const auto digits = text.substr(prefix.size());
        if (std::from_chars(digits.data(), digits.data() + digits.size(), inode).ec == std::errc{})
            inodes.insert(inode);
    }
    ::closedir(directory);
    return inodes;
}

Result<Descriptor> open_ended_sockets() {
    auto socket =
        open_socket(group_bit(SKNLGRP_INET_TCP_DESTROY) | group_bit(SKNLGRP_INET6_TCP_DESTROY));
    if (!socket) return tl::make_unexpected(socket.error());
    if (const auto filtered = attach_port_filter(socket->get()); !filtered)
        return tl::make_unexpected(filtered.error());
    return socket;
}

void drain_ended_sockets(int socket, const std::function<void(const SocketSample&)>& sink) {
    std::vector<std::byte> buffer(buffer_bytes);
    for (;;) {
        const auto length = ::recv(socket, buffer.data(), buffer.size(), 0);
        // What did not fit into the socket's buffer is lost (ENOBUFS); samples tell of the rest.
        if (length < 0 && (errno == EINTR || errno == ENOBUFS)) continue;
        if (length <= 0) return;
        for_each_message(std::span(buffer).first(static_cast<std::size_t>(length)),
                         [&sink](std::uint16_t type, std::span<const std::byte> payload) {
                             if (type != SOCK_DIAG_BY_FAMILY) return;
                             auto sample = socket_sample_from(payload);
                             if (!sample) return;
                             sample->destroyed = true;
                             sink(*sample);
                         });
    }
}

}  // namespace postfathom
