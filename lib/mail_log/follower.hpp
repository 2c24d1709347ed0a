// SPDX-License-Identifier: Apache-2.0
// Follows a log file as it grows: through rotation (rename and create), truncation in place, and
// times when it is missing or unreadable. Starts at the end. Reports each complete line once.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace postfathom {

class LogFollower {
  public:
    // `on_line` runs on the executor's thread. Uses inotify(7) on the file and its directory, so
    // that a line is seen within a millisecond; polls once a second besides, in case inotify
    // cannot.
    LogFollower(boost::asio::any_io_executor executor, std::string path,
                std::function<void(std::string_view line)> on_line);
    ~LogFollower();
    LogFollower(const LogFollower&) = delete;
    LogFollower& operator=(const LogFollower&) = delete;

    void start();  // logs once when the file cannot be read, and when it can again
    void stop();
    // Reads what is there now, without waiting for the event loop.
    void poll();

  private:
    struct State;
    std::shared_ptr<State> state_;
};

}  // namespace postfathom
