// SPDX-License-Identifier: Apache-2.0
#include "lib/diagnosis/client.hpp"

#include <algorithm>
#include <utility>

namespace postfathom {
namespace {

constexpr std::size_t bytes_of_v4_network = 3;
constexpr std::size_t bytes_of_v6_network = 6;
constexpr std::chrono::hours day_length{24};

std::size_t network_bytes(IpFamily family) {
    return family == IpFamily::v4 ? bytes_of_v4_network : bytes_of_v6_network;
}

void note(std::optional<WallTime>& at, std::uint64_t count, WallTime now) {
    if (count > 0) at = now;
}

}  // namespace

IpAddress network_of(const IpAddress& address) {
    auto bytes = address.bytes();
    const auto kept = network_bytes(address.family());
    std::fill(bytes.begin() + static_cast<std::ptrdiff_t>(kept), bytes.end(), std::uint8_t{0});
    if (address.family() == IpFamily::v6) return IpAddress::from_v6(bytes);
    return IpAddress::from_v4({bytes[0], bytes[1], bytes[2], bytes[3]});
}

std::string client_network(const IpAddress& address) {
    return network_of(address).to_string() + '/' +
           std::to_string(network_bytes(address.family()) * 8);
}

std::optional<IpAddress> parse_client_network(std::string_view text) {
    const auto address = IpAddress::parse(text.substr(0, text.find('/')));
    if (!address || client_network(*address) != text) return std::nullopt;
    return address;
}

bool counts_as_client(const IpAddress& address) {
    return !address.is_loopback() && !address.is_unspecified();
}

ClientCounts& ClientCounts::operator+=(const ClientCounts& other) {
    tls_sessions += other.tls_sessions;
    plain_sessions += other.plain_sessions;
    failed_handshakes += other.failed_handshakes;
    lost_in_data += other.lost_in_data;
    return *this;
}

ClientSeen& ClientSeen::operator+=(const ClientSeen& later) {
    counts += later.counts;
    if (later.tls) tls = later.tls;
    return *this;
}

ClientRecord absorb(const std::optional<ClientRecord>& known, const ClientSeen& seen,
                    WallTime now) {
    ClientRecord record = known.value_or(ClientRecord{});
    record.network = client_network(seen.network);
    // The clock may have been set back.
    const bool new_day =
        !known || now - record.day.since >= day_length || record.day.since > now + day_length;
    if (new_day) {
        record.day_before.reset();
        if (known && record.day.since <= now && now - record.day.since < 2 * day_length)
            record.day_before = record.day;
        record.day = {now, {}};
    }
    record.day.counts += seen.counts;
    if (seen.tls) record.tls = seen.tls;
    note(record.tls_at, seen.counts.tls_sessions, now);
    note(record.plain_at, seen.counts.plain_sessions, now);
    note(record.failed_at, seen.counts.failed_handshakes, now);
    note(record.lost_at, seen.counts.lost_in_data, now);
    record.measured_at = now;
    return record;
}

ClientDay recent(const ClientRecord& record, WallTime now) {
    const auto counts_still = [now](const ClientDay& day) {
        return now - day.since < 2 * day_length;
    };
    if (!counts_still(record.day)) return {now, {}};
    auto counted = record.day;
    if (record.day_before && counts_still(*record.day_before)) {
        counted.since = record.day_before->since;
        counted.counts += record.day_before->counts;
    }
    return counted;
}

bool ClientTally::add(const ClientSeen& seen) {
    const auto place = seen_.find(seen.network);
    if (place != seen_.end()) {
        place->second += seen;
        return true;
    }
    if (seen_.size() >= most_) return false;
    seen_.emplace(seen.network, seen);
    return true;
}

std::vector<ClientSeen> ClientTally::take(std::size_t most) {
    std::vector<ClientSeen> taken;
    while (taken.size() < most && !seen_.empty()) {
        auto next = seen_.upper_bound(last_taken_);
        if (next == seen_.end()) next = seen_.begin();
        last_taken_ = next->first;
        taken.push_back(std::move(next->second));
        seen_.erase(next);
    }
    return taken;
}

}  // namespace postfathom
