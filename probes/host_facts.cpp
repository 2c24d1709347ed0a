// SPDX-License-Identifier: Apache-2.0
#include "probes/host_facts.hpp"

#include <libmnl/libmnl.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <ctime>
#include <memory>
#include <vector>

#include "lib/base/descriptor.hpp"
#include "probes/socket_address.hpp"

namespace postfathom {

namespace {

// One request to the kernel's routing tables and its answer (rtnetlink(7)).
class RouteSocket {
  public:
    static Result<RouteSocket> open() {
        RouteSocket socket;
        socket.socket_.reset(mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC));
        if (!socket.socket_ || mnl_socket_bind(socket.socket_.get(), 0, MNL_SOCKET_AUTOPID) < 0)
            return tl::make_unexpected(errno_error(errno, "rtnetlink"));
        return socket;
    }

    template <typename OnMessage>
    Result<void> ask(nlmsghdr* request, OnMessage on_message) {
        request->nlmsg_flags |= NLM_F_REQUEST;
        request->nlmsg_seq = ++sequence_;
        if (mnl_socket_sendto(socket_.get(), request, request->nlmsg_len) < 0)
            return tl::make_unexpected(errno_error(errno, "rtnetlink"));
        std::vector<char> buffer(static_cast<std::size_t>(MNL_SOCKET_BUFFER_SIZE));
        const auto length = mnl_socket_recvfrom(socket_.get(), buffer.data(), buffer.size());
        if (length < 0) return tl::make_unexpected(errno_error(errno, "rtnetlink"));
        const mnl_cb_t call = [](const nlmsghdr* message, void* pointer) {
            (*static_cast<OnMessage*>(pointer))(message);
            return MNL_CB_OK;
        };
        if (mnl_cb_run(buffer.data(), static_cast<std::size_t>(length), sequence_,
                       mnl_socket_get_portid(socket_.get()), call, &on_message) < 0)
            return tl::make_unexpected(errno_error(errno, "route lookup"));
        return {};
    }

  private:
    struct Close {
        void operator()(mnl_socket* socket) const { mnl_socket_close(socket); }
    };
    std::unique_ptr<mnl_socket, Close> socket_;
    unsigned sequence_ = static_cast<unsigned>(::time(nullptr));
};

// libmnl's loop macros are C only; its parsers take a callback.
template <typename Visit>
int visit_attribute(const nlattr* attribute, void* visit) {
    (*static_cast<Visit*>(visit))(attribute);
    return MNL_CB_OK;
}
template <typename Visit>
void for_each_attribute(const nlmsghdr* message, std::size_t header_size, Visit visit) {
    mnl_attr_parse(message, static_cast<unsigned>(header_size), visit_attribute<Visit>, &visit);
}
template <typename Visit>
void for_each_nested(const nlattr* attribute, Visit visit) {
    mnl_attr_parse_nested(attribute, visit_attribute<Visit>, &visit);
}

int address_family(IpFamily family) { return family == IpFamily::v4 ? AF_INET : AF_INET6; }

unsigned char address_bits(IpFamily family) { return family == IpFamily::v4 ? 32 : 128; }

void put_address(nlmsghdr* message, std::uint16_t type, const IpAddress& address) {
    mnl_attr_put(message, type, address_bits(address.family()) / 8, address.bytes().data());
}

IpAddress get_address(const nlattr* attribute, int family) {
    std::array<std::uint8_t, 16> bytes{};
    const auto length = std::min<std::size_t>(mnl_attr_get_payload_len(attribute), bytes.size());
    std::memcpy(bytes.data(), mnl_attr_get_payload(attribute), length);
    if (family == AF_INET6) return IpAddress::from_v6(bytes);
    return IpAddress::from_v4({bytes[0], bytes[1], bytes[2], bytes[3]});
}

// A route as the kernel tells it; what `ip route` prints.
struct Route {
    unsigned char prefix_bits = 0;
    std::optional<IpAddress> gateway;
    std::optional<IpAddress> preferred_source;
    std::uint32_t interface_index = 0;
    std::uint32_t priority = 0;
    std::uint32_t mtu = 0;
    std::uint32_t advertised_mss = 0;
    bool expires = false;  // an exception that the kernel learned
    bool local = false;    // to an address of this host
};

std::uint32_t metric(const nlattr* metrics, int wanted) {
    std::uint32_t value = 0;
    for_each_nested(metrics, [&](const nlattr* attribute) {
        if (mnl_attr_get_type(attribute) == wanted &&
            mnl_attr_get_payload_len(attribute) >= sizeof value)
            value = mnl_attr_get_u32(attribute);
    });
    return value;
}

bool expires(const nlattr* attribute) {
    rta_cacheinfo info{};
    if (mnl_attr_get_payload_len(attribute) < sizeof info) return false;
    std::memcpy(&info, mnl_attr_get_payload(attribute), sizeof info);
    return info.rta_expires > 0;
}

Route read_route(const nlmsghdr* message) {
    Route route;
    const auto* header = static_cast<const rtmsg*>(mnl_nlmsg_get_payload(message));
    route.prefix_bits = header->rtm_dst_len;
    route.local = header->rtm_type == RTN_LOCAL;
    for_each_attribute(message, sizeof(rtmsg), [&](const nlattr* attribute) {
        switch (mnl_attr_get_type(attribute)) {
            case RTA_GATEWAY:
                route.gateway = get_address(attribute, header->rtm_family);
                break;
            case RTA_PREFSRC:
                route.preferred_source = get_address(attribute, header->rtm_family);
                break;
            case RTA_OIF:
                route.interface_index = mnl_attr_get_u32(attribute);
                break;
            case RTA_PRIORITY:
                route.priority = mnl_attr_get_u32(attribute);
                break;
            case RTA_CACHEINFO:
                route.expires = expires(attribute);
                break;
            case RTA_METRICS:
                route.mtu = metric(attribute, RTAX_MTU);
                route.advertised_mss = metric(attribute, RTAX_ADVMSS);
                break;
            default:
                break;
        }
    });
    return route;
}

// `flags`: RTM_F_FIB_MATCH asks for the entry of the table instead of the way a packet would go.
Result<Route> find_route(RouteSocket& socket, const IpAddress& destination,
                         const std::optional<IpAddress>& source, unsigned flags) {
    std::array<char, 512> buffer{};
    nlmsghdr* request = mnl_nlmsg_put_header(buffer.data());
    request->nlmsg_type = RTM_GETROUTE;
    auto* header = static_cast<rtmsg*>(mnl_nlmsg_put_extra_header(request, sizeof(rtmsg)));
    header->rtm_family = static_cast<unsigned char>(address_family(destination.family()));
    header->rtm_dst_len = address_bits(destination.family());
    header->rtm_flags = flags;
    put_address(request, RTA_DST, destination);
    if (source) {
        header->rtm_src_len = address_bits(source->family());
        put_address(request, RTA_SRC, *source);
    }
    std::optional<Route> route;
    auto asked = socket.ask(request, [&](const nlmsghdr* answer) {
        if (answer->nlmsg_type == RTM_NEWROUTE) route = read_route(answer);
    });
    if (!asked) return tl::make_unexpected(asked.error());
    if (!route) return fail(ErrorCode::not_found, "no route to " + destination.to_string());
    return *route;
}

struct Link {
    std::string name;
    std::string kind;
    std::optional<PathMtu> mtu;
};

Result<Link> find_link(RouteSocket& socket, std::uint32_t index) {
    std::array<char, 256> buffer{};
    nlmsghdr* request = mnl_nlmsg_put_header(buffer.data());
    request->nlmsg_type = RTM_GETLINK;
    auto* header = static_cast<ifinfomsg*>(mnl_nlmsg_put_extra_header(request, sizeof(ifinfomsg)));
    header->ifi_index = static_cast<int>(index);
    Link link;
    auto asked = socket.ask(request, [&](const nlmsghdr* answer) {
        for_each_attribute(answer, sizeof(ifinfomsg), [&](const nlattr* attribute) {
            const auto type = mnl_attr_get_type(attribute);
            if (type == IFLA_IFNAME) link.name = mnl_attr_get_str(attribute);
            if (type == IFLA_MTU) link.mtu = PathMtu{mnl_attr_get_u32(attribute)};
            if (type != IFLA_LINKINFO) return;
            for_each_nested(attribute, [&](const nlattr* nested) {
                if (mnl_attr_get_type(nested) == IFLA_INFO_KIND)
                    link.kind = mnl_attr_get_str(nested);
            });
        });
    });
    if (!asked) return tl::make_unexpected(asked.error());
    return link;
}

// What brings this route back with `ip route replace`. Only for the metric that `ip route` uses
// when none is given: another metric is another route, which a new one leaves alone.
std::optional<std::string> host_route_text(const Route& route, const IpAddress& destination,
                                           const Link& link) {
    const auto family = destination.family();
    constexpr std::uint32_t default_v6_priority = 1024;  // IP6_RT_PRIO_USER
    const std::uint32_t default_priority = family == IpFamily::v4 ? 0 : default_v6_priority;
    if (route.prefix_bits != address_bits(family) || route.priority != default_priority)
        return std::nullopt;
    std::string text = destination.to_string() + '/' + std::to_string(address_bits(family));
    if (route.gateway) text += " via " + route.gateway->to_string();
    text += " dev " + link.name;
    if (route.preferred_source) text += " src " + route.preferred_source->to_string();
    if (route.mtu != 0) text += " mtu " + std::to_string(route.mtu);
    if (route.advertised_mss != 0) text += " advmss " + std::to_string(route.advertised_mss);
    return text;
}

}  // namespace

Result<HostFacts> host_facts(const IpAddress& destination, const std::optional<IpAddress>& source) {
    auto socket = RouteSocket::open();
    if (!socket) return tl::make_unexpected(socket.error());
    const auto way = find_route(*socket, destination, source, 0);
    if (!way) return tl::make_unexpected(way.error());
    const auto link = find_link(*socket, way->interface_index);
    if (!link) return tl::make_unexpected(link.error());

    HostFacts facts;
    facts.destination = destination;
    facts.gateway = way->gateway;
    facts.interface = link->name;
    facts.interface_mtu = link->mtu;
    facts.interface_kind = link->kind;
    facts.own = way->local;
    facts.mtu_learned = way->mtu != 0 && way->expires;
    // The entry of the table, unlike the way, tells a configured source from a chosen one.
    if (const auto entry = find_route(*socket, destination, source, RTM_F_FIB_MATCH)) {
        facts.source = entry->preferred_source;
        facts.existing_host_route = host_route_text(*entry, destination, *link);
    }
    return facts;
}

namespace {

// Empty where the kernel has no way.
Descriptor connected_datagram_socket(const IpAddress& destination,
                                     const std::optional<IpAddress>& source) {
    Descriptor socket(::socket(address_family(destination.family()), SOCK_DGRAM | SOCK_CLOEXEC, 0));
    if (!socket) return {};
    if (source) {
        const auto local = socket_address(*source, 0);
        if (::bind(socket.get(), local.get(), local.length) != 0) return {};
    }
    constexpr std::uint16_t discard_port = 9;  // connect(2) on UDP sends nothing, any port will do
    const auto peer = socket_address(destination, discard_port);
    if (::connect(socket.get(), peer.get(), peer.length) != 0) return {};
    return socket;
}

}  // namespace

std::optional<IpAddress> chosen_source(const IpAddress& destination) {
    const auto socket = connected_datagram_socket(destination, std::nullopt);
    if (!socket) return std::nullopt;
    return local_address_of(socket.get());
}

bool is_own_address(const IpAddress& address) {
    // The kernel takes "unspecified" for this host, and sends from 127.0.0.1 to all of 127.0.0.0/8.
    return address.is_loopback() || address.is_unspecified() || chosen_source(address) == address;
}

std::optional<PathMtu> current_route_mtu(const IpAddress& destination,
                                         const std::optional<IpAddress>& source) {
    const bool v4 = destination.family() == IpFamily::v4;
    const auto socket = connected_datagram_socket(destination, source);
    if (!socket) return std::nullopt;
    int mtu = 0;
    socklen_t length = sizeof mtu;
    if (::getsockopt(socket.get(), v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_MTU : IPV6_MTU, &mtu,
                     &length) != 0 ||
        mtu <= 0)
        return std::nullopt;
    return PathMtu{static_cast<std::uint32_t>(mtu)};
}

}  // namespace postfathom
