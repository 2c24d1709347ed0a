// SPDX-License-Identifier: Apache-2.0
#include "probes/datagram_probe.hpp"

#include <linux/errqueue.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <string>

#include "lib/base/descriptor.hpp"
#include "lib/net/deadline.hpp"
#include "probes/socket_address.hpp"

namespace postfathom {

namespace {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr std::size_t most_datagrams = 10;
// A host answers six at once for a closed port, then one a second (net.ipv4.icmp_ratelimit); we
// send four of them at most.
constexpr auto apart = 50ms;
// Where traceroute(8) starts: nothing is supposed to listen there.
constexpr std::uint16_t closed_port = 33434;

// A route cannot be made smaller than this by a message (net.ipv4.route.min_pmtu; RFC 8200 section
// 5).
constexpr PathMtu least_claim(IpFamily family) {
    return family == IpFamily::v4 ? PathMtu{552} : PathMtu{1280};
}

constexpr std::uint32_t headers(IpFamily family) {
    constexpr std::uint32_t udp_or_echo = 8;
    return (family == IpFamily::v4 ? 20 : 40) + udp_or_echo;
}

std::optional<IpAddress> address_of(const sockaddr_storage& storage) {
    if (storage.ss_family == AF_INET) {
        sockaddr_in v4{};
        std::memcpy(&v4, &storage, sizeof v4);
        std::array<std::uint8_t, 4> bytes{};
        std::memcpy(bytes.data(), &v4.sin_addr, bytes.size());
        return IpAddress::from_v4(bytes);
    }
    if (storage.ss_family == AF_INET6) {
        sockaddr_in6 v6{};
        std::memcpy(&v6, &storage, sizeof v6);
        std::array<std::uint8_t, 16> bytes{};
        std::memcpy(bytes.data(), &v6.sin6_addr, bytes.size());
        return IpAddress::from_v6(bytes);
    }
    return std::nullopt;
}

// A connected socket for one kind of datagram. Nothing when this host does not allow it.
class DatagramSocket {
  public:
    DatagramSocket(const ProbePlan& plan, bool echo, const asio::any_io_executor& executor)
        : destination_(plan.endpoint.address), echo_(echo), socket_(executor) {
        const bool v4 = destination_.family() == IpFamily::v4;
        Descriptor raw(::socket(v4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
                                !echo ? IPPROTO_UDP
                                : v4  ? static_cast<int>(IPPROTO_ICMP)
                                      : static_cast<int>(IPPROTO_ICMPV6)));
        if (!raw) return;
        // The size decides and not what the kernel has learned, and the answer is for us to read.
        const int probe = v4 ? IP_PMTUDISC_PROBE : IPV6_PMTUDISC_PROBE;
        const int on = 1;
        const int level = v4 ? static_cast<int>(IPPROTO_IP) : static_cast<int>(IPPROTO_IPV6);
        if (::setsockopt(raw.get(), level, v4 ? IP_MTU_DISCOVER : IPV6_MTU_DISCOVER, &probe,
                         sizeof probe) != 0 ||
            ::setsockopt(raw.get(), level, v4 ? IP_RECVERR : IPV6_RECVERR, &on, sizeof on) != 0)
            return;
        if (plan.source) {
            const auto from = socket_address(*plan.source, 0);
            if (::bind(raw.get(), from.get(), from.length) != 0) return;
        }
        const auto to = socket_address(destination_, echo ? std::uint16_t{0} : closed_port);
        if (::connect(raw.get(), to.get(), to.length) != 0) return;
        socket_.assign(raw.release());
    }

    bool usable() const { return socket_.is_open(); }

    asio::awaitable<DatagramProbe> probe(PathMtu size, std::optional<PathMtu> interface_mtu,
                                         Clock::duration patience);

  private:
    bool send(PathMtu size);
    std::optional<DatagramError> read_error(std::optional<PathMtu> interface_mtu);
    bool read_answer();

    IpAddress destination_;
    bool echo_;
    asio::posix::stream_descriptor socket_;
    std::uint16_t sequence_ = 0;
};

bool DatagramSocket::send(PathMtu size) {
    std::string bytes(size.bytes - headers(destination_.family()) + (echo_ ? 8 : 0), '\0');
    if (echo_) {
        // The kernel fills in identifier and checksum.
        const bool v4 = destination_.family() == IpFamily::v4;
        bytes[0] = static_cast<char>(v4 ? ICMP_ECHO : ICMP6_ECHO_REQUEST);
        ++sequence_;
        bytes[6] = static_cast<char>(sequence_ >> 8);
        bytes[7] = static_cast<char>(sequence_ & 0xff);
    }
    return ::send(socket_.native_handle(), bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
           static_cast<ssize_t>(bytes.size());
}

std::optional<DatagramError> DatagramSocket::read_error(std::optional<PathMtu> interface_mtu) {
    alignas(cmsghdr) std::array<char, 512> control{};
    std::array<char, 64> data{};
    iovec part{data.data(), data.size()};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    if (::recvmsg(socket_.native_handle(), &message, MSG_ERRQUEUE | MSG_DONTWAIT) < 0)
        return std::nullopt;
    return datagram_error(message, destination_, interface_mtu);
}

// An answer to the last one that was sent.
bool DatagramSocket::read_answer() {
    std::array<unsigned char, 16> data{};
    const auto length = ::recv(socket_.native_handle(), data.data(), data.size(), MSG_DONTWAIT);
    if (length < 0) return false;
    if (!echo_) return true;
    const bool v4 = destination_.family() == IpFamily::v4;
    return length >= 8 && data[0] == (v4 ? ICMP_ECHOREPLY : ICMP6_ECHO_REPLY) &&
           ((data[6] << 8) | data[7]) == sequence_;
}

asio::awaitable<DatagramProbe> DatagramSocket::probe(PathMtu size,
                                                     std::optional<PathMtu> interface_mtu,
                                                     Clock::duration patience) {
    DatagramProbe result;
    result.echo = echo_;
    result.size = size;
    if (!send(size)) {
        const bool too_big = errno == EMSGSIZE;
        result.outcome = too_big ? DatagramOutcome::too_big : DatagramOutcome::unusable;
        const auto error = read_error(interface_mtu);
        if (too_big && error) result.reported = error->reported;
        co_return result;
    }
    const auto until = Clock::now() + patience;
    while (true) {
        if (const auto error = read_error(interface_mtu);
            error && error->outcome != DatagramOutcome::silent) {
            result.outcome = error->outcome;
            result.reported = error->reported;
            result.router = error->router;
            co_return result;
        }
        if (read_answer()) {
            result.outcome = DatagramOutcome::passed;
            co_return result;
        }
        const auto left = until - Clock::now();
        if (left <= Clock::duration::zero()) co_return result;
        co_await with_deadline(
            left, socket_.async_wait(asio::posix::stream_descriptor::wait_read, use_result));
    }
}

class DatagramStep {
  public:
    explicit DatagramStep(EndpointRun& run) : run_(run), sizes_(datagram_sizes(run.evidence)) {}

    asio::awaitable<void> send_all();

  private:
    asio::awaitable<void> send_kind(bool echo);
    Clock::duration patience() const;

    EndpointRun& run_;
    std::vector<PathMtu> sizes_;
};

Clock::duration DatagramStep::patience() const {
    const auto& attempts = run_.evidence.attempts;
    const auto round_trip = std::chrono::microseconds(
        attempts.empty() ? 0 : attempts.front().counters.rtt_microseconds);
    return std::clamp<Clock::duration>(3 * round_trip, 200ms, 1s);
}

asio::awaitable<void> DatagramStep::send_kind(bool echo) {
    auto& found = run_.evidence.datagrams;
    const auto socket =
        std::make_unique<DatagramSocket>(run_.plan(), echo, co_await asio::this_coro::executor);
    if (!socket->usable()) co_return;
    auto sizes = sizes_;
    for (std::size_t i = 0; i < sizes.size() && found.size() < most_datagrams; ++i) {
        if (i > 0) co_await pause(apart);
        const auto result =
            co_await socket->probe(sizes[i], run_.evidence.vantage.interface_mtu, patience());
        found.push_back(result);
        // Who does not answer a small one would not answer a large one either.
        if (i == 0 && result.outcome != DatagramOutcome::passed) co_return;
        // After a large one that is lost, a small one shows that answers still come.
        if (result.outcome == DatagramOutcome::silent && i + 1 == sizes.size() &&
            sizes[i] > sizes.front())
            sizes.push_back(sizes.front());
    }
}

asio::awaitable<void> DatagramStep::send_all() {
    if (sizes_.empty()) co_return;
    co_await send_kind(false);
    co_await send_kind(true);
}

asio::awaitable<void> run_to_end(std::unique_ptr<DatagramStep> step) { co_await step->send_all(); }

}  // namespace

std::vector<PathMtu> datagram_sizes(const Evidence& evidence) {
    const auto& vantage = evidence.vantage;
    if (!vantage.interface_mtu) return {};
    const auto most = *vantage.interface_mtu;
    const PathMtu control =
        evidence.endpoint.address.family() == IpFamily::v4 ? PathMtu{576} : PathMtu{1280};
    std::vector<PathMtu> sizes;
    const auto add = [&](PathMtu size) {
        const bool known = std::find(sizes.begin(), sizes.end(), size) != sizes.end();
        if (size > control && size <= most && !known) sizes.push_back(size);
    };
    // Datagrams go the way out.
    std::optional<PathMtu> passes = evidence.outbound.path_mtu;
    std::optional<PathMtu> fails = evidence.outbound.fails;
    if (!fails) {
        passes = evidence.inbound.path_mtu;
        fails = evidence.inbound.fails;
    }
    if (passes && fails) {
        add(*passes);
        add(*fails);
    }
    // Whether the kernel's belief still holds.
    if (vantage.route_mtu && *vantage.route_mtu < most && vantage.route_mtu_learned) add(most);
    if (!sizes.empty()) sizes.insert(sizes.begin(), control);
    return sizes;
}

std::optional<DatagramError> datagram_error(const msghdr& message, const IpAddress& destination,
                                            std::optional<PathMtu> interface_mtu) {
    // CMSG_NXTHDR takes no const pointer.
    auto header = message;
    for (auto* part = CMSG_FIRSTHDR(&header); part != nullptr; part = CMSG_NXTHDR(&header, part)) {
        const bool v4 = part->cmsg_level == IPPROTO_IP && part->cmsg_type == IP_RECVERR;
        const bool v6 = part->cmsg_level == IPPROTO_IPV6 && part->cmsg_type == IPV6_RECVERR;
        if ((!v4 && !v6) || part->cmsg_len < CMSG_LEN(sizeof(sock_extended_err))) continue;
        sock_extended_err error{};
        std::memcpy(&error, CMSG_DATA(part), sizeof error);
        DatagramError result;
        // The address of who said it comes behind (SO_EE_OFFENDER, ip(7)).
        sockaddr_storage offender{};
        const auto rest = part->cmsg_len - CMSG_LEN(sizeof error);
        std::memcpy(&offender, CMSG_DATA(part) + sizeof error, std::min(rest, sizeof offender));
        const bool by_icmp =
            error.ee_origin == SO_EE_ORIGIN_ICMP || error.ee_origin == SO_EE_ORIGIN_ICMP6;
        if (by_icmp) result.router = address_of(offender);
        if (error.ee_errno == EMSGSIZE) {
            result.outcome = DatagramOutcome::too_big;
            const PathMtu claim{error.ee_info};
            // A claim of whoever sent it: what cannot be is not repeated.
            if (claim >= least_claim(destination.family()) &&
                (!interface_mtu || claim <= *interface_mtu))
                result.reported = claim;
        } else if (error.ee_errno == ECONNREFUSED && result.router == destination) {
            result.outcome = DatagramOutcome::passed;
            result.router.reset();
        }
        return result;
    }
    return std::nullopt;
}

asio::awaitable<void> send_datagrams(EndpointRun& run) {
    return run_to_end(std::make_unique<DatagramStep>(run));
}

}  // namespace postfathom
