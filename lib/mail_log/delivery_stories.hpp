// SPDX-License-Identifier: Apache-2.0
// What the mail log tells of single messages: each attempt to deliver one, what failed on the way,
// and why qmgr(8) put one off without an attempt. Pure, bounded; names of senders and local parts
// of recipients are not kept.
#pragma once

#include <boost/json/fwd.hpp>
#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "lib/mail_log/lines.hpp"

namespace postfathom {

// A line that an attempt wrote before its outcome, e.g. of the servers that it gave up.
struct FailedServer {
    TroubleKind kind = TroubleKind::handshake_error;
    std::optional<LoggedPeer> server;
    std::string reason;
    bool operator==(const FailedServer&) const = default;
};

// The failure of another message, or of this one, that made qmgr(8) give a destination up for a
// while (qmgr_queue_throttle): it is quoted by the messages that wait behind it.
struct SuspendedBy {
    std::string queue_id;
    std::string at;
    std::optional<LoggedPeer> server;
    bool operator==(const SuspendedBy&) const = default;
};

struct DeliveryAttempt {
    std::string at;       // the line's time, as written
    std::string program;  // "smtp", "error", "local"
    std::uint32_t pid = 0;
    std::string recipient_domain;
    std::uint32_t recipients = 1;  // in that domain, with the same outcome
    std::string next_hop;          // of that domain, as far as is known
    std::optional<LoggedPeer> relay;
    std::string delay;  // seconds since the message came, as written
    std::string delays;
    std::string tls;
    std::string dsn;
    std::string status;
    std::string text;
    std::optional<TroubleKind> trouble;
    bool tls_established = false;
    std::vector<FailedServer> failed;
    // By error(8), without an attempt: "delivery temporarily suspended".
    bool suspended = false;
    std::optional<SuspendedBy> suspended_by;

    // The server that the outcome is about: the relay, or the one that the text or the last failure
    // names.
    std::optional<LoggedPeer> server() const;
};

struct MessageStory {
    std::string queue_id;
    std::string host;  // that wrote the lines
    std::optional<std::uint64_t> size;
    std::optional<std::uint32_t> recipients;
    std::string last_active;  // when qmgr(8) last took it up
    std::string removed;      // when it left the queue; empty: it is there as far as is known
    bool expired = false;     // it was returned as too old
    std::vector<DeliveryAttempt> attempts;  // oldest first; the first one and the last ones
    std::uint64_t left_out = 0;             // attempts between these

    bool troubled() const;  // an attempt did not deliver
};

// As `GET /v1/deliveries/QUEUEID` answers it.
boost::json::object to_json(const MessageStory& story);

class DeliveryStories {
  public:
    static constexpr std::size_t max_troubled = 4000;
    static constexpr std::size_t max_delivered = 1000;  // and gone, without any trouble
    static constexpr std::size_t max_attempts = 10;     // of one message
    static constexpr std::size_t max_failed = 5;        // of one attempt; smtp_mx_address_limit
    static constexpr std::size_t max_processes = 4096;
    static constexpr std::size_t max_causes = 4096;
    static constexpr std::size_t max_text = 400;

    // The next hop of a recipient's domain; by default the domain.
    using WayOf = std::function<std::string(const std::string& recipient_domain)>;
    explicit DeliveryStories(WayOf way_of = {}) : way_of_(std::move(way_of)) {}

    void line(std::string_view line);

    // The story of a message; of the last one where several hosts use the same id.
    const MessageStory* find(std::string_view queue_id) const;
    std::size_t size() const { return troubled_.size() + delivered_.size(); }

  private:
    using Stories = std::list<MessageStory>;  // last touched first
    struct Place {
        Stories* list = nullptr;
        Stories::iterator story;
    };
    // What a process wrote of the delivery at hand.
    struct Process {
        std::vector<FailedServer> failed;
        bool tls_established = false;
        std::string reported;  // the message whose outcome was logged
    };

    MessageStory& story_of(const std::string& host, const std::string& queue_id);
    void finish(const std::string& queue_id);
    Process& process_of(const LineHead& head);
    void queue_line(const LineHead& head, std::string_view text);
    void outcome(const LineHead& head, const LogLine& line, const DeliveryStatus& status,
                 std::string_view text);
    void remember_cause(const DeliveryAttempt& attempt, const std::string& queue_id);
    std::optional<SuspendedBy> cause_of(const DeliveryAttempt& attempt) const;

    WayOf way_of_;
    Stories troubled_;  // and what is not decided
    Stories delivered_;
    std::unordered_map<std::string, Place> by_id_;
    std::unordered_map<std::string, Process> processes_;  // by host and pid
    std::deque<std::string> process_order_;
    std::unordered_map<std::string, SuspendedBy> causes_;  // by next hop and text
    std::deque<std::string> cause_order_;
};

// The text without what table `dsn` appended to it.
std::string_view without_tag(std::string_view text);

}  // namespace postfathom
