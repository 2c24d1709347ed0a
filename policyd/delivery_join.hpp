// SPDX-License-Identifier: Apache-2.0
// Finds the server behind a deferral that names none. Pure: log lines, questions and times in, a
// peer out.
//
// smtp_delivery_status_filter asks with "4.7.5 Cannot start TLS: handshake failure" and no host.
// The question comes from an smtp(8) process whose pid the socket tells (SO_PEERCRED), and that
// process wrote "SSL_connect error to HOST[ADDR]:PORT: ..." to the log just before. For one process
// the order is always
//     [lines of hosts it gave up]  trouble line  (question, answer, status line) once per recipient
// and then the next delivery, perhaps to another destination. The log may trail the question. A
// wrong destination would be worse than none, so a trouble line is taken only when all of this
// holds:
//   1. It is the process's last word on a host: no connect failure, established session with
//   another
//      peer, skipped host ("QUEUEID: reason") or status line of another queue id or another reason
//      followed it.
//   2. Every answer that this process was given has come back as its status line. So the log is
//   past
//      the process's earlier recipients and deliveries, and a line that trails from them cannot
//      pass for a new one. Answers that never come back block the process's questions for
//      lost_after.
//   3. It came at most max_age before the question, since smtp(8) asks at once after writing it;
//   for a
//      further recipient, the last answer was at most max_age before the question.
//   4. For a further recipient that did not ask at once after the last answer, the next delivery
//      may have asked, and its own trouble line be on the way. So the whole bounded wait has
//      passed, and then either the log is known to be read past the question, by the status line
//      of an answer that any process was given after it (the lines of all processes go through one
//      socket, in order), or no other process has asked or was answered since: such a machine has
//      nothing to log that could make its log trail for so long. Seen once with fifty processes
//      while the log was rotated: the server of the delivery before.
//   5. A settle time has passed since the question without a contradicting line: twice what status
//   lines
//      lately took to come back, at least min_settle.
//   6. Its kind fits the question: a handshake error for "Cannot start TLS"; for "Server
//   certificate
//      not verified" a certificate error, or a session established with a server that was not
//      verified (to one delivery applies one TLS level: where it asks for verification, that
//      session is the one that failed; where not, the question is never asked).
//
// With smtp_tls_connection_reuse the handshake is tlsproxy(8)'s, which knows no queue id, and whose
// line may come after smtp(8) has given up: no line tells certainly. But where table `ehlo` is in
// use, the process asked it about the server's address when it said EHLO, and that is taken when
// all of this holds:
//   - it was asked after the last answer to a question of this process: in the delivery at hand;
//   - no line of the process about a host was read since: no other host was tried after it, as one
//     that an earlier table answers for would not be asked about;
//   - rule 2, the whole bounded wait has passed, and an answer was seen to come back in the log.
// For further recipients it is taken again when they follow at once (same_loop), or by rule 4 when
// tlsproxy(8) was not seen to connect anywhere since the last answer: the next delivery would have
// made it.
// Lines of another host, in a log that gathers several, are none of ours: ours is the host on whose
// lines our answers came back.
// A closed connection means nothing: smtp(8) closes one after 10 s without use and after 100 s, and
// a pid that is used again is told by 3. Otherwise the answer is "unknown", after the bounded wait,
// and the text stays as it was.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>

#include "lib/mail_log/lines.hpp"

namespace postfathom {

class DeliveryJoin {
  public:
    using Time = std::chrono::steady_clock::time_point;
    using Duration = std::chrono::steady_clock::duration;

    static constexpr std::size_t max_processes = 4096;
    static constexpr std::size_t max_unlogged = 64;  // answers of one process
    static constexpr Duration max_age = std::chrono::milliseconds{500};
    // smtp(8) asks for all recipients of a delivery in one loop. The next delivery takes a name
    // lookup, a connection and four round trips first.
    static constexpr Duration same_loop = std::chrono::milliseconds{2};
    static constexpr Duration lost_after = std::chrono::seconds{60};
    static constexpr Duration min_settle = std::chrono::milliseconds{20};

    // A line of the mail log, as it was read.
    void line(const LogLine& line, Time now);

    // The process asked table `ehlo` about a server.
    void greeted(std::uint32_t pid, const IpAddress& server, Time now);

    // tlsproxy(8) on `host` has logged that it connects to a server.
    void proxy_connects(std::string_view host, Time now);

    struct WaitUntil {
        Time time;  // ask again then, or when a line of this process was read
    };
    struct Unknown {};
    using Outcome = std::variant<LoggedPeer, WaitUntil, Unknown>;
    // Of the question that process `pid` sent at `asked` about a text of `kind`; waits until
    // asked + patience at most. A patience below the settle time finds nothing.
    Outcome find(std::uint32_t pid, TroubleKind kind, Time asked, Duration patience, Time now);

    // Whatever we answer, the process will log "dsn=X.Y.Z, status=... (text)": `status_text` is
    // "X.Y.Z text" as it will be there. To be told of every answer.
    void answered(std::uint32_t pid, std::string_view status_text, Time now);

    std::size_t processes() const { return processes_.size(); }

  private:
    struct Candidate {
        TroubleKind kind;
        LoggedPeer peer;
        Time read_at;
        std::string queue_id;  // of the status line that followed, if one did
    };
    struct Answer {
        std::size_t text_hash = 0;
        Time at;
    };
    struct Activity {
        std::uint32_t pid = 0;
        Time at{};
    };
    struct Process {
        std::optional<Candidate> candidate;
        std::optional<IpAddress> greeted;       // since the last answer, and no line about a host
        std::optional<IpAddress> answered_for;  // found by that for the last answer
        std::deque<Answer> unlogged;
        bool overflowed = false;  // more answers than we can remember: certain of nothing
        Time last_answer{};
        Time touched{};
    };

    Process& process(std::uint32_t pid, Time now);
    // The process asked, or was answered.
    void active(std::uint32_t pid, Time at);
    // Rule 4, when the whole bounded wait has passed.
    bool log_has_passed(std::uint32_t pid, const Process& process, Time asked) const;
    std::optional<LoggedPeer> greeted_server(const Process& process, TroubleKind kind,
                                             bool passed) const;
    void status_line(Process& process, const LogLine& line, const DeliveryStatus& status, Time now);
    Duration settle_time(Duration patience) const;

    std::unordered_map<std::uint32_t, Process> processes_;
    std::string host_;  // on whose lines our answers come back; empty: not known yet
    std::array<Duration, 4> delays_{};  // of the last status lines, from answer to reading
    std::size_t next_delay_ = 0;
    Time proxy_connected_{};
    Time read_past_{};  // what was logged before this time has been read, of all processes
    Activity last_active_;
    Activity last_of_another_;  // process than that of last_active_
};

}  // namespace postfathom
