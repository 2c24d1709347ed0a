// SPDX-License-Identifier: Apache-2.0
#include "lib/diagnosis/notes.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <string_view>

namespace postfathom {
namespace {

bool below_interface(const Vantage& vantage) {
    return vantage.route_mtu && vantage.interface_mtu &&
           *vantage.route_mtu < *vantage.interface_mtu;
}

// Larger than anything the kernel believes to fit, and it got through.
std::optional<PathMtu> larger_than_cached(const Evidence& evidence) {
    PathMtu largest;
    for (const auto& attempt : evidence.attempts)
        largest = std::max(largest, std::min(attempt.largest_received, attempt.allowed));
    for (const auto& datagram : evidence.datagrams)
        if (datagram.outcome == DatagramOutcome::passed) largest = std::max(largest, datagram.size);
    largest = std::max(largest, evidence.outbound.path_mtu.value_or(PathMtu{}));
    if (largest <= *evidence.vantage.route_mtu) return std::nullopt;
    return largest;
}

void note_cache(const Evidence& evidence, std::vector<Note>& notes) {
    const auto& vantage = evidence.vantage;
    if (!below_interface(vantage)) return;
    if (!vantage.route_mtu_learned) {
        notes.push_back(
            {"route-mtu",
             fmt::format("A route of this host limits packets to this address to {} "
                         "bytes (interface: {}), and asks the server for no larger ones.",
                         vantage.route_mtu->bytes, vantage.interface_mtu->bytes)});
        return;
    }
    notes.push_back(
        {"cached-path-mtu",
         fmt::format(
             "Before this probe the kernel had learned a path MTU of {} bytes to this address "
             "(interface: {}); for up to 10 minutes it asks the server for nothing larger, "
             "which hides a black hole above.",
             vantage.route_mtu->bytes, vantage.interface_mtu->bytes)});
    if (const auto larger = larger_than_cached(evidence))
        notes.push_back(
            {"stale-route-exception",
             fmt::format(
                 "The kernel's path MTU of {} bytes is out of date or was forged: {} bytes get "
                 "through. See: ip route get {}",
                 vantage.route_mtu->bytes, larger->bytes, evidence.endpoint.address.to_string())});
}

const DatagramProbe* find_datagram(const Evidence& evidence, DatagramOutcome outcome,
                                   bool from_router) {
    const auto found = std::find_if(
        evidence.datagrams.begin(), evidence.datagrams.end(), [&](const DatagramProbe& datagram) {
            return datagram.outcome == outcome && (!from_router || datagram.router);
        });
    return found == evidence.datagrams.end() ? nullptr : &*found;
}

// A large datagram that nobody answered, while a smaller one of the same kind was answered after
// it: silence because of its size and not of a limit on answers.
const DatagramProbe* silent_by_size(const Evidence& evidence) {
    const auto& sent = evidence.datagrams;
    for (auto large = sent.begin(); large != sent.end(); ++large) {
        if (large->outcome != DatagramOutcome::silent) continue;
        const auto answered = [&](const DatagramProbe& other) {
            return other.echo == large->echo && other.outcome == DatagramOutcome::passed &&
                   other.size < large->size;
        };
        // A lost answer to an echo tells nothing of the way there.
        if (!large->echo && std::any_of(large + 1, sent.end(), answered)) return &*large;
    }
    return nullptr;
}

void note_icmp(const Evidence& evidence, std::vector<Note>& notes) {
    if (const auto* told = find_datagram(evidence, DatagramOutcome::too_big, true)) {
        const auto claim =
            told->reported ? fmt::format("{} bytes", told->reported->bytes) : "a smaller size";
        notes.push_back({"icmp-arrives",
                         fmt::format("Router {} told us that {} bytes are too big and {} fit: ICMP "
                                     "errors reach this host.",
                                     told->router->to_string(), told->size.bytes, claim)});
        notes.push_back(
            {"path-mtu-learned-now",
             "That message is also in the kernel's route cache now: for up to 10 minutes "
             "mail to this address goes in smaller packets."});
        return;
    }
    if (const auto* lost = silent_by_size(evidence))
        notes.push_back(
            {"icmp-silent",
             fmt::format("A datagram of {} bytes to the server vanishes and no router says "
                         "why, smaller ones are answered: ICMP errors do not reach this "
                         "host, or nobody sends them.",
                         lost->size.bytes)});
}

struct Encapsulation {
    std::uint32_t size;
    std::string_view leaves;
};
// What is left of 1500, or of the 1492 of PPPoE. Sizes with many explanations are not here.
constexpr std::array<Encapsulation, 13> encapsulations{{
    {1492, "PPPoE leaves of 1500"},
    {1480, "IP-in-IP or 6in4 leaves of 1500"},
    {1476, "GRE leaves of 1500"},
    {1472, "GRE with a key leaves of 1500, and 6in4 of PPPoE's 1492"},
    {1464, "GTP-U leaves of 1500"},
    {1460, "DS-Lite leaves of 1500, and what Google's cloud networks carry"},
    {1450, "VXLAN leaves of 1500"},
    {1440, "WireGuard leaves of 1500 over IPv4"},
    {1432, "WireGuard over IPv4 leaves of PPPoE's 1492"},
    {1420, "WireGuard leaves of 1500"},
    {1412, "WireGuard leaves of PPPoE's 1492"},
    {1400, "IPsec and other VPNs are usually set to"},
    {1280, "every IPv6 link has to carry, and what careful tunnels are set to"},
}};

void note_tunnel(const Evidence& evidence, std::vector<Note>& notes) {
    std::optional<PathMtu> size;
    if (evidence.outbound.exact && evidence.outbound.fails) size = evidence.outbound.path_mtu;
    if (evidence.inbound.exact) size = evidence.inbound.path_mtu;
    if (!size) return;
    const auto* found =
        std::find_if(encapsulations.begin(), encapsulations.end(),
                     [&](const Encapsulation& known) { return known.size == size->bytes; });
    if (found == encapsulations.end()) return;
    notes.push_back({"tunnel-guess", fmt::format("A guess from the size: {} bytes is what {}.",
                                                 found->size, found->leaves)});
}

}  // namespace

bool masked_by_cache(const Evidence& evidence) {
    return below_interface(evidence.vantage) && evidence.vantage.route_mtu_learned;
}

std::vector<Note> path_notes(const Evidence& evidence) {
    std::vector<Note> notes;
    note_cache(evidence, notes);
    note_icmp(evidence, notes);
    note_tunnel(evidence, notes);
    return notes;
}

}  // namespace postfathom
