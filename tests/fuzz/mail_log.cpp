// SPDX-License-Identifier: Apache-2.0
// Lines of a mail log: Postfix's and Dovecot's, with the words of servers and clients in them.
#include <boost/json/serialize.hpp>

#include "lib/base/text.hpp"
#include "lib/mail_log/delivery_stories.hpp"
#include "lib/mail_log/log_summary.hpp"
#include "tests/fuzz/target.hpp"

namespace postfathom::fuzz {

const bool takes_pieces = false;

namespace {

void check(const std::optional<LoggedPeer>& peer) {
    if (peer) require(peer->host.size() <= max_log_line_bytes, "hosts are bounded");
}

// One line by each reader; the message it is about.
std::string read(std::string_view line) {
    std::string queue_id;
    if (const auto found = parse_log_line(line)) {
        queue_id = found->queue_id;
        require(queue_id.empty() || is_queue_id(queue_id), "queue ids are queue ids");
        if (const auto* trouble = std::get_if<Trouble>(&found->event)) check(trouble->peer);
        if (const auto* status = std::get_if<DeliveryStatus>(&found->event)) check(status->relay);
    }
    if (const auto found = parse_server_line(line)) {
        check(found->peer);
        require(found->detail.size() <= max_log_line_bytes, "details are bounded");
    }
    (void)classify_reason(line);
    (void)failure_kind(line);
    check(find_peer(line));
    require(without_tag(line).size() <= line.size(), "a text without its tag is no longer");
    return queue_id;
}

}  // namespace

std::string tell(const Input& input) {
    DeliveryStories stories;
    LogSummary summary(8);
    std::vector<std::string> ids;
    for (const auto view : split(input.bytes(), '\n')) {
        const std::vector<char> copy(view.begin(), view.end());
        const std::string_view line(copy.data(), copy.size());
        ids.push_back(read(line));
        stories.line(line);
        summary.line(line);
    }
    std::string told = std::to_string(summary.understood());
    for (const auto& id : ids) {
        const auto* story = id.empty() ? nullptr : stories.find(id);
        if (story != nullptr) told += boost::json::serialize(to_json(*story));
    }
    for (const auto& place : summary.destinations()) told += place.destination + place.suspected;
    for (const auto& client : summary.clients()) told += client.client + client.suspected;
    return told;
}

}  // namespace postfathom::fuzz
