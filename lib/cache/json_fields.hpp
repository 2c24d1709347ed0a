// SPDX-License-Identifier: Apache-2.0
// Reads the fields of one JSON object that somebody else wrote: every field has a type, a range and
// a length, and the first one that is wrong is remembered in words. The codecs of records and
// notices share it.
#pragma once

#include <algorithm>
#include <boost/json/object.hpp>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/result.hpp"
#include "lib/base/units.hpp"
#include "lib/destination/ip_address.hpp"

namespace postfathom {

inline constexpr std::size_t max_json_depth = 8;
inline constexpr std::size_t max_domain_text = 255;
inline constexpr std::size_t max_next_hop_text = 300;  // name, brackets, "IPv6:", port
inline constexpr std::size_t max_verbatim_text = 1024;
inline constexpr std::size_t max_transport_text = 64;
// IPv6 header and a payload length of 65535; the loopback interface's MTU of 65536 lies below.
inline constexpr std::uint32_t max_packet_bytes = 65575;

// Times in records: milliseconds since 1970, none before.
inline std::int64_t milliseconds(WallTime time) {
    return std::max<std::int64_t>(0, time.time_since_epoch().count());
}

bool is_printable(std::string_view text);  // ASCII without control bytes

// `limit` bytes at most and `max_json_depth` levels. The value uses `storage`, which must outlive
// it.
Result<boost::json::value> parse_json(std::string_view bytes, std::size_t limit,
                                      boost::json::storage_ptr storage = {});

class JsonFields {
  public:
    // `what` names the object in errors: "next-hop record".
    JsonFields(const boost::json::object& object, std::string_view what)
        : object_(object), what_(what) {}

    // Printable ASCII of 1..limit bytes; with text_or_empty also "" or absent.
    std::string_view text(std::string_view key, std::size_t limit);
    std::string_view text_or_empty(std::string_view key, std::size_t limit);
    // As text(), without blanks and upper case letters: domains and next hops as keys are written
    // so.
    std::string_view key_text(std::string_view key, std::size_t limit);
    std::uint64_t number(std::string_view key, std::uint64_t low, std::uint64_t high);
    std::optional<std::uint64_t> optional_number(std::string_view key, std::uint64_t low,
                                                 std::uint64_t high);
    bool flag(std::string_view key);  // absent: false
    // Milliseconds since 1970, up to the year 9999.
    WallTime time(std::string_view key);
    std::optional<WallTime> optional_time(std::string_view key);
    IpAddress address(std::string_view key);
    const boost::json::object* object(std::string_view key);
    // At most `limit` elements; nullptr when absent.
    const boost::json::array* optional_array(std::string_view key, std::size_t limit);

    // Exactly `count` whole numbers, each at most `high`; empty otherwise.
    std::vector<std::uint64_t> numbers(std::string_view key, std::size_t count, std::uint64_t high);

    // One of our words, by its parse_... function: word("service", parse_service).
    template <typename Value>
    Value word(std::string_view key, std::optional<Value> (*parse)(std::string_view)) {
        const auto spelled = text(key, 64);
        if (failed()) return Value{};
        const auto value = parse(spelled);
        if (!value) refuse(key, "a known word");
        return value.value_or(Value{});
    }
    template <typename Value>
    std::optional<Value> optional_word(std::string_view key,
                                       std::optional<Value> (*parse)(std::string_view)) {
        if (object_.find(key) == object_.end()) return std::nullopt;
        return word(key, parse);
    }

    // Fields outside this list are an error too.
    void only(std::initializer_list<std::string_view> keys);
    void refuse(std::string_view key, std::string_view expected);
    void adopt(const JsonFields& inner);  // takes over the error of an object within this one
    bool failed() const { return !error_.empty(); }
    Error error() const { return {ErrorCode::corrupt, error_}; }

  private:
    const boost::json::value* find(std::string_view key) const { return object_.if_contains(key); }

    const boost::json::object& object_;
    std::string_view what_;
    std::string error_;
};

}  // namespace postfathom
