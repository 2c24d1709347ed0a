// SPDX-License-Identifier: Apache-2.0
// Notices: datagrams from policyd and milter to probed, fire and forget. A lost notice costs
// freshness, never mail. One JSON object of at most 4 KiB each.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "lib/base/result.hpp"
#include "lib/diagnosis/client.hpp"
#include "lib/diagnosis/record.hpp"
#include "lib/net/hook_times.hpp"

namespace postfathom {

inline constexpr std::size_t max_notice_bytes = 4096;

// "Postfix sends mail for this domain there", from the milter's macros.
struct RouteLearned {
    RouteRecord route;
    bool operator==(const RouteLearned&) const = default;
};

// "Somebody asked about this next hop and we knew nothing, or too old." Not by itself a reason to
// probe a place that Postfix was never seen to use.
struct VerdictWanted {
    std::string next_hop;  // canonical
    bool operator==(const VerdictWanted&) const = default;
};

// "Postfix asked for the tag of a failure at this endpoint, and there was no verdict."
struct FailureSeen {
    Endpoint endpoint;     // name may be empty
    std::string next_hop;  // canonical; empty when unknown
    std::string reason;    // Postfix's text, printable()
    bool operator==(const FailureSeen&) const = default;
};

// "Clients of this network brought mail", counted by the milter over a few seconds.
struct ClientsSeen {
    ClientSeen seen;
    bool operator==(const ClientsSeen&) const = default;
};

// HookTimes: "so long did Postfix wait for our answers".
using Notice = std::variant<RouteLearned, VerdictWanted, FailureSeen, ClientsSeen, HookTimes>;

std::string encode(const Notice& notice);
Result<Notice> decode_notice(std::string_view bytes);

// Sends without waiting; what cannot be sent at once is dropped and counted. Not thread-safe except
// send(), which any thread may call.
class NoticeSender {
  public:
    explicit NoticeSender(std::string socket_path);
    ~NoticeSender();
    NoticeSender(const NoticeSender&) = delete;
    NoticeSender& operator=(const NoticeSender&) = delete;

    bool send(const Notice& notice) noexcept;
    std::uint64_t dropped() const noexcept;

  private:
    struct State;
    std::string path_;
    std::unique_ptr<State> state_;
};

}  // namespace postfathom
