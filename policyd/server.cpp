// SPDX-License-Identifier: Apache-2.0
#include "policyd/server.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>
#include <vector>

#include "lib/base/log.hpp"
#include "lib/config/duration.hpp"
#include "lib/net/listener.hpp"

namespace postfathom {

namespace {

using namespace std::chrono_literals;

std::uint32_t peer_pid(int socket) {
    ucred credentials{};
    socklen_t size = sizeof credentials;
    if (::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) return 0;
    return credentials.pid > 0 ? static_cast<std::uint32_t>(credentials.pid) : 0;
}

}  // namespace

Acceptor::Acceptor(boost::asio::io_context& io, std::string name, const Settings::Policy& settings,
                   HookTimer& times, MakeSession make_session)
    : name_(std::move(name)),
      settings_(settings),
      times_(times),
      make_session_(std::move(make_session)),
      acceptor_(io),
      pause_(io),
      watch_(io),
      complaints_(1min, 8) {}

Result<void> Acceptor::listen(const std::string& path, const SocketRights& rights) {
    const auto place = socket_place_for_postfix(path, rights);
    if (!place) return tl::make_unexpected(place.error());
    const auto directory = std::filesystem::path(path).parent_path();
    std::error_code error;
    std::filesystem::create_directories(directory, error);
    if (error)
        return fail(ErrorCode::io, fmt::format("{}: {}; create it, and let us write in it",
                                               directory.string(), error.message()));
    const auto listening = listen_unix(*place);
    if (!listening) return tl::make_unexpected(listening.error());
    path_ = path;
    start(*listening, AF_UNIX);
    return {};
}

Result<void> Acceptor::listen(const TcpPlace& place) {
    const auto listening = listen_tcp(place.address, place.port);
    if (!listening) return tl::make_unexpected(listening.error());
    start(*listening, place.address.family() == IpFamily::v4 ? AF_INET : AF_INET6);
    return {};
}

void Acceptor::start(int listening, int family) {
    family_ = family;
    acceptor_.assign(Protocol(family, 0), listening);
    accept();
    watch_the_slow();
}

void Acceptor::stop() {
    boost::system::error_code ignored;
    acceptor_.close(ignored);
    pause_.cancel();
    watch_.cancel();
    remove_socket(path_);
    path_.clear();
    // close() takes them out of the map.
    while (!connections_.empty()) {
        const auto connection = connections_.begin()->second;
        connection->close();
    }
}

void Acceptor::accept() {
    acceptor_.async_accept([this](boost::system::error_code error, Connection::Socket socket) {
        if (error == boost::asio::error::operation_aborted || !acceptor_.is_open()) return;
        if (error) return pause_accepting(error.message());
        try {
            take(std::move(socket));
        } catch (const std::exception& caught) {  // no memory
            return pause_accepting(caught.what());
        }
        accept();
    });
}

// Out of descriptors or memory: trying again at once would only burn the processor.
void Acceptor::pause_accepting(const std::string& why) {
    if (complaints_.allow("accept", std::chrono::steady_clock::now()))
        log::error("{}: cannot accept a connection: {}; trying again", name_, why);
    pause_.expires_after(100ms);
    pause_.async_wait([this](boost::system::error_code error) {
        if (!error) accept();
    });
}

void Acceptor::take(Connection::Socket socket) {
    if (connections_.size() >= settings_.max_connections) {
        if (complaints_.allow("limit", std::chrono::steady_clock::now()))
            log::warning(
                "{}: {} connections are open, which is the limit (policy.max_connections); "
                "closing new ones",
                name_, connections_.size());
        return;
    }
    const auto pid = family_ == AF_UNIX ? peer_pid(socket.native_handle()) : 0;
    if (family_ != AF_UNIX) {
        const int yes = 1;
        // An answer is one segment, and Postfix waits for it.
        ::setsockopt(socket.native_handle(), IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
        // Idle connections are kept, those to hosts that went away are not.
        ::setsockopt(socket.native_handle(), SOL_SOCKET, SO_KEEPALIVE, &yes, sizeof yes);
    }
    auto connection = std::make_shared<Connection>(
        std::move(socket), times_, [this](Connection& closed) { connections_.erase(&closed); });
    connections_.emplace(connection.get(), connection);
    connection->start(make_session_(pid, *connection));
}

void Acceptor::watch_the_slow() {
    watch_.expires_after(1s);
    watch_.async_wait([this](boost::system::error_code error) {
        if (error) return;
        close_the_slow();
        watch_the_slow();
    });
}

// Looked at once a second instead of with a timer each, which every request would have to set.
void Acceptor::close_the_slow() {
    const auto limit = std::chrono::steady_clock::now() - settings_.request_timeout;
    std::vector<std::shared_ptr<Connection>> slow;
    for (const auto& [key, connection] : connections_)
        if (const auto since = connection->owing_since(); since && *since <= limit)
            slow.push_back(connection);
    if (slow.empty()) return;
    log::warning(
        "{}: {} of {} connections did not end a request, or take its answer, within {} "
        "(policy.request_timeout); closing {}",
        name_, slow.size(), connections_.size(), render_duration(settings_.request_timeout),
        slow.size() == 1 ? "it" : "them");
    for (const auto& connection : slow) connection->close();
}

Server::Server(boost::asio::io_context& io, const Settings& settings, const CacheReader& cache,
               NoticeSender& notices)
    : settings_(settings),
      notices_(notices),
      policy_(settings, cache, notices),
      dsn_(io.get_executor(), settings, cache, notices),
      floor_(settings, cache),
      policy_acceptor_(io, "policy socket", settings.policy, policy_times_,
                       [this](std::uint32_t, Connection&) { return policy_.session(); }),
      policy_tcp_acceptor_(io, "policy socket on TCP", settings.policy, policy_times_,
                           [this](std::uint32_t, Connection&) { return policy_.session(); }),
      dsn_acceptor_(io, "dsn socket", settings.policy, dsn_times_,
                    [this](std::uint32_t pid, Connection& connection) {
                        return dsn_.session(pid, connection);
                    }),
      tables_acceptor_(io, "tables socket", settings.policy, tables_times_,
                       [this](std::uint32_t pid, Connection&) { return floor_.session(pid); }),
      tell_(io) {
    floor_.on_greeted(
        [this](std::uint32_t pid, const IpAddress& server) { dsn_.greeted(pid, server); });
}

Result<void> Server::listen() {
    auto result = policy_acceptor_.listen(settings_.policy.socket, settings_.policy.rights);
    if (result && settings_.policy.listen)
        result = policy_tcp_acceptor_.listen(*settings_.policy.listen);
    if (result) result = dsn_acceptor_.listen(settings_.dsn.socket, settings_.dsn.rights);
    if (result && !settings_.tables.socket.empty())
        result = tables_acceptor_.listen(settings_.tables.socket, settings_.tables.rights);
    if (!result) stop();
    return result;
}

void Server::start() {
    dsn_.start();
    tell_times();
}

void Server::stop() {
    policy_acceptor_.stop();
    policy_tcp_acceptor_.stop();
    dsn_acceptor_.stop();
    tables_acceptor_.stop();
    dsn_.stop();
    tell_.cancel();
    send_times();
}

void Server::send_times() {
    for (const auto* times : {&policy_times_, &dsn_times_, &tables_times_})
        notices_.send(times->read());
}

void Server::tell_times() {
    send_times();
    tell_.expires_after(hook_times_every);
    tell_.async_wait([this](boost::system::error_code error) {
        if (!error) tell_times();
    });
}

}  // namespace postfathom
