// SPDX-License-Identifier: Apache-2.0
// What is known of the networks from which clients bring us mail: how many sessions had TLS, how
// many did not, how many handshakes failed, and which TLS was spoken last. An observation, not a
// verdict; it becomes one only beside what is known of the way back to that network. Pure.
//
// Whoever wants to say something of a client asks the cache (CacheReader::client_at) and adds up
// what is recent():
//     const auto known = cache.client_at(address);
//     if (known) { const auto counted = recent(*known, now); ... counted.counts.failed_handshakes }
// Session counts come from the milter, so they cover clients with an accepted recipient only; the
// milter is not told of a STARTTLS that fails, so failed_handshakes and lost_in_data come from the
// mail log, where it is read.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/units.hpp"
#include "lib/destination/ip_address.hpp"

namespace postfathom {

// IPv4 by /24, IPv6 by /48: what one site usually has. Its first address.
IpAddress network_of(const IpAddress& address);
// "192.0.2.0/24", "2001:db8:1::/48": the key in the cache.
std::string client_network(const IpAddress& address);
// The network's first address; nothing unless it is spelled as client_network() does.
std::optional<IpAddress> parse_client_network(std::string_view text);
// Our own programs on loopback (content filters, submissions) are no clients.
bool counts_as_client(const IpAddress& address);

struct ClientCounts {
    std::uint64_t tls_sessions = 0;
    std::uint64_t plain_sessions = 0;
    std::uint64_t failed_handshakes = 0;  // after STARTTLS, or on a port with implicit TLS
    std::uint64_t lost_in_data = 0;       // connections lost, or timed out, after DATA
    ClientCounts& operator+=(const ClientCounts& other);
    bool operator==(const ClientCounts&) const = default;
};

// As Postfix names them: "TLSv1.3", "TLS_AES_256_GCM_SHA384", 256.
struct ClientTls {
    std::string version;
    std::string cipher;
    std::optional<std::uint32_t> bits;
    bool operator==(const ClientTls&) const = default;
};

// One thing seen of a network's clients, or many together.
struct ClientSeen {
    IpAddress network;  // network_of() it
    ClientCounts counts;
    std::optional<ClientTls> tls{};  // of the latest session that had it
    ClientSeen& operator+=(const ClientSeen& later);
    bool operator==(const ClientSeen&) const = default;
};

// Counts of one day, or as long as there were some.
struct ClientDay {
    WallTime since{};
    ClientCounts counts;
    bool operator==(const ClientDay&) const = default;
};

struct ClientRecord {
    std::string network;  // client_network(), the key
    ClientDay day;        // begins with the first thing seen a day after the one before began
    std::optional<ClientDay> day_before{};
    std::optional<ClientTls> tls{};  // of the latest session that had it
    std::optional<WallTime> tls_at{};
    std::optional<WallTime> plain_at{};
    std::optional<WallTime> failed_at{};
    std::optional<WallTime> lost_at{};
    WallTime measured_at{};  // something was seen last
    bool operator==(const ClientRecord&) const = default;
};

ClientRecord absorb(const std::optional<ClientRecord>& known, const ClientSeen& seen, WallTime now);

// What was counted in the last one to two days, and since when; no counts when that is too long
// ago.
ClientDay recent(const ClientRecord& record, WallTime now);

// Gathers what is seen, so that a network costs one notice and one store, however many sessions it
// opens. Bounded: another network than `most` is not counted.
class ClientTally {
  public:
    explicit ClientTally(std::size_t most) : most_(most) {}

    bool add(const ClientSeen& seen);
    // Up to `most` networks, in turns, which then are here no more.
    std::vector<ClientSeen> take(std::size_t most);
    std::size_t networks() const { return seen_.size(); }

  private:
    std::size_t most_;
    std::map<IpAddress, ClientSeen> seen_;
    IpAddress last_taken_;
};

}  // namespace postfathom
