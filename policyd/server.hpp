// SPDX-License-Identifier: Apache-2.0
// The two sockets that Postfix asks on. Accepts connections within a limit and gives each its
// session.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>

#include "lib/base/result.hpp"
#include "lib/config/settings.hpp"
#include "policyd/connection.hpp"
#include "policyd/dsn_service.hpp"
#include "policyd/policy_service.hpp"

namespace postfathom {

// Accepts on one socket.
class Acceptor {
  public:
    using MakeSession = std::function<std::unique_ptr<Session>(std::uint32_t pid, Connection&)>;

    // `name` for the log: "policy socket". `limit` may change while we run.
    Acceptor(boost::asio::io_context& io, std::string name, const std::uint32_t& limit,
             MakeSession make_session);

    Result<void> listen(const std::string& path, const std::string& mode);
    // Closes the socket and all connections, and removes the socket's file.
    void stop();

    std::size_t connections() const { return connections_.size(); }

  private:
    void accept();
    void take(Connection::Socket socket);
    void pause_accepting(const std::string& why);

    std::string name_;
    std::string path_;
    const std::uint32_t& limit_;
    MakeSession make_session_;
    boost::asio::local::stream_protocol::acceptor acceptor_;
    boost::asio::steady_timer pause_;
    std::unordered_map<const Connection*, std::shared_ptr<Connection>> connections_;
    Pace complaints_;
};

class Server {
  public:
    // All outlive the server.
    Server(boost::asio::io_context& io, const Settings& settings, const CacheReader& cache,
           NoticeSender& notices);

    Result<void> start();
    void stop();

  private:
    const Settings& settings_;
    PolicyService policy_;
    DsnService dsn_;
    Acceptor policy_acceptor_;
    Acceptor dsn_acceptor_;
};

}  // namespace postfathom
