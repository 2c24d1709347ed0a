// SPDX-License-Identifier: Apache-2.0
#include "probes/socket_feed.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <vector>

#include "lib/base/log.hpp"
#include "lib/net/deadline.hpp"
#include "lib/net/indispensable.hpp"
#include "probes/socket_samples.hpp"

namespace postfathom {

namespace {

using Clock = std::chrono::steady_clock;

void look(Daemon& daemon, bool& broken) {
    const auto start = Clock::now();
    auto sockets = sample_mail_sockets();
    if (!sockets) {
        if (!broken)
            log::warning("connections of this host cannot be looked at: {}; what they tell is lost",
                         sockets.error().message);
        broken = true;
        return;
    }
    broken = false;
    // Our probes make losses on purpose, and are judged where they are made.
    const auto ours = sockets->empty() ? std::set<std::uint32_t>{} : own_socket_inodes();
    std::erase_if(*sockets,
                  [&](const SocketSample& socket) { return ours.contains(socket.inode); });
    const auto cost = std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - start);
    daemon.on_sockets(*sockets, cost);
}

asio::awaitable<void> look_by_the_clock(Daemon& daemon) {
    bool broken = false;
    for (;;) {
        co_await pause(daemon.settings().socket_watch.interval);
        if (daemon.settings().socket_watch.enabled) look(daemon, broken);
    }
}

asio::awaitable<void> hear_last_words(Daemon& daemon) {
    auto opened = open_ended_sockets();
    if (!opened) {
        log::debug("the end of connections cannot be heard: {}", opened.error().message);
        co_return;
    }
    asio::posix::stream_descriptor socket(co_await asio::this_coro::executor, opened->release());
    const std::function<void(const SocketSample&)> sink = [&daemon](const SocketSample& sample) {
        if (daemon.settings().socket_watch.enabled) daemon.on_socket_ended(sample);
    };
    for (;;) {
        const auto result =
            co_await socket.async_wait(asio::posix::stream_descriptor::wait_read, use_result);
        if (std::get<0>(result)) co_return;
        drain_ended_sockets(socket.native_handle(), sink);
    }
}

}  // namespace

void start_socket_feed(asio::io_context& io, Daemon& daemon) {
    asio::co_spawn(io, look_by_the_clock(daemon), indispensable);
    asio::co_spawn(io, hear_last_words(daemon), indispensable);
}

}  // namespace postfathom
