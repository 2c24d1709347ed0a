// SPDX-License-Identifier: Apache-2.0
#include "probes/tlsrpt_feed.hpp"

#include <sys/socket.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/local/datagram_protocol.hpp>
#include <cerrno>
#include <cstring>
#include <vector>

#include "lib/base/log.hpp"
#include "lib/net/deadline.hpp"
#include "lib/net/indispensable.hpp"
#include "lib/net/listener.hpp"

namespace postfathom {

namespace {

using Datagrams = asio::local::datagram_protocol;

constexpr std::chrono::minutes complain_again_after{10};
// More than a datagram can be: net.core.wmem_max is 208 KiB. What we cannot read may still be for
// the collector.
constexpr std::size_t buffer_bytes = 256 * 1024;

asio::awaitable<void> receive(Daemon& daemon, Datagrams::socket socket) {
    DatagramForwarder forwarder(daemon.settings().tlsrpt.forward_to);
    Pace complaints(complain_again_after, 1);
    std::vector<char> buffer(buffer_bytes);
    for (;;) {
        const auto result = co_await socket.async_receive(asio::buffer(buffer), use_result);
        const auto& [error, length] = result;
        if (error == asio::error::operation_aborted) co_return;
        if (error) {
            co_await pause(std::chrono::seconds{1});
            continue;
        }
        const std::string_view datagram(buffer.data(), length);
        // One that fills the buffer may have been cut.
        if (length < buffer.size()) daemon.count_forwarded(forwarder.pass_on(datagram));
        const auto taken = daemon.on_tls_report(datagram);
        if (!taken && complaints.allow("", std::chrono::steady_clock::now()))
            log::warning(
                "{}: a datagram is no report of libtlsrpt: {}; see that only Postfix writes there "
                "(/v1/status counts further ones)",
                daemon.settings().tlsrpt.socket, taken.error().message);
    }
}

}  // namespace

DatagramForwarder::DatagramForwarder(const std::string& path)
    : path_(path), complaints_(complain_again_after, 1) {
    if (path.empty() || path.size() >= sizeof address_.sun_path) return;
    socket_ = Descriptor(::socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    address_.sun_family = AF_UNIX;
    std::memcpy(address_.sun_path, path.data(), path.size());
}

// Addressed by path each time, so that a collector that was started again is found.
bool DatagramForwarder::pass_on(std::string_view datagram) {
    if (!socket_) return path_.empty();
    const auto sent =
        ::sendto(socket_.get(), datagram.data(), datagram.size(), MSG_DONTWAIT | MSG_NOSIGNAL,
                 reinterpret_cast<const sockaddr*>(&address_), sizeof address_);
    if (sent == static_cast<ssize_t>(datagram.size())) return true;
    const int reason = errno;
    ++lost_;
    if (complaints_.allow("", std::chrono::steady_clock::now()))
        log::warning("{}: the TLSRPT collector does not take a datagram: {}; {} lost so far", path_,
                     std::strerror(reason), lost_);
    return false;
}

std::optional<int> open_tlsrpt_socket(const Settings::Tlsrpt& settings) {
    if (settings.socket.empty()) return std::nullopt;
    const auto place = socket_place_for_postfix(settings.socket, settings.rights);
    const auto bound =
        place ? bind_unix_datagram(*place) : Result<int>(tl::make_unexpected(place.error()));
    if (bound) return *bound;
    log::error("tlsrpt.socket: {}; what Postfix reports of TLS handshakes is not seen",
               bound.error().message);
    return std::nullopt;
}

void start_tlsrpt_feed(asio::io_context& io, Daemon& daemon, int socket) {
    asio::co_spawn(io, receive(daemon, Datagrams::socket(io, Datagrams(), socket)), indispensable);
}

}  // namespace postfathom
