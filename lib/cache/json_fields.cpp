// SPDX-License-Identifier: Apache-2.0
#include "lib/cache/json_fields.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

#include "lib/base/text.hpp"

namespace postfathom {
namespace {

constexpr std::uint64_t end_of_year_9999 = 253'402'300'799'999;  // milliseconds

bool is_key_text(std::string_view text) {
    return std::all_of(text.begin(), text.end(),
                       [](char c) { return c > ' ' && c <= '~' && !(c >= 'A' && c <= 'Z'); });
}

// "IPv6:" is the one spelling in a canonical next hop that has capitals.
std::string_view without_literal_tag(std::string_view text) {
    constexpr std::string_view tag = "[IPv6:";
    return text.substr(0, tag.size()) == tag ? text.substr(tag.size()) : text;
}

// The parser gives int64 for what fits, uint64 above; exponents and fractions become double.
std::optional<std::uint64_t> whole_number(const boost::json::value& value, std::uint64_t low,
                                          std::uint64_t high) {
    const auto* whole = value.if_int64();
    if (whole == nullptr || *whole < 0) return std::nullopt;
    const auto found = static_cast<std::uint64_t>(*whole);
    if (found < low || found > high) return std::nullopt;
    return found;
}

}  // namespace

bool is_printable(std::string_view text) {
    return std::all_of(text.begin(), text.end(), [](char c) { return c >= ' ' && c <= '~'; });
}

Result<boost::json::value> parse_json(std::string_view bytes, std::size_t limit,
                                      boost::json::storage_ptr storage) {
    if (bytes.size() > limit)
        return fail(ErrorCode::corrupt, fmt::format("expected at most {} bytes of JSON, found {}",
                                                    limit, bytes.size()));
    boost::json::parse_options options;
    options.max_depth = max_json_depth;
    boost::json::error_code error;
    auto value = boost::json::parse(bytes, error, std::move(storage), options);
    if (error) return fail(ErrorCode::corrupt, "expected JSON, found: " + error.message());
    return value;
}

void JsonFields::refuse(std::string_view key, std::string_view expected) {
    if (failed()) return;
    const auto* value = find(key);
    error_ =
        fmt::format("{}: {}: expected {}, found {}", what_, printable(key, 64), expected,
                    value == nullptr ? "nothing" : printable(boost::json::serialize(*value), 64));
}

void JsonFields::adopt(const JsonFields& inner) {
    if (!failed()) error_ = inner.error_;
}

std::string_view JsonFields::text_or_empty(std::string_view key, std::size_t limit) {
    const auto* value = find(key);
    if (value == nullptr) return {};
    const auto* string = value->if_string();
    if (string == nullptr || string->size() > limit ||
        !is_printable({string->data(), string->size()})) {
        refuse(key, fmt::format("printable text of at most {} bytes", limit));
        return {};
    }
    return {string->data(), string->size()};
}

std::string_view JsonFields::text(std::string_view key, std::size_t limit) {
    const auto found = text_or_empty(key, limit);
    if (found.empty()) refuse(key, "text");
    return found;
}

std::string_view JsonFields::key_text(std::string_view key, std::size_t limit) {
    const auto found = text(key, limit);
    if (!failed() && !is_key_text(without_literal_tag(found)))
        refuse(key, "a name in lower case without blanks");
    return found;
}

std::optional<std::uint64_t> JsonFields::optional_number(std::string_view key, std::uint64_t low,
                                                         std::uint64_t high) {
    const auto* value = find(key);
    if (value == nullptr) return std::nullopt;
    if (const auto found = whole_number(*value, low, high)) return found;
    refuse(key, fmt::format("a whole number from {} to {}", low, high));
    return std::nullopt;
}

std::uint64_t JsonFields::number(std::string_view key, std::uint64_t low, std::uint64_t high) {
    const auto found = optional_number(key, low, high);
    if (!found) refuse(key, "a number");
    return found.value_or(low);
}

bool JsonFields::flag(std::string_view key) {
    const auto* value = find(key);
    if (value == nullptr) return false;
    if (const auto* truth = value->if_bool()) return *truth;
    refuse(key, "true or false");
    return false;
}

std::optional<WallTime> JsonFields::optional_time(std::string_view key) {
    const auto found = optional_number(key, 0, end_of_year_9999);
    if (!found) return std::nullopt;
    return WallTime{std::chrono::milliseconds{*found}};
}

WallTime JsonFields::time(std::string_view key) {
    return WallTime{std::chrono::milliseconds{number(key, 0, end_of_year_9999)}};
}

IpAddress JsonFields::address(std::string_view key) {
    const auto spelled = text(key, 64);
    if (failed()) return {};
    const auto parsed = IpAddress::parse(spelled);
    if (!parsed) refuse(key, "an IP address");
    return parsed.value_or(IpAddress{});
}

const boost::json::object* JsonFields::object(std::string_view key) {
    const auto* value = find(key);
    const auto* inner = value == nullptr ? nullptr : value->if_object();
    if (inner == nullptr) refuse(key, "an object");
    return inner;
}

const boost::json::array* JsonFields::optional_array(std::string_view key, std::size_t limit) {
    const auto* value = find(key);
    if (value == nullptr) return nullptr;
    const auto* elements = value->if_array();
    if (elements != nullptr && elements->size() <= limit) return elements;
    refuse(key, fmt::format("a list of at most {}", limit));
    return nullptr;
}

std::vector<std::uint64_t> JsonFields::numbers(std::string_view key, std::size_t count,
                                               std::uint64_t high) {
    std::vector<std::uint64_t> found;
    const auto* elements = optional_array(key, count);
    if (elements != nullptr)
        for (const auto& element : *elements)
            if (const auto number = whole_number(element, 0, high)) found.push_back(*number);
    if (found.size() == count) return found;
    refuse(key, fmt::format("a list of {} whole numbers from 0 to {}", count, high));
    return {};
}

void JsonFields::only(std::initializer_list<std::string_view> keys) {
    for (const auto& field : object_)
        if (std::find(keys.begin(), keys.end(), std::string_view(field.key())) == keys.end())
            refuse(field.key(), "no such field");
}

}  // namespace postfathom
