// SPDX-License-Identifier: Apache-2.0
// What happens, as lines of JSON for those who watch (GET /v1/events). A reader that is too slow
// loses its subscription, never our time or memory.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/json/fwd.hpp>
#include <chrono>
#include <deque>
#include <memory>
#include <string>
#include <vector>

namespace postfathom {

class EventReader {
  public:
    static constexpr std::size_t max_waiting_bytes = 256 * 1024;

    explicit EventReader(const boost::asio::any_io_executor& executor) : arrived_(executor) {}

    // The lines that came since the last call, each with its newline; empty after `limit` without
    // any.
    boost::asio::awaitable<std::string> next(std::chrono::steady_clock::duration limit);
    bool too_slow() const { return too_slow_; }

  private:
    friend class Events;
    void add(const std::string& line);

    boost::asio::steady_timer arrived_;
    std::string waiting_;
    bool too_slow_ = false;
};

class Events {
  public:
    explicit Events(boost::asio::any_io_executor executor) : executor_(std::move(executor)) {}

    // Ends when the last copy of the pointer goes.
    std::shared_ptr<EventReader> subscribe();
    void publish(const boost::json::object& event);
    std::size_t readers() const;

  private:
    boost::asio::any_io_executor executor_;
    std::vector<std::weak_ptr<EventReader>> readers_;
};

}  // namespace postfathom
