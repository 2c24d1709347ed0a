// SPDX-License-Identifier: Apache-2.0
// Follows a log file as it grows: through rotation (rename and create), truncation in place, and
// times when it is missing or unreadable. Reports each complete line once. Starts at the end, or
// where an earlier process ended, also when the file was renamed since, once or several times.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <memory>
#include <string>

#include "lib/mail_log/source.hpp"

namespace postfathom {

class LogFollower : public MailLogSource {
  public:
    // `on_line` runs on the executor's thread. Uses inotify(7) on the file and its directory, so
    // that a line is seen within a millisecond; polls once a second besides, in case inotify
    // cannot. The position is written to `position_file` (empty: nowhere) at the end, and every 10
    // seconds while lines come: after a crash those of that time are read twice.
    LogFollower(const boost::asio::any_io_executor& executor, std::string path, OnLine on_line,
                std::string position_file = {});
    ~LogFollower() override;

    void start() override;  // logs once when the file cannot be read, and when it can again
    void stop() override;
    void poll() override;

  private:
    struct State;
    std::shared_ptr<State> state_;
};

}  // namespace postfathom
