// SPDX-License-Identifier: Apache-2.0
// The direction towards the server: what the flights of large packets show, and what both
// directions show together.
#include <fmt/core.h>

#include <algorithm>

#include "lib/diagnosis/diagnose.hpp"
#include "lib/diagnosis/outbound_picture.hpp"
#include "lib/diagnosis/rules.hpp"

namespace postfathom {
namespace {

using rules::Finding;

IpFamily family(const Evidence& evidence) { return evidence.endpoint.address.family(); }

// A handshake with large packets both ways, each direction limited to `size`: what a person gets
// who sets that limit.
bool works_with(const Evidence& evidence, PathMtu size) {
    return std::any_of(
        evidence.flights.begin(), evidence.flights.end(), [&](const OutboundFlight& flight) {
            const auto advertised =
                flight.counters.advertised_mss + (flight.counters.timestamps ? 12U : 0U);
            return flight.shape == FlightShape::complete && flight.answered &&
                   flight.outcome == Outcome::ok && flight.passes == size &&
                   advertised <= mss_for(size, family(evidence)).bytes;
        });
}

bool settled(const Evidence& evidence) {
    return evidence.outbound.path_mtu && evidence.outbound.exact;
}

// The kernel took a smaller path MTU from a message, and what it sent then arrived.
const OutboundFlight* shrunk_flight(const Evidence& evidence) {
    for (const auto& flight : evidence.flights)
        if (flight.shape == FlightShape::shrunk && flight.passes) return &flight;
    return nullptr;
}

// Repeats in flights that got through in the end, and that were not for want of space.
std::uint32_t lost_in_flights(const Evidence& evidence) {
    std::uint32_t lost = 0;
    for (const auto& flight : evidence.flights) {
        if (flight.shape != FlightShape::complete && flight.shape != FlightShape::scattered)
            continue;
        const auto& counters = flight.counters;
        lost += std::min(counters.retransmits_total, 1000U) -
                std::min({counters.retransmits_total, counters.dsack_duplicates, 1000U});
    }
    return lost;
}

std::string size_in_words(const Diagnosis& hole) {
    return fmt::format("{}{} bytes", hole.path_mtu_exact ? "" : "a size of at least ",
                       hole.path_mtu->bytes);
}

}  // namespace

std::optional<bool> outbound_discovery_works(const Evidence& evidence) {
    if (rules::outbound_black_hole(evidence)) return false;
    if (shrunk_flight(evidence) != nullptr) return true;
    return std::nullopt;
}

std::optional<bool> discovery_works(const Evidence& evidence) {
    const auto inbound = inbound_discovery_works(evidence);
    const auto outbound = outbound_discovery_works(evidence);
    if (inbound == false || outbound == false) return false;
    return inbound ? inbound : outbound;
}

namespace rules {

Finding outbound_black_hole(const Evidence& evidence) {
    const auto picture = look_at(evidence.flights);
    if (!picture.hole()) return std::nullopt;
    Diagnosis hole;
    hole.id = DiagnosisId::pmtu_black_hole;
    hole.severity = Severity::critical;
    hole.direction = Direction::outbound;
    hole.confidence = std::min(confidence_cap, 1.0 - picture.chance);
    hole.path_mtu = picture.passes;
    hole.path_mtu_exact = picture.exact();
    if (!hole.path_mtu_exact) hole.path_mtu_below = picture.fails;
    if (works_with(evidence, *picture.passes))
        hole.usable_mss = mss_for(*picture.passes, family(evidence));
    hole.summary = fmt::format(
        "Packets to the server above {} vanish without word: on {} connections nothing of {} "
        "bytes or more arrived, repeats included, and what was smaller did.",
        size_in_words(hole), picture.hole_flights, picture.fails->bytes);
    if (first_attempt_completed(evidence))
        hole.summary += " The handshake completes; a message would stall.";
    if (hole.usable_mss)
        hole.summary += fmt::format(" With MSS {} large packets arrive.", hole.usable_mss->bytes);
    hole.ruled_out = {"peer-stall"};
    if (picture.lossy_flights == 0 && picture.contradicted == 0)
        hole.ruled_out.emplace_back("lossy-path");
    return hole;
}

Diagnosis black_hole_both_ways(const Evidence& evidence, const Diagnosis& inbound,
                               const Diagnosis& outbound) {
    const bool inbound_is_smaller = *inbound.path_mtu <= *outbound.path_mtu;
    Diagnosis hole = inbound_is_smaller ? inbound : outbound;
    hole.direction = Direction::both;
    // Both have to be right.
    hole.confidence = std::min(inbound.confidence, outbound.confidence);
    hole.usable_mss.reset();
    if (works_with(evidence, *hole.path_mtu))
        hole.usable_mss = mss_for(*hole.path_mtu, family(evidence));
    hole.summary = fmt::format(
        "Packets from the server above {} vanish without word, so its certificates never arrive, "
        "and so do packets to the server above {}.",
        size_in_words(inbound), size_in_words(outbound));
    if (hole.usable_mss)
        hole.summary +=
            fmt::format(" With MSS {} the handshake completes and large packets arrive.",
                        hole.usable_mss->bytes);
    hole.ruled_out.clear();
    for (const auto& name : inbound.ruled_out)
        if (std::count(outbound.ruled_out.begin(), outbound.ruled_out.end(), name) > 0)
            hole.ruled_out.push_back(name);
    return hole;
}

// On one connection a hole that is hardly chance, and none on another. What is lost by chance makes
// that of one flight in 500 at most, which is enough to claim nothing.
Finding outbound_varies(const Evidence& evidence) {
    constexpr double hardly_chance = 0.002;
    const auto picture = look_at(evidence.flights);
    std::uint32_t ill = 0;
    std::optional<PathMtu> fails;
    for (const auto& flight : evidence.flights) {
        if (chance_of(flight) > hardly_chance || flight.fails > picture.passes) continue;
        ++ill;
        fails = fails ? std::min(fails, flight.fails) : flight.fails;
    }
    if (ill == 0) return std::nullopt;
    return unsettled(
        fmt::format("On {} of {} connections nothing of {} bytes or more reached the server, "
                    "repeats included, and on another packets of {} bytes did: connections go "
                    "several ways of which one carries less, or the path changed meanwhile.",
                    ill, evidence.flights.size(), fails->bytes, picture.passes->bytes),
        "probes at other times: what is known of the path then says whether it varies");
}

Finding outbound_lossy(const Evidence& evidence) {
    // One lost packet is no property of a path.
    constexpr std::uint32_t enough = 2;
    const auto picture = look_at(evidence.flights);
    const bool scattered = std::any_of(
        evidence.flights.begin(), evidence.flights.end(),
        [](const OutboundFlight& flight) { return flight.shape == FlightShape::scattered; });
    const auto lost = lost_in_flights(evidence);
    if (!scattered && lost < enough && picture.contradicted == 0) return std::nullopt;
    Diagnosis loss;
    loss.id = DiagnosisId::lossy_path;
    loss.severity = scattered ? Severity::warning : Severity::notice;
    loss.confidence = 0.9;
    loss.summary = picture.passes
                       ? fmt::format(
                             "Packets to the server are lost whatever their size: {} had to be "
                             "repeated, and up to {} bytes arrived.",
                             lost, picture.passes->bytes)
                       : fmt::format(
                             "Packets to the server are lost whatever their size: {} had to be "
                             "repeated.",
                             lost);
    loss.ruled_out = {"pmtu-black-hole"};
    return loss;
}

Finding unexplained_outbound(const Evidence& evidence) {
    const auto picture = look_at(evidence.flights);
    if (picture.hole_flights == 0 || picture.hole() || !picture.fails) return std::nullopt;
    const auto seen =
        picture.passes
            ? fmt::format(
                  "Packets to the server of {} bytes arrived and of {} did "
                  "not, on {} connection{}",
                  picture.passes->bytes, picture.fails->bytes, picture.hole_flights,
                  picture.hole_flights == 1 ? "" : "s")
            : fmt::format(
                  "Packets to the server of {} bytes did not arrive on {} "
                  "connection{}",
                  picture.fails->bytes, picture.hole_flights, picture.hole_flights == 1 ? "" : "s");
    return unsettled(seen + ", which is too little to tell a path MTU black hole from loss.",
                     "another probe, with more connections");
}

Finding pmtu_reduced(const Evidence& evidence) {
    const auto* outbound = shrunk_flight(evidence);
    const bool inbound = inbound_discovery_works(evidence) == true;
    if (outbound == nullptr && !inbound) return std::nullopt;
    const auto from_server = inbound ? inbound_path(evidence).path_mtu : std::nullopt;
    const auto to_server = outbound != nullptr ? outbound->passes : std::nullopt;
    Diagnosis found = stated(DiagnosisId::pmtu_reduced, Severity::notice, "", {});
    found.direction = from_server && to_server ? Direction::both
                      : from_server            ? Direction::inbound
                                               : Direction::outbound;
    found.path_mtu = from_server && to_server ? std::min(*from_server, *to_server)
                     : from_server            ? from_server
                                              : to_server;
    if (!found.path_mtu) return std::nullopt;
    found.path_mtu_exact = true;
    // A clamp on the way and a packet lost by chance look the same from here.
    if (outbound == nullptr) found.confidence = 0.9;
    const auto sizes = from_server && to_server && *from_server != *to_server
                           ? fmt::format("{} bytes from the server and {} to it",
                                         from_server->bytes, to_server->bytes)
                           : fmt::format("{} bytes{}", found.path_mtu->bytes,
                                         found.direction == Direction::inbound ? " from the server"
                                         : found.direction == Direction::outbound ? " to the server"
                                                                                  : " both ways");
    found.summary = fmt::format(
        "The path carries {}, less than the ends, and path MTU discovery found that out.", sizes);
    found.ruled_out = {"pmtu-black-hole", "lossy-path"};
    return found;
}

std::string outbound_sizes_in_words(const Evidence& evidence) {
    if (!settled(evidence) || shrunk_flight(evidence) != nullptr) return "";
    return fmt::format("packets of {} bytes, the largest we can send, reach the server",
                       evidence.outbound.path_mtu->bytes);
}

namespace {

// An MSS below what an Ethernet allows: somebody lowers it.
std::optional<Note> clamp_note(const Evidence& evidence) {
    const auto usual = mss_for(ethernet_mtu, family(evidence));
    const auto note = [&](const TcpCounters& counters, PathMtu path_mtu) -> std::optional<Note> {
        if (counters.peer_mss == 0 || counters.peer_mss >= usual.bytes ||
            counters.peer_mss >= mss_for(path_mtu, family(evidence)).bytes)
            return std::nullopt;
        return Note{"mss-clamped",
                    fmt::format("The server asks for segments of at most {} bytes where {} are "
                                "usual: its own MTU is {}, or a router on the way lowers the MSS, "
                                "so we send no larger packet to it.",
                                counters.peer_mss, usual.bytes,
                                path_mtu_for(Mss{counters.peer_mss}, family(evidence)).bytes)};
    };
    if (evidence.attempts.empty() || evidence.attempts.front().clamped) return std::nullopt;
    // Without a connection the server has asked for nothing: the kernel's own 536 stands there.
    if (evidence.attempts.front().reached <= Phase::connect) return std::nullopt;
    const auto& counters = evidence.attempts.front().counters;
    return note(counters, PathMtu{counters.path_mtu});
}

}  // namespace

std::vector<Note> outbound_notes(const Evidence& evidence) {
    std::vector<Note> notes;
    if (auto note = clamp_note(evidence)) notes.push_back(std::move(*note));
    const auto learned =
        std::find_if(evidence.flights.begin(), evidence.flights.end(), [](const auto& flight) {
            return flight.path_mtu_after.bytes > 0 &&
                   flight.path_mtu_after < flight.path_mtu_before;
        });
    if (learned != evidence.flights.end())
        notes.push_back(
            {"path-mtu-learned",
             fmt::format(
                 "This host has learned from a \"too big\" message that the path to the server "
                 "carries {} bytes. For some minutes (sysctl net.ipv4.route.mtu_expires, "
                 "net.ipv6.route.mtu_expires) it advertises MSS {} to it, which can hide a fault "
                 "in "
                 "the other direction from probes and mail alike.",
                 learned->path_mtu_after.bytes,
                 mss_for(learned->path_mtu_after, family(evidence)).bytes)});
    return notes;
}

}  // namespace rules
}  // namespace postfathom
