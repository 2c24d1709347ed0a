// SPDX-License-Identifier: Apache-2.0
#include "lib/cache/client_codec.hpp"

#include <algorithm>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

#include "lib/base/text.hpp"
#include "lib/cache/json_fields.hpp"
#include "lib/cache/record_codec.hpp"

namespace postfathom {
namespace {

namespace json = boost::json;

constexpr std::size_t max_network_text = 64;
constexpr std::size_t max_version_text = 32;
constexpr std::size_t max_cipher_text = 96;
constexpr std::uint64_t max_bits = 65'535;
// Counts beyond this stay there, as what is written must be readable.
constexpr std::uint64_t max_count = std::uint64_t{1} << 52;

void put_count(json::object& object, std::string_view key, std::uint64_t count) {
    if (count > 0) object[key] = std::min(count, max_count);
}

void put_counts(json::object& object, const ClientCounts& counts) {
    put_count(object, "tls", counts.tls_sessions);
    put_count(object, "plain", counts.plain_sessions);
    put_count(object, "failed", counts.failed_handshakes);
    put_count(object, "lost", counts.lost_in_data);
}

ClientCounts decode_counts(JsonFields& fields) {
    const auto count = [&fields](std::string_view key) {
        return fields.optional_number(key, 0, max_count).value_or(0);
    };
    return {count("tls"), count("plain"), count("failed"), count("lost")};
}

void put_tls(json::object& object, const std::optional<ClientTls>& tls) {
    if (!tls || tls->version.empty()) return;
    object["version"] = printable(tls->version, max_version_text);
    if (!tls->cipher.empty()) object["cipher"] = printable(tls->cipher, max_cipher_text);
    if (tls->bits) object["bits"] = std::min<std::uint64_t>(*tls->bits, max_bits);
}

std::optional<ClientTls> decode_tls(JsonFields& fields) {
    ClientTls tls;
    tls.version = fields.text_or_empty("version", max_version_text);
    tls.cipher = fields.text_or_empty("cipher", max_cipher_text);
    if (const auto bits = fields.optional_number("bits", 0, max_bits))
        tls.bits = static_cast<std::uint32_t>(*bits);
    if (tls.version.empty()) return std::nullopt;
    return tls;
}

IpAddress decode_network(JsonFields& fields) {
    const auto text = fields.text("network", max_network_text);
    if (fields.failed()) return {};
    const auto network = parse_client_network(text);
    if (!network) fields.refuse("network", "a network such as \"192.0.2.0/24\"");
    return network.value_or(IpAddress{});
}

void put_time(json::object& object, std::string_view key, const std::optional<WallTime>& time) {
    if (time) object[key] = milliseconds(*time);
}

json::object encode_day(const ClientDay& day) {
    json::object object;
    object["since"] = milliseconds(day.since);
    put_counts(object, day.counts);
    return object;
}

ClientDay decode_day(JsonFields& fields) { return {fields.time("since"), decode_counts(fields)}; }

json::value time_or_null(const std::optional<WallTime>& time) {
    if (!time) return nullptr;
    return json::string(to_rfc3339(*time));
}

}  // namespace

std::string encode(const ClientRecord& record) {
    json::object object;
    object["v"] = record_version;
    object["network"] = printable(record.network, max_network_text);
    object["since"] = milliseconds(record.day.since);
    put_counts(object, record.day.counts);
    if (record.day_before) object["day_before"] = encode_day(*record.day_before);
    put_tls(object, record.tls);
    put_time(object, "tls_at", record.tls_at);
    put_time(object, "plain_at", record.plain_at);
    put_time(object, "failed_at", record.failed_at);
    put_time(object, "lost_at", record.lost_at);
    object["measured_at"] = milliseconds(record.measured_at);
    return json::serialize(object);
}

Result<ClientRecord> decode_client(std::string_view bytes) {
    const auto value = parse_json(bytes, max_record_bytes);
    if (!value) return fail(value.error().code, "client record: " + value.error().message);
    const auto* object = value->if_object();
    if (object == nullptr) return fail(ErrorCode::corrupt, "client record: expected an object");
    JsonFields fields(*object, "client record");
    fields.number("v", record_version, record_version);
    ClientRecord record;
    record.network = client_network(decode_network(fields));
    record.day = decode_day(fields);
    if (object->if_contains("day_before") != nullptr) {
        if (const auto* before = fields.object("day_before")) {
            JsonFields inner(*before, "day_before");
            record.day_before = decode_day(inner);
            if (inner.failed()) fields.adopt(inner);
        }
    }
    record.tls = decode_tls(fields);
    record.tls_at = fields.optional_time("tls_at");
    record.plain_at = fields.optional_time("plain_at");
    record.failed_at = fields.optional_time("failed_at");
    record.lost_at = fields.optional_time("lost_at");
    record.measured_at = fields.time("measured_at");
    if (fields.failed()) return tl::make_unexpected(fields.error());
    return record;
}

json::object to_json(const ClientRecord& record, WallTime now) {
    const auto counted = recent(record, now);
    json::object object;
    object["network"] = record.network;
    object["counted_since"] = to_rfc3339(counted.since);
    object["tls_sessions"] = counted.counts.tls_sessions;
    object["plain_sessions"] = counted.counts.plain_sessions;
    object["failed_handshakes"] = counted.counts.failed_handshakes;
    object["lost_in_data"] = counted.counts.lost_in_data;
    object["tls"] = nullptr;
    if (record.tls) {
        json::object tls{{"version", record.tls->version}, {"cipher", nullptr}, {"bits", nullptr}};
        if (!record.tls->cipher.empty()) tls["cipher"] = record.tls->cipher;
        if (record.tls->bits) tls["bits"] = *record.tls->bits;
        object["tls"] = std::move(tls);
    }
    object["tls_at"] = time_or_null(record.tls_at);
    object["plain_at"] = time_or_null(record.plain_at);
    object["failed_at"] = time_or_null(record.failed_at);
    object["lost_at"] = time_or_null(record.lost_at);
    object["seen_at"] = to_rfc3339(record.measured_at);
    return object;
}

void put(json::object& object, const ClientSeen& seen) {
    object["network"] = client_network(seen.network);
    put_counts(object, seen.counts);
    put_tls(object, seen.tls);
}

ClientSeen decode_client_seen(JsonFields& fields) {
    fields.only(
        {"v", "notice", "network", "tls", "plain", "failed", "lost", "version", "cipher", "bits"});
    ClientSeen seen;
    seen.network = decode_network(fields);
    seen.counts = decode_counts(fields);
    seen.tls = decode_tls(fields);
    return seen;
}

}  // namespace postfathom
