// SPDX-License-Identifier: Apache-2.0
// Follows the mail messages of the systemd journal by way of journalctl(1), which reads every
// format of journal file that there is. It is started again when it ends.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "lib/mail_log/source.hpp"

namespace postfathom {

class JournalFollower : public MailLogSource {
  public:
    // After a pause so much of the past is read at most, the newest; `bytes` are journalctl's, of
    // which one of Postfix's lines takes about 400. What is beyond them is left out.
    struct Limits {
        std::chrono::seconds past = std::chrono::hours{24};
        std::uint64_t bytes = std::uint64_t{256} * 1024 * 1024;
    };
    // `journalctl` is looked for in PATH. Begins with what is new, or behind the entry whose cursor
    // is in `position_file` (empty: none is kept). That is written as LogFollower does.
    JournalFollower(const boost::asio::any_io_executor& executor, OnLine on_line,
                    std::string position_file = {});
    JournalFollower(const boost::asio::any_io_executor& executor, OnLine on_line,
                    std::string position_file, const Limits& limits);
    ~JournalFollower() override;

    void start() override;  // logs when journalctl does not stay
    void stop() override;
    void poll() override;

  private:
    struct State;
    std::shared_ptr<State> state_;
};

}  // namespace postfathom
