// SPDX-License-Identifier: Apache-2.0
#include "lib/mail_queue/groups.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "lib/destination/next_hop.hpp"
#include "lib/mail_log/lines.hpp"

namespace postfathom {

namespace {

constexpr std::size_t max_example = 1024;
constexpr std::string_view others = "(others)";

MailPlace place_of_peer(const LoggedPeer& peer) {
    NextHop next_hop;
    next_hop.mx_lookup = false;
    next_hop.port = peer.port;
    // Postfix's word for an address that has no name.
    const auto named = parse_next_hop("[" + peer.host + "]");
    if (named && !named->literal && peer.host != "unknown") {
        next_hop.host = named->host;
    } else {
        next_hop.host = peer.address.to_string();
        next_hop.literal = peer.address;
    }
    auto canonical = to_string(next_hop);
    return {canonical, canonical, PlaceSource::reason};
}

}  // namespace

std::string_view to_string(PlaceSource source) {
    switch (source) {
        case PlaceSource::configured:
            return "configured";
        case PlaceSource::learned:
            return "learned";
        case PlaceSource::transport_maps:
            return "transport_maps";
        case PlaceSource::relayhost:
            return "relayhost";
        case PlaceSource::domain:
            return "domain";
        case PlaceSource::reason:
            return "reason";
        case PlaceSource::none:
            break;
    }
    return "none";
}

MailPlace place_of(const QueuedRecipient& recipient, const RouteOf& route_of) {
    const auto domain = domain_of_recipient(recipient.address);
    if (!domain.empty()) {
        if (auto routed = route_of(domain); routed.source != PlaceSource::none) return routed;
        if (const auto next_hop = parse_next_hop(domain))
            return {to_string(*next_hop), domain, PlaceSource::domain};
    }
    const auto trouble = classify_reason(recipient.delay_reason);
    if (trouble && trouble->peer) return place_of_peer(*trouble->peer);
    return {};
}

bool worth_probing(const QueueGroup& group) {
    return group.place.source != PlaceSource::none && group.kind != FailureKind::own_side &&
           group.kind != FailureKind::refused;
}

// Domains repeat, and asking for a route costs a question to the daemon.
const MailPlace& QueueGroups::known_place(const QueuedRecipient& recipient) {
    const auto domain = domain_of_recipient(recipient.address);
    if (const auto known = places_.find(domain); known != places_.end()) return known->second;
    last_place_ = place_of(recipient, route_of_);
    if (last_place_.source == PlaceSource::reason || last_place_.source == PlaceSource::none ||
        places_.size() >= most_)
        return last_place_;
    return places_.emplace(domain, last_place_).first->second;
}

QueueGroup& QueueGroups::group(const MailPlace& place, FailureKind kind) {
    auto key = fmt::format("{} {}", place.next_hop, to_string(kind));
    const bool room = groups_.contains(key) || groups_.size() < most_;
    if (!room) key = others;
    auto& found = groups_[key];
    if (room) {
        if (found.messages == 0) found.place = place;
        found.kind = kind;
    }
    return found;
}

void QueueGroups::message(const QueuedMessage& message) {
    if (message.queue_name == "hold") {
        ++held_;
        return;
    }
    std::set<QueueGroup*> counted;
    for (const auto& recipient : message.recipients) {
        if (recipient.delay_reason.empty() && message.queue_name != "deferred") continue;
        auto& found = group(known_place(recipient), failure_kind(recipient.delay_reason));
        ++found.recipients;
        if (found.example.empty()) found.example = recipient.delay_reason.substr(0, max_example);
        if (!counted.insert(&found).second) continue;
        if (found.messages++ == 0 || message.arrival_time < found.oldest) {
            found.oldest = message.arrival_time;
            found.oldest_id = message.queue_id;
        }
        found.bytes += std::min(message.message_size, ~std::uint64_t{0} - found.bytes);
    }
    ++(counted.empty() ? under_way_ : stuck_);
}

std::vector<QueueGroup> QueueGroups::groups() const {
    std::vector<QueueGroup> result;
    for (const auto& [key, group] : groups_) result.push_back(group);
    std::stable_sort(result.begin(), result.end(),
                     [](const auto& a, const auto& b) { return a.messages > b.messages; });
    return result;
}

}  // namespace postfathom
