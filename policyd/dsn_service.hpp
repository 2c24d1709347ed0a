// SPDX-License-Identifier: Apache-2.0
// Answers the socketmap table `dsn` (smtp_delivery_status_filter) for all connections. Follows the
// mail log to know the server behind texts that name none.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <memory>
#include <string>
#include <unordered_map>

#include "lib/base/pace.hpp"
#include "lib/cache/probe_cache.hpp"
#include "lib/config/settings.hpp"
#include "lib/mail_log/source.hpp"
#include "lib/net/notice.hpp"
#include "policyd/connection.hpp"
#include "policyd/delivery_join.hpp"
#include "policyd/tables.hpp"

namespace postfathom {

class DsnService {
  public:
    // All outlive the service; `settings` may change between requests.
    DsnService(boost::asio::any_io_executor executor, const Settings& settings,
               const CacheReader& cache, NoticeSender& notices);
    ~DsnService();
    DsnService(const DsnService&) = delete;
    DsnService& operator=(const DsnService&) = delete;

    void start();
    void stop();

    // For a client that is process `pid`; `connection` outlives the session.
    std::unique_ptr<Session> session(std::uint32_t pid, Connection& connection);

    // Process `pid` has said EHLO to a server.
    void greeted(std::uint32_t pid, const IpAddress& server);

  private:
    class DsnSession;

    void take_line(std::string_view line);
    void take_proxy_line(std::string_view line);
    // Appends the answer to `key`, whose failure happened at `peer` (none: not known).
    void answer(std::uint32_t pid, std::string_view key, const DsnQuestion& question,
                const std::optional<LoggedPeer>& peer, std::string& out);
    void leave_alone(std::uint32_t pid, std::string_view key, std::string& out);

    boost::asio::any_io_executor executor_;
    const Settings& settings_;
    const CacheReader& cache_;
    NoticeSender& notices_;
    DeliveryJoin join_;
    Pace failures_;  // per endpoint
    std::unique_ptr<MailLogSource> follower_;
    std::unordered_multimap<std::uint32_t, DsnSession*> waiting_;  // by pid
};

}  // namespace postfathom
