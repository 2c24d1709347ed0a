// SPDX-License-Identifier: Apache-2.0
// The sockets that Postfix asks on. Accepts connections within a limit, gives each its session, and
// closes those whose requests do not come to an end.
#pragma once

#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>

#include "lib/base/result.hpp"
#include "lib/config/settings.hpp"
#include "policyd/connection.hpp"
#include "policyd/dsn_service.hpp"
#include "policyd/floor_service.hpp"
#include "policyd/policy_service.hpp"

namespace postfathom {

// Accepts on one socket.
class Acceptor {
  public:
    using MakeSession = std::function<std::unique_ptr<Session>(std::uint32_t pid, Connection&)>;

    // `name` for the log: "policy socket". `settings` may change while we run. `times` outlives us.
    Acceptor(boost::asio::io_context& io, std::string name, const Settings::Policy& settings,
             HookTimer& times, MakeSession make_session);

    Result<void> listen(const std::string& path, const SocketRights& rights);
    Result<void> listen(const TcpPlace& place);
    // Closes the socket and all connections, and removes the socket's file.
    void stop();

    std::size_t connections() const { return connections_.size(); }

  private:
    void start(int listening, int family);
    void accept();
    void take(Connection::Socket socket);
    void pause_accepting(const std::string& why);
    void watch_the_slow();
    void close_the_slow();

    using Protocol = boost::asio::generic::stream_protocol;

    std::string name_;
    std::string path_;
    int family_ = 0;
    const Settings::Policy& settings_;
    HookTimer& times_;
    MakeSession make_session_;
    boost::asio::basic_socket_acceptor<Protocol> acceptor_;
    boost::asio::steady_timer pause_;
    boost::asio::steady_timer watch_;
    std::unordered_map<const Connection*, std::shared_ptr<Connection>> connections_;
    Pace complaints_;
};

class Server {
  public:
    // All outlive the server.
    Server(boost::asio::io_context& io, const Settings& settings, const CacheReader& cache,
           NoticeSender& notices);

    // Opens the sockets. The file names of those that it made go with stop().
    Result<void> listen();
    // Follows the log.
    void start();
    void stop();

  private:
    void send_times();
    void tell_times();

    const Settings& settings_;
    NoticeSender& notices_;
    HookTimer policy_times_{HookSocket::policy};
    HookTimer dsn_times_{HookSocket::dsn};
    HookTimer tables_times_{HookSocket::tables};
    PolicyService policy_;
    DsnService dsn_;
    FloorService floor_;
    Acceptor policy_acceptor_;
    Acceptor policy_tcp_acceptor_;
    Acceptor dsn_acceptor_;
    Acceptor tables_acceptor_;
    boost::asio::steady_timer tell_;
};

}  // namespace postfathom
