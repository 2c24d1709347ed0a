// SPDX-License-Identifier: Apache-2.0
// The mail queue as `postqueue -j` lists it: one JSON object per line and message (postqueue(1),
// "JSON OBJECT FORMAT"). Pure; any bytes are accepted. Senders, recipients and reasons are as
// others wrote them: printable() before they are shown.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/result.hpp"

namespace postfathom {

// A message to 50,000 recipients (smtpd_recipient_limit and virtual aliases), each with a reason.
inline constexpr std::size_t max_queue_line_bytes = std::size_t{16} << 20;

struct QueuedRecipient {
    std::string address;
    std::string delay_reason;  // empty: not tried yet, or nothing was written down
    bool operator==(const QueuedRecipient&) const = default;
};

struct QueuedMessage {
    std::string queue_name;  // "active", "deferred", "hold", "incoming", "maildrop"
    std::string queue_id;
    std::int64_t arrival_time = 0;  // seconds since 1970
    std::uint64_t message_size = 0;
    bool forced_expire = false;
    std::string sender;
    std::vector<QueuedRecipient> recipients;
    bool operator==(const QueuedMessage&) const = default;
};

// One line without its newline. ErrorCode::invalid_input says what was expected. Members that are
// not known are left alone: later versions of Postfix have more.
Result<QueuedMessage> parse_queued_message(std::string_view line);

// Makes lines of the pieces that a pipe delivers, in bounded memory.
class QueueListing {
  public:
    using OnMessage = std::function<void(const QueuedMessage&)>;
    explicit QueueListing(OnMessage on_message) : on_message_(std::move(on_message)) {}

    void bytes(std::string_view piece);
    // No more will come.
    void end();

    std::uint64_t messages() const { return messages_; }
    std::uint64_t unreadable() const { return unreadable_; }
    // Why the first line that could not be read could not; empty when all could.
    const std::string& first_fault() const { return first_fault_; }

  private:
    void line();
    void fault(std::string_view why);

    OnMessage on_message_;
    std::string line_;
    bool too_long_ = false;
    std::uint64_t messages_ = 0;
    std::uint64_t unreadable_ = 0;
    std::string first_fault_;
};

}  // namespace postfathom
