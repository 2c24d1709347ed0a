// SPDX-License-Identifier: Apache-2.0
// Where lines of the mail log come from, whatever it is: a file (follower.hpp) or the systemd
// journal (journal.hpp).
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace postfathom {

// A log is read in pieces of so many bytes, and so many before other work of the loop gets its
// turn.
inline constexpr std::size_t log_chunk_bytes = std::size_t{16} * 1024;
inline constexpr std::size_t log_bytes_per_turn = std::size_t{256} * 1024;

class MailLogSource {
  public:
    using OnLine = std::function<void(std::string_view line)>;

    MailLogSource() = default;
    virtual ~MailLogSource() = default;
    MailLogSource(const MailLogSource&) = delete;
    MailLogSource& operator=(const MailLogSource&) = delete;

    virtual void start() = 0;
    virtual void stop() = 0;
    // Reads what is there now, without waiting for the event loop.
    virtual void poll() = 0;
};

struct MailLogPlace {
    bool journal = false;
    std::string file;  // when it is no journal; empty: there is none
    // Where the position is kept across restarts; empty: always from the end.
    std::string position_file;
};
// "/var/log/mail.log", "the systemd journal", "not followed".
std::string to_string(const MailLogPlace& place);
// Null when there is none to follow.
std::unique_ptr<MailLogSource> open_mail_log(const boost::asio::any_io_executor& executor,
                                             const MailLogPlace& place,
                                             MailLogSource::OnLine on_line);

}  // namespace postfathom
