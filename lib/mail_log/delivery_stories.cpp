// SPDX-License-Identifier: Apache-2.0
#include "lib/mail_log/delivery_stories.hpp"

#include <algorithm>
#include <array>

#include "lib/base/text.hpp"

namespace postfathom {

namespace {

constexpr std::string_view suspended_words = "delivery temporarily suspended: ";
constexpr std::size_t max_word = 64;

// Those that log the outcome of a delivery (bounce_append, defer_append, sent).
bool delivers(std::string_view program) {
    constexpr std::array programs{"smtp", "lmtp", "error", "local", "virtual", "pipe", "discard"};
    return std::find(programs.begin(), programs.end(), program) != programs.end();
}

// "NAME=VALUE, " somewhere before the outcome's words.
std::string value_of(std::string_view text, std::string_view name) {
    const auto words = text.substr(0, text.find(" ("));
    auto at = words.rfind(name);
    if (at == words.npos) return "";
    auto value = words.substr(at + name.size());
    return printable(value.substr(0, value.find(',')), max_word);
}

std::string process_key(const LineHead& head) {
    return head.host + '\n' + std::to_string(head.pid);
}

// Behind "delivery temporarily suspended: " less of a long text is kept.
std::string cause_key(const DeliveryAttempt& attempt, std::string_view reason) {
    constexpr std::size_t compared = 300;
    return attempt.next_hop + '\n' + std::string(reason.substr(0, compared));
}

MessageStory begun(const std::string& queue_id, const std::string& host) {
    MessageStory story;
    story.queue_id = queue_id;
    story.host = host;
    return story;
}

// Drops what came first when there is no room for one more.
template <typename Map>
void make_room(Map& map, std::deque<std::string>& order, std::size_t most) {
    while (order.size() >= most) {
        map.erase(order.front());
        order.pop_front();
    }
}

}  // namespace

std::string_view without_tag(std::string_view text) {
    const auto tag = text.rfind(" (path: ");
    return tag == text.npos || !text.ends_with(')') ? text : text.substr(0, tag);
}

std::optional<LoggedPeer> DeliveryAttempt::server() const {
    if (relay) return relay;
    if (const auto named = classify_reason(text); named && named->peer) return named->peer;
    if (!failed.empty() && !suspended) return failed.back().server;
    return std::nullopt;
}

bool MessageStory::troubled() const {
    return expired || std::any_of(attempts.begin(), attempts.end(),
                                  [](const auto& attempt) { return attempt.status != "sent"; });
}

const MessageStory* DeliveryStories::find(std::string_view queue_id) const {
    const auto found = by_id_.find(std::string(queue_id));
    return found == by_id_.end() ? nullptr : &*found->second.story;
}

void DeliveryStories::line(std::string_view line) {
    auto text = line.substr(0, max_log_line_bytes);
    auto head = take_head(text);
    if (!head || head->pid == 0) return;
    if (head->program == "qmgr" || head->program == "nqmgr") return queue_line(*head, text);
    if (!delivers(head->program)) return;
    const auto parsed = parse_log_text(*head, text);
    if (!parsed) return;
    if (const auto* status = std::get_if<DeliveryStatus>(&parsed->event))
        return outcome(*head, *parsed, *status, text);
    auto& process = process_of(*head);
    // One delivery at a time: what comes after an outcome is of the next one.
    if (!process.reported.empty()) process = Process{};
    if (const auto* trouble = std::get_if<Trouble>(&parsed->event)) {
        process.tls_established = false;
        if (process.failed.size() >= max_failed) process.failed.erase(process.failed.begin());
        process.failed.push_back(
            {trouble->kind, trouble->peer, printable(trouble->reason, max_text)});
    } else {
        process.tls_established = true;
    }
}

// QID: from=<A>, size=N, nrcpt=N (queue active) · QID: from=<A>, status=expired, returned to sender
// · QID: removed
void DeliveryStories::queue_line(const LineHead& head, std::string_view text) {
    const auto queue_id = take_queue_id(text);
    if (queue_id.empty()) return;
    if (text == "removed") {
        if (by_id_.contains(queue_id)) {
            story_of(head.host, queue_id).removed = head.stamp;
            finish(queue_id);
        }
        return;
    }
    if (!text.starts_with("from=<")) return;
    if (text.ends_with(" (queue active)")) {
        auto& story = story_of(head.host, queue_id);
        // Short queue ids are used again.
        if (!story.removed.empty()) story = begun(queue_id, head.host);
        story.last_active = head.stamp;
        const auto size = value_of(text, ", size=");
        std::string_view digits = size;
        story.size = take_number<std::uint64_t>(digits);
        const auto count = value_of(text, ", nrcpt=");
        digits = count;
        story.recipients = take_number<std::uint32_t>(digits);
    } else if (text.find(", status=expired, returned to sender") != text.npos) {
        story_of(head.host, queue_id).expired = true;
    }
}

MessageStory& DeliveryStories::story_of(const std::string& host, const std::string& queue_id) {
    if (const auto known = by_id_.find(queue_id); known != by_id_.end()) {
        auto& place = known->second;
        if (place.story->host != host) *place.story = begun(queue_id, host);
        troubled_.splice(troubled_.begin(), *place.list, place.story);
        place.list = &troubled_;
        return *place.story;
    }
    if (troubled_.size() >= max_troubled) {
        by_id_.erase(troubled_.back().queue_id);
        troubled_.pop_back();
    }
    troubled_.push_front(begun(queue_id, host));
    by_id_[queue_id] = {&troubled_, troubled_.begin()};
    return troubled_.front();
}

// What went well must not push out what did not.
void DeliveryStories::finish(const std::string& queue_id) {
    auto& place = by_id_[queue_id];
    if (place.story->troubled()) return;
    if (delivered_.size() >= max_delivered) {
        by_id_.erase(delivered_.back().queue_id);
        delivered_.pop_back();
    }
    delivered_.splice(delivered_.begin(), *place.list, place.story);
    place.list = &delivered_;
}

DeliveryStories::Process& DeliveryStories::process_of(const LineHead& head) {
    const auto key = process_key(head);
    if (const auto known = processes_.find(key); known != processes_.end()) return known->second;
    make_room(processes_, process_order_, max_processes);
    process_order_.push_back(key);
    return processes_[key];
}

void DeliveryStories::outcome(const LineHead& head, const LogLine& line,
                              const DeliveryStatus& status, std::string_view text) {
    if (line.queue_id.empty()) return;
    DeliveryAttempt attempt;
    attempt.at = printable(head.stamp, max_word);
    attempt.program = head.program;
    attempt.pid = head.pid;
    attempt.recipient_domain = printable(status.recipient_domain, 255);
    attempt.next_hop = way_of_ ? way_of_(status.recipient_domain) : attempt.recipient_domain;
    attempt.relay = status.relay;
    attempt.delay = value_of(text, ", delay=");
    attempt.delays = value_of(text, ", delays=");
    attempt.tls = status.tls;
    attempt.dsn = status.dsn;
    attempt.status = status.status;
    attempt.text = printable(status.reason, max_text);
    attempt.trouble = status.trouble;
    attempt.suspended = status.reason.starts_with(suspended_words);
    if (attempt.suspended) attempt.suspended_by = cause_of(attempt);

    auto& process = process_of(head);
    if (!process.reported.empty() && process.reported != line.queue_id) process = Process{};
    process.reported = line.queue_id;
    attempt.failed = process.failed;
    attempt.tls_established = process.tls_established;

    auto& story = story_of(head.host, line.queue_id);
    if (!story.removed.empty()) story = begun(line.queue_id, head.host);
    if (!attempt.suspended && attempt.status == "deferred") remember_cause(attempt, line.queue_id);
    for (auto& before : story.attempts) {
        // The other recipients of one delivery; a later one has another delay.
        if (before.pid == attempt.pid && before.delay == attempt.delay &&
            before.delays == attempt.delays && before.status == attempt.status &&
            before.text == attempt.text && before.recipient_domain == attempt.recipient_domain &&
            before.relay == attempt.relay) {
            ++before.recipients;
            return;
        }
    }
    if (story.attempts.size() >= max_attempts) {
        story.attempts.erase(story.attempts.begin() + 1);
        ++story.left_out;
    }
    story.attempts.push_back(std::move(attempt));
}

void DeliveryStories::remember_cause(const DeliveryAttempt& attempt, const std::string& queue_id) {
    const auto key = cause_key(attempt, without_tag(attempt.text));
    if (!causes_.contains(key)) {
        make_room(causes_, cause_order_, max_causes);
        cause_order_.push_back(key);
    }
    causes_[key] = {queue_id, attempt.at, attempt.server()};
}

std::optional<SuspendedBy> DeliveryStories::cause_of(const DeliveryAttempt& attempt) const {
    // error(8) quotes the text as it was before table `dsn` saw it.
    const auto quoted = std::string_view(attempt.text).substr(suspended_words.size());
    const auto found = causes_.find(cause_key(attempt, quoted));
    if (found == causes_.end()) return std::nullopt;
    return found->second;
}

}  // namespace postfathom
