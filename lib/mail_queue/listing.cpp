// SPDX-License-Identifier: Apache-2.0
#include "lib/mail_queue/listing.hpp"

#include <fmt/format.h>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <optional>

#include "lib/base/text.hpp"

namespace postfathom {

namespace {

namespace json = boost::json;

constexpr std::size_t max_depth = 8;                   // of three that there are
constexpr std::int64_t latest_time = 253'402'300'799;  // the year 9999

tl::unexpected<Error> expected(std::string_view what) {
    return fail(ErrorCode::invalid_input, fmt::format("expected {}", what));
}

std::optional<std::string> text_of(const json::object& object, std::string_view name) {
    const auto* value = object.if_contains(name);
    const auto* text = value != nullptr ? value->if_string() : nullptr;
    if (text == nullptr) return std::nullopt;
    return std::string(*text);
}

std::optional<std::int64_t> number_of(const json::object& object, std::string_view name) {
    const auto* value = object.if_contains(name);
    const auto* number = value != nullptr ? value->if_int64() : nullptr;
    if (number == nullptr || *number < 0) return std::nullopt;
    return *number;
}

Result<std::vector<QueuedRecipient>> recipients_of(const json::object& message) {
    const auto* value = message.if_contains("recipients");
    const auto* items = value != nullptr ? value->if_array() : nullptr;
    if (items == nullptr) return expected("\"recipients\" as an array");
    std::vector<QueuedRecipient> recipients;
    recipients.reserve(items->size());
    for (const auto& item : *items) {
        const auto* recipient = item.if_object();
        auto address = recipient != nullptr ? text_of(*recipient, "address") : std::nullopt;
        if (!address) return expected("each recipient with an \"address\"");
        recipients.push_back(
            {std::move(*address), text_of(*recipient, "delay_reason").value_or("")});
    }
    return recipients;
}

}  // namespace

Result<QueuedMessage> parse_queued_message(std::string_view line) {
    json::parse_options options;
    options.max_depth = max_depth;
    options.allow_invalid_utf8 = true;  // an address may have been taken in without SMTPUTF8
    json::error_code error;
    const auto value = json::parse({line.data(), line.size()}, error, {}, options);
    const auto* object = error ? nullptr : value.if_object();
    if (object == nullptr) return expected("a JSON object, as postqueue -j prints for a message");

    QueuedMessage message;
    auto queue_name = text_of(*object, "queue_name");
    auto queue_id = text_of(*object, "queue_id");
    if (!queue_name || queue_name->empty() || !queue_id || queue_id->empty())
        return expected("\"queue_name\" and \"queue_id\"");
    const auto arrival_time = number_of(*object, "arrival_time");
    if (!arrival_time || *arrival_time > latest_time)
        return expected("\"arrival_time\" in seconds since 1970");
    auto recipients = recipients_of(*object);
    if (!recipients) return tl::make_unexpected(recipients.error());
    message.queue_name = std::move(*queue_name);
    message.queue_id = std::move(*queue_id);
    message.arrival_time = *arrival_time;
    message.message_size =
        static_cast<std::uint64_t>(number_of(*object, "message_size").value_or(0));
    const auto* forced = object->if_contains("forced_expire");
    message.forced_expire = forced != nullptr && forced->is_bool() && forced->get_bool();
    message.sender = text_of(*object, "sender").value_or("");
    message.recipients = std::move(*recipients);
    return message;
}

void QueueListing::bytes(std::string_view piece) {
    while (!piece.empty()) {
        const auto end = piece.find('\n');
        const auto part = piece.substr(0, end);
        if (line_.size() + part.size() > max_queue_line_bytes)
            too_long_ = true;
        else if (!too_long_)
            line_ += part;
        if (end == piece.npos) return;
        line();
        piece.remove_prefix(end + 1);
    }
}

void QueueListing::end() {
    if (!line_.empty() || too_long_) line();
}

void QueueListing::line() {
    if (too_long_) {
        fault(fmt::format("longer than {} bytes", max_queue_line_bytes));
    } else if (!trim(line_).empty()) {
        if (const auto message = parse_queued_message(line_)) {
            ++messages_;
            on_message_(*message);
        } else {
            fault(message.error().message);
        }
    }
    line_.clear();
    too_long_ = false;
}

void QueueListing::fault(std::string_view why) {
    if (unreadable_++ == 0) first_fault_ = why;
}

}  // namespace postfathom
