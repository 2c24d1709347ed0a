// SPDX-License-Identifier: Apache-2.0
// Stuck mail by the place it should go to and by what keeps it. Pure; memory is bounded by the
// number of groups and domains.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "lib/mail_log/log_summary.hpp"
#include "lib/mail_queue/listing.hpp"

namespace postfathom {

// How the place that mail goes to is known.
enum class PlaceSource {
    configured,      // a [[route]] of our configuration
    learned,         // the daemon saw Postfix route so
    transport_maps,  // Postfix's table
    relayhost,       // Postfix's parameter
    domain,          // no word of a route: the recipient's domain
    reason,          // the recipient has no domain: the server that the reason names
    none,            // nothing to go to: local delivery
};
std::string_view to_string(PlaceSource source);

struct MailPlace {
    std::string next_hop;  // canonical; empty with PlaceSource::none
    std::string verbatim;  // as it was written where it comes from
    PlaceSource source = PlaceSource::none;
    // Only a stranger's address, or what the log showed, leads there: Postfix may go elsewhere.
    bool assumed = false;
    bool operator==(const MailPlace&) const = default;
};

// Where mail for a recipient's domain is sent; PlaceSource::none: not known.
using RouteOf = std::function<MailPlace(const std::string& domain)>;

// The place for one recipient.
MailPlace place_of(const QueuedRecipient& recipient, const RouteOf& route_of);

struct QueueGroup {
    MailPlace place;
    FailureKind kind = FailureKind::other;
    std::string example;  // a reason as Postfix has it; empty: none is recorded
    std::uint64_t messages = 0;
    std::uint64_t recipients = 0;
    std::uint64_t bytes = 0;  // of the messages
    std::int64_t oldest = 0;  // arrival of the oldest, seconds since 1970
    std::string oldest_id;    // its queue id
    bool operator==(const QueueGroup&) const = default;
};

// Whether a probe could tell why it is stuck. Not where the server answered in SMTP and said no,
// where our own tables fail, or where there is no place to go to.
bool worth_probing(const QueueGroup& group);

class QueueGroups {
  public:
    // More groups than `most` are counted as one, without a place.
    explicit QueueGroups(RouteOf route_of, std::size_t most = 10'000)
        : route_of_(std::move(route_of)), most_(most) {}

    void message(const QueuedMessage& message);

    // Most messages first.
    std::vector<QueueGroup> groups() const;

    std::uint64_t stuck() const { return stuck_; }          // messages
    std::uint64_t held() const { return held_; }            // by somebody's wish: postsuper -h
    std::uint64_t under_way() const { return under_way_; }  // new, or not tried yet

  private:
    QueueGroup& group(const MailPlace& place, FailureKind kind);
    const MailPlace& known_place(const QueuedRecipient& recipient);

    RouteOf route_of_;
    std::size_t most_;
    std::map<std::string, QueueGroup> groups_;  // by place and kind
    std::map<std::string, MailPlace> places_;   // by domain
    MailPlace last_place_;
    std::uint64_t stuck_ = 0;
    std::uint64_t held_ = 0;
    std::uint64_t under_way_ = 0;
};

}  // namespace postfathom
