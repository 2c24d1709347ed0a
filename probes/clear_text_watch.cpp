// SPDX-License-Identifier: Apache-2.0
#include "probes/clear_text_watch.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace postfathom {

namespace {

constexpr std::uint16_t smtp_port = 25;

std::string key_of(const LoggedPeer& peer) {
    return fmt::format("{} {}", peer.address.to_string(), peer.port.value_or(smtp_port));
}

auto same_address(const LoggedPeer& peer) {
    return [&peer](const LoggedPeer& other) { return other.address == peer.address; };
}

bool holds(const std::vector<LoggedPeer>& peers, const LoggedPeer& peer) {
    return std::any_of(peers.begin(), peers.end(), same_address(peer));
}

}  // namespace

std::string_view to_string(ClearTextSign sign) {
    switch (sign) {
        case ClearTextSign::told:
            return "tls-word";
        case ClearTextSign::same_delivery:
            return "tls-failed-before";
        case ClearTextSign::no_tls_line:
            return "no-tls-line";
    }
    return "unknown";
}

ClearTextWatch::Delivery& ClearTextWatch::delivery_of(std::uint32_t pid) {
    if (const auto known = deliveries_.find(pid); known != deliveries_.end()) return known->second;
    if (pids_.size() >= max_processes) {
        deliveries_.erase(pids_.front());
        pids_.pop_front();
    }
    pids_.push_back(pid);
    return deliveries_[pid];
}

std::optional<ClearTextDelivery> ClearTextWatch::line(const LogLine& line, Time now) {
    // error(8) delivers nothing, and the servers of lmtp(8) are near.
    if (line.program != "smtp" || line.pid == 0) return std::nullopt;
    auto& delivery = delivery_of(line.pid);
    if (const auto* status = std::get_if<DeliveryStatus>(&line.event))
        return outcome(delivery, line, *status, now);
    // A process serves one delivery at a time: after an outcome comes the next one.
    if (!delivery.reported.empty()) delivery = Delivery{};
    if (const auto* established = std::get_if<TlsEstablished>(&line.event)) {
        std::erase_if(delivery.established, same_address(established->peer));
        if (delivery.established.size() < max_peers)
            delivery.established.push_back(established->peer);
        if (tls_logged_.size() < max_hosts) tls_logged_.insert(line.host);
    } else if (const auto* ill = std::get_if<Trouble>(&line.event)) {
        trouble(delivery, *ill, now);
    }
    return std::nullopt;
}

void ClearTextWatch::trouble(Delivery& delivery, const Trouble& trouble, Time now) {
    if (trouble.kind == TroubleKind::cannot_start_tls) delivery.failed_somewhere = true;
    if (!trouble.peer) return;
    const auto session = std::find_if(delivery.established.begin(), delivery.established.end(),
                                      same_address(*trouble.peer));
    if (trouble.kind == TroubleKind::handshake_error) {
        tls_failed(delivery, *trouble.peer, now);
    } else if (session != delivery.established.end() &&
               (trouble.kind == TroubleKind::conversation_timed_out ||
                trouble.kind == TroubleKind::lost_connection)) {
        // A session that broke behind its handshake is a reason for clear text as well.
        const auto peer = std::move(*session);
        delivery.established.erase(session);
        tls_failed(delivery, peer, now);
    }
}

void ClearTextWatch::tls_failed(Delivery& delivery, const LoggedPeer& peer, Time now) {
    if (holds(delivery.failed, peer)) return;
    if (delivery.failed.size() < max_peers) delivery.failed.push_back(peer);
    const auto key = key_of(peer);
    if (failures_.size() >= max_servers && !failures_.contains(key))
        failures_.erase(std::min_element(
            failures_.begin(), failures_.end(),
            [](const auto& a, const auto& b) { return a.second.last < b.second.last; }));
    auto& failures = failures_[key];
    if (failures.count > 0 && now - failures.last > remembered) failures.count = 0;
    ++failures.count;
    failures.last = now;
}

std::uint32_t ClearTextWatch::failures_with(const LoggedPeer& peer, Time now) const {
    const auto known = failures_.find(key_of(peer));
    if (known == failures_.end() || now - known->second.last > remembered) return 0;
    return known->second.count;
}

std::optional<ClearTextSign> ClearTextWatch::sign_of(const Delivery& delivery,
                                                     const DeliveryStatus& status,
                                                     const std::string& host) const {
    if (!status.tls.empty()) {
        if (status.tls == "none" || status.tls.ends_with(":none")) return ClearTextSign::told;
        return std::nullopt;
    }
    if (holds(delivery.established, *status.relay)) return std::nullopt;
    // The session was established, or not, in a delivery that another process may have logged.
    if (status.reused) return std::nullopt;
    if (holds(delivery.failed, *status.relay)) return ClearTextSign::same_delivery;
    if (tls_logged_.contains(host)) return ClearTextSign::no_tls_line;
    return std::nullopt;
}

std::optional<ClearTextDelivery> ClearTextWatch::outcome(Delivery& delivery, const LogLine& line,
                                                         const DeliveryStatus& status, Time now) {
    const bool sent = status.status == "sent";
    const bool another = !delivery.reported.empty() &&
                         (delivery.reported != line.queue_id || (sent && !delivery.sent));
    if (another) delivery = Delivery{};
    delivery.reported = line.queue_id;
    delivery.sent = sent;
    if (!sent) {
        if (status.trouble && status.reason_peer)
            trouble(delivery, {*status.trouble, status.reason_peer, {}}, now);
        // tlsproxy(8) logs the address in a line of its own; the status line has it too.
        if (status.trouble == TroubleKind::cannot_start_tls && status.relay)
            tls_failed(delivery, *status.relay, now);
        return std::nullopt;
    }
    if (!status.relay || delivery.raised) return std::nullopt;
    const auto sign = sign_of(delivery, status, line.host);
    if (!sign) return std::nullopt;
    auto failures = failures_with(*status.relay, now);
    if (failures == 0 && delivery.failed_somewhere) failures = 1;
    if (failures == 0 && !path_is_ill_(*status.relay)) return std::nullopt;
    delivery.raised = true;
    return ClearTextDelivery{line.queue_id, status.recipient_domain, *status.relay, *sign,
                             failures};
}

}  // namespace postfathom
