// SPDX-License-Identifier: Apache-2.0
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>

#include "lib/base/text.hpp"
#include "lib/mail_log/delivery_stories.hpp"

namespace postfathom {

namespace json = boost::json;

namespace {

constexpr std::size_t max_name = 300;

json::value text_or_null(const std::string& text) {
    if (text.empty()) return nullptr;
    return json::string(printable(text, 1024));
}

json::value server_or_null(const std::optional<LoggedPeer>& server) {
    if (!server) return nullptr;
    auto text = printable(server->host, max_name) + "[" + server->address.to_string() + "]";
    if (server->port) text += ":" + std::to_string(*server->port);
    return json::string(text);
}

json::object failed_json(const FailedServer& failed) {
    json::object object;
    object["kind"] = to_string(failed.kind);
    object["server"] = server_or_null(failed.server);
    object["reason"] = text_or_null(failed.reason);
    return object;
}

json::value cause_json(const std::optional<SuspendedBy>& cause) {
    if (!cause) return nullptr;
    json::object object;
    object["queue_id"] = cause->queue_id;
    object["at"] = text_or_null(cause->at);
    object["server"] = server_or_null(cause->server);
    return object;
}

json::object attempt_json(const DeliveryAttempt& attempt) {
    json::array failed;
    for (const auto& before : attempt.failed) failed.push_back(failed_json(before));
    json::object object;
    object["at"] = text_or_null(attempt.at);
    object["program"] = text_or_null(attempt.program);
    object["recipient_domain"] = text_or_null(attempt.recipient_domain);
    object["recipients"] = attempt.recipients;
    object["next_hop"] = text_or_null(attempt.next_hop);
    object["relay"] = server_or_null(attempt.relay);
    object["server"] = server_or_null(attempt.server());
    object["delay"] = text_or_null(attempt.delay);
    object["delays"] = text_or_null(attempt.delays);
    object["tls"] = text_or_null(attempt.tls);
    object["tls_established"] = attempt.tls_established;
    object["dsn"] = text_or_null(attempt.dsn);
    object["status"] = text_or_null(attempt.status);
    object["text"] = text_or_null(attempt.text);
    object["kind"] = nullptr;
    if (attempt.trouble) object["kind"] = to_string(*attempt.trouble);
    object["failed"] = std::move(failed);
    object["suspended"] = attempt.suspended;
    object["suspended_by"] = cause_json(attempt.suspended_by);
    return object;
}

}  // namespace

json::object to_json(const MessageStory& story) {
    json::array attempts;
    for (const auto& attempt : story.attempts) attempts.push_back(attempt_json(attempt));
    json::object object;
    object["schema"] = 1;
    object["queue_id"] = story.queue_id;
    object["host"] = text_or_null(story.host);
    object["size"] = nullptr;
    if (story.size) object["size"] = *story.size;
    object["recipients"] = nullptr;
    if (story.recipients) object["recipients"] = *story.recipients;
    object["last_active"] = text_or_null(story.last_active);
    object["removed"] = text_or_null(story.removed);
    object["expired"] = story.expired;
    object["attempts"] = std::move(attempts);
    object["attempts_left_out"] = story.left_out;
    return object;
}

}  // namespace postfathom
