// SPDX-License-Identifier: Apache-2.0
// Stalls in the handshake: does the size of the server's packets decide, or chance, or the server?
// Judged over all attempts of one probe, because a single stall proves nothing: at 10 % loss one
// handshake in a hundred is unfinished after 3 s on a path without any fault.
#include <fmt/core.h>

#include <algorithm>
#include <limits>

#include "lib/diagnosis/diagnose.hpp"
#include "lib/diagnosis/notes.hpp"
#include "lib/diagnosis/rules.hpp"

namespace postfathom {
namespace {

using rules::Finding;

// An attempt that reached the handshake and got no further for want of packets.
bool stalled(const Attempt& attempt) {
    if (attempt.reached != Phase::handshake || attempt.stall == StallShape::none) return false;
    switch (attempt.outcome) {
        case Outcome::timed_out:
        case Outcome::cancelled:
        case Outcome::closed:  // the server's own patience ended first
        case Outcome::reset:
            return true;
        default:
            return false;
    }
}

// The server answered and part of the answer was lost on the way: a later segment arrived, or our
// repeat was acknowledged as a duplicate. Silence shows neither.
bool answer_lost(const Attempt& attempt) {
    return stalled(attempt) &&
           (attempt.stall == StallShape::gap || attempt.stall == StallShape::lost_reply);
}

bool completed(const Attempt& attempt) {
    return attempt.outcome == Outcome::ok && attempt.reached >= Phase::handshake;
}

// The largest packet that this attempt shows to arrive. A flight smaller than the segment size
// shows only that much.
PathMtu shown(const Attempt& attempt) {
    return std::min(attempt.largest_received, attempt.allowed);
}

// tcpi_rcv_mss starts near 536 before any data came, so after silence it shows nothing.
bool full_size_arrived(const Attempt& attempt) {
    if (attempt.stall == StallShape::silent_acked || attempt.stall == StallShape::hello_unacked ||
        attempt.stall == StallShape::window_closed)
        return false;
    return attempt.allowed.bytes > 0 && attempt.largest_received >= attempt.allowed;
}

bool passed(const Attempt& attempt) {
    return (completed(attempt) || full_size_arrived(attempt)) && shown(attempt).bytes > 0;
}

// A completed handshake speaks for the size it was allowed: the server's flight is the same each
// time, and a smaller limit only cuts it into smaller packets.
PathMtu speaks_for(const Attempt& attempt) {
    return completed(attempt) ? attempt.allowed : shown(attempt);
}

struct Picture {
    std::optional<PathMtu> largest_pass;  // largest size shown to arrive
    std::optional<PathMtu> largest_spoken_for;
    std::optional<PathMtu> smallest_stall_above;
    // Attempts that stalled: above every size that is spoken for, and at one that went through
    // elsewhere.
    std::uint32_t stalls_above = 0;
    std::uint32_t stalls_below = 0;
    std::uint32_t passes = 0;
    std::uint32_t lost_answers_above = 0;  // attempts
    std::uint32_t lost_just_above = 0;     // attempts, one byte above largest_pass
    std::uint32_t large_lost = 0;          // segments above
    std::uint32_t small_lost = 0;          // segments at sizes that went through elsewhere
    std::uint32_t small_received = 0;      // segments, all attempts
    bool full_pass_at_boundary = false;
    std::optional<Mss> usable_mss;
};

// Probability that every large transmission was lost and only `small_lost` of the small ones, when
// loss does not depend on size.
double chance_of_split(const Picture& picture) {
    return size_split_probability(picture.small_received, picture.small_lost, picture.large_lost);
}

// The stalled first attempt that went on in the end is no stall.
bool counts_as_stall(const Evidence& evidence, const Attempt& attempt) {
    const bool first = &attempt == evidence.attempts.data();
    return stalled(attempt) && !(first && evidence.first_attempt_recovered);
}

void look_for_passes(Picture& picture, const Evidence& evidence) {
    const auto family = evidence.endpoint.address.family();
    for (const auto& attempt : evidence.attempts) {
        picture.small_received = saturating_add(picture.small_received, attempt.small_received);
        if (!passed(attempt)) continue;
        ++picture.passes;
        picture.largest_pass = std::max(picture.largest_pass, std::optional{shown(attempt)});
        picture.largest_spoken_for =
            std::max(picture.largest_spoken_for, std::optional{speaks_for(attempt)});
        if (completed(attempt))
            picture.usable_mss =
                std::max(picture.usable_mss, std::optional{mss_for(attempt.allowed, family)});
    }
}

void add_stall(Picture& picture, const Attempt& attempt) {
    if (picture.largest_spoken_for && attempt.allowed <= *picture.largest_spoken_for) {
        ++picture.stalls_below;
        picture.small_lost = saturating_add(picture.small_lost, std::max(1U, attempt.large_lost));
        return;
    }
    ++picture.stalls_above;
    if (!picture.smallest_stall_above || attempt.allowed < *picture.smallest_stall_above)
        picture.smallest_stall_above = attempt.allowed;
    if (!answer_lost(attempt)) return;
    ++picture.lost_answers_above;
    picture.large_lost = saturating_add(picture.large_lost, attempt.large_lost);
    if (picture.largest_pass && attempt.allowed.bytes - picture.largest_pass->bytes == 1)
        ++picture.lost_just_above;
}

void look_for_stalls(Picture& picture, const Evidence& evidence) {
    for (const auto& attempt : evidence.attempts) {
        if (picture.largest_pass && full_size_arrived(attempt) &&
            attempt.allowed == *picture.largest_pass)
            picture.full_pass_at_boundary = true;
        if (counts_as_stall(evidence, attempt)) add_stall(picture, attempt);
    }
}

Picture look_at(const Evidence& evidence) {
    Picture picture;
    look_for_passes(picture, evidence);
    look_for_stalls(picture, evidence);
    return picture;
}

// Silence counts only where we waited to the end: a control that was cut short was not silent.
bool waited_out_silence(const Attempt& attempt) {
    return attempt.stall == StallShape::silent_acked && attempt.reached == Phase::handshake &&
           (attempt.outcome == Outcome::timed_out || attempt.outcome == Outcome::closed ||
            attempt.outcome == Outcome::reset);
}

// Every link carries this much without help (RFC 8200 section 5); for IPv4 hardly one in use does
// not.
constexpr PathMtu surely_passes{1280};

// What the server's flight at least needs to fill one packet, when the certificates are known.
// OpenSSL hands a flight to TCP in pieces of 4096 bytes.
std::optional<std::uint32_t> flight_packet(const Evidence& evidence) {
    if (!evidence.handshake || !evidence.handshake->certificate) return std::nullopt;
    const auto chain = evidence.handshake->certificate->chain_bytes;
    if (chain == 0) return std::nullopt;
    constexpr std::uint32_t openssl_buffer = 4096;
    return std::min(chain, openssl_buffer) + header_bytes(evidence.endpoint.address.family());
}

// The first attempt's packets were smaller than we allowed although the flight would have filled
// larger ones.
bool reduced(const Evidence& evidence) {
    if (evidence.attempts.empty()) return false;
    const auto& first = evidence.attempts.front();
    if (first.largest_received.bytes == 0 || first.largest_received >= first.allowed) return false;
    if (const auto needed = flight_packet(evidence)) return first.largest_received.bytes < *needed;
    return first.stall == StallShape::gap;
}

bool saw_gap(const Evidence& evidence) {
    if (evidence.attempts.empty()) return false;
    const auto& first = evidence.attempts.front();
    return first.stall == StallShape::gap || first.stall == StallShape::lost_reply ||
           first.counters.out_of_order_segments > 0;
}

bool discovery_seen(const Evidence& evidence) {
    return rules::first_attempt_completed(evidence) && reduced(evidence) && saw_gap(evidence);
}

bool any_stall(const Evidence& evidence) {
    return std::any_of(evidence.attempts.begin(), evidence.attempts.end(), stalled);
}

}  // namespace

std::optional<bool> inbound_discovery_works(const Evidence& evidence) {
    if (rules::black_hole(evidence)) return false;
    if (discovery_seen(evidence)) return true;
    return std::nullopt;
}

namespace rules {

bool first_attempt_completed(const Evidence& evidence) {
    if (evidence.reached < Phase::handshake) return false;
    return evidence.outcome == Outcome::ok || evidence.first_attempt_recovered ||
           evidence.reached == Phase::quit;
}

Finding black_hole(const Evidence& evidence) {
    if (evidence.reached < Phase::handshake || first_attempt_completed(evidence))
        return std::nullopt;
    const Picture picture = look_at(evidence);
    if (!picture.largest_pass || picture.lost_answers_above < 2) return std::nullopt;
    // A path that loses small packets too needs more: the boundary itself shown twice, and small
    // connections that stall as the exception.
    if (picture.stalls_below > 0 &&
        (picture.lost_just_above < 2 || picture.passes <= 2 * picture.stalls_below))
        return std::nullopt;
    const double chance = chance_of_split(picture);
    if (chance > max_false_claim_probability) return std::nullopt;

    const PathMtu size = *picture.largest_pass;
    const bool exact = picture.full_pass_at_boundary && picture.lost_just_above > 0;
    Diagnosis hole;
    hole.id = DiagnosisId::pmtu_black_hole;
    hole.severity = Severity::critical;
    hole.direction = Direction::inbound;
    hole.confidence = std::min(confidence_cap, 1.0 - chance);
    hole.path_mtu = size;
    hole.path_mtu_exact = exact;
    if (!exact) hole.path_mtu_below = picture.smallest_stall_above;
    hole.usable_mss = picture.usable_mss;
    hole.summary = fmt::format(
        "Packets from the server above {}{} bytes vanish without word, so its certificates never "
        "arrive: "
        "{} connections that allowed {} bytes or more stalled, {} that allowed less passed.",
        exact ? "" : "a size of at least ", size.bytes, picture.stalls_above,
        picture.smallest_stall_above->bytes, picture.passes);
    if (!exact && evidence.budget_ended)
        hole.summary += fmt::format(
            " The exact size, below {} bytes, takes more connections than this probe "
            "may make.",
            picture.smallest_stall_above->bytes);
    if (picture.stalls_below > 0)
        hole.summary +=
            fmt::format(" The path also loses packets of any size ({} such connections).",
                        picture.stalls_below);
    if (picture.usable_mss)
        hole.summary +=
            fmt::format(" With MSS {} the handshake completes.", picture.usable_mss->bytes);
    hole.ruled_out = {"peer-stall"};
    if (picture.stalls_below == 0) hole.ruled_out.emplace_back("lossy-path");
    if (picture.usable_mss) {
        hole.ruled_out.emplace_back("tls-protocol-mismatch");
        hole.ruled_out.emplace_back("tls-no-shared-cipher");
    }
    return hole;
}

namespace {

bool shows_loss(const Attempt& attempt) {
    const auto& seen = attempt.counters;
    return seen.out_of_order_segments > 0 || seen.retransmits_total > 0 ||
           seen.dsack_duplicates > 0;
}

// A handshake that did not end although full packets arrived was kept from it by chance when
// another one ended, or got stuck elsewhere. At the same place it could be a packet of one certain
// size each time, or the server.
bool unfinished_by_chance(const Evidence& evidence, const Attempt& attempt) {
    if (attempt.stall != StallShape::unfinished || !shows_loss(attempt)) return false;
    return std::any_of(
        evidence.attempts.begin(), evidence.attempts.end(), [&](const Attempt& other) {
            return completed(other) ||
                   (other.stall == StallShape::unfinished &&
                    other.counters.bytes_received != attempt.counters.bytes_received);
        });
}

}  // namespace

Finding lossy_path(const Evidence& evidence) {
    if (evidence.reached < Phase::handshake) return std::nullopt;
    const bool recovered = evidence.first_attempt_recovered && !evidence.attempts.empty();
    const bool by_loss = recovered && saw_gap(evidence) && !reduced(evidence);
    const Picture picture = look_at(evidence);
    const auto lost_at_a_good_size = [&](const Attempt& attempt) {
        if (!counts_as_stall(evidence, attempt) || attempt.stall == StallShape::silent_acked)
            return false;
        if (attempt.stall == StallShape::unfinished) return unfinished_by_chance(evidence, attempt);
        return picture.largest_spoken_for && attempt.allowed <= *picture.largest_spoken_for;
    };
    const auto contradictions =
        std::count_if(evidence.attempts.begin(), evidence.attempts.end(), lost_at_a_good_size);
    if (!by_loss && contradictions == 0) return std::nullopt;
    // What was lost above every size that went through can be a black hole beside the loss.
    if (picture.lost_answers_above > 0 && !first_attempt_completed(evidence)) return std::nullopt;

    Diagnosis loss;
    loss.id = DiagnosisId::lossy_path;
    // A loss that TCP repaired while we watched delays mail, no more.
    loss.severity = first_attempt_completed(evidence) ? Severity::notice : Severity::warning;
    loss.ruled_out = {"pmtu-black-hole", "peer-stall"};
    if (contradictions > 0) {
        loss.confidence = 0.9;
        loss.summary = fmt::format(
            "Packets are lost whatever their size, or the path changed meanwhile: {} of {} "
            "connections stalled, {} of them while packets as large went through (up to {} bytes).",
            picture.stalls_above + picture.stalls_below, evidence.attempts.size(), contradictions,
            picture.largest_spoken_for->bytes);
    } else {
        loss.confidence = 0.8;
        loss.summary = fmt::format(
            "Packets were lost in the handshake and arrived when repeated, as large as before ({} "
            "bytes).",
            evidence.attempts.front().largest_received.bytes);
    }
    return loss;
}

namespace {

// The kernel asks again and again whether the window is open (RFC 9293 section 3.8.6.1), so this is
// no silence: each answer says no.
Diagnosis closed_window() {
    auto closed = stated(DiagnosisId::peer_stall, Severity::critical,
                         "The server's receive window is closed: it acknowledges and takes no "
                         "ClientHello. Something in it stopped reading. Not a matter of packet "
                         "size.",
                         {"pmtu-black-hole", "lossy-path", "unreachable"});
    closed.confidence = 0.95;
    return closed;
}

std::string what_came(const std::vector<Attempt>& attempts) {
    std::uint32_t most = 0;
    for (const auto& attempt : attempts) most = std::max(most, attempt.answer_bytes);
    if (most == 0) return "answers nothing";
    return fmt::format("stops in the middle of its answer, after {} bytes at most", most);
}

}  // namespace

Finding peer_stall(const Evidence& evidence) {
    if (evidence.reached != Phase::handshake || first_attempt_completed(evidence) ||
        evidence.attempts.empty())
        return std::nullopt;
    const auto& attempts = evidence.attempts;
    if (attempts.front().stall == StallShape::window_closed) return closed_window();
    const auto silent = static_cast<std::size_t>(
        std::count_if(attempts.begin(), attempts.end(), waited_out_silence));
    const bool all_silent = std::all_of(attempts.begin(), attempts.end(), [](const auto& attempt) {
        // One that we cut short says nothing, for or against.
        return attempt.stall == StallShape::silent_acked ||
               (attempt.outcome == Outcome::cancelled && attempt.stall == StallShape::none);
    });
    const auto small_control = [&](const Attempt& attempt) {
        return &attempt != attempts.data() && waited_out_silence(attempt) &&
               attempt.allowed.bytes > 0 && attempt.allowed <= surely_passes;
    };
    const auto control = std::find_if(attempts.begin(), attempts.end(), small_control);
    // Some other size or shape was answered.
    if (any_question_answered(evidence)) return std::nullopt;
    if (!all_silent || silent < 2 || control == attempts.end()) return std::nullopt;

    // Each silent connection stands for at least three copies of the answer (Linux repeats it at
    // 0.3, 0.7 and 1.6 s); at 30 % loss all three are lost with probability 0.027.
    double chance = 1.0;
    for (std::size_t i = 0; i < silent && chance > 1e-9; ++i) chance *= 0.027;
    Diagnosis mute;
    mute.id = DiagnosisId::peer_stall;
    mute.severity = Severity::critical;
    mute.confidence = std::min(confidence_cap, 1.0 - chance);
    mute.summary = fmt::format(
        "The server acknowledges our ClientHello and {}, on {} connections and with packets "
        "limited to {} bytes as well: the server, or a middlebox that ends TCP, hangs. Not a "
        "matter of packet size.",
        what_came(attempts), silent, control->allowed.bytes);
    mute.summary += questions_in_words(evidence);
    mute.ruled_out = {"pmtu-black-hole", "lossy-path", "unreachable"};
    if (!evidence.questions.empty()) mute.ruled_out.emplace_back("size-specific-loss");
    return mute;
}

namespace {

Diagnosis stall_without_controls(const Evidence& evidence) {
    if (evidence.attempts.front().stall == StallShape::unfinished)
        return unsettled(
            fmt::format("Packets of up to {} bytes arrived from the server, and yet the handshake "
                        "did not end: loss, or a server that stopped in the middle.",
                        evidence.attempts.front().largest_received.bytes),
            "another probe: loss shows itself elsewhere each time");
    const bool answered = answer_lost(evidence.attempts.front());
    return unsettled(answered ? "The handshake stalled: part of the server's answer was lost. One "
                                "connection cannot tell loss "
                                "from a path MTU black hole."
                              : "The handshake stalled: nothing came after our ClientHello. One "
                                "connection cannot tell a mute "
                                "server from a lost answer.",
                     "a probe with connections that allow only smaller packets, at least one of "
                     "them up to 1280 bytes");
}

Diagnosis stall_with_few(const Picture& picture) {
    return unsettled(
        fmt::format("Connections that allowed {} bytes or more stalled and {} passed up to {} "
                    "bytes, but too few "
                    "packets were lost to tell a path MTU black hole from loss (chance {:.2g}, "
                    "claimed from {:.0e}).",
                    picture.smallest_stall_above->bytes, picture.passes,
                    picture.largest_pass->bytes, chance_of_split(picture),
                    max_false_claim_probability),
        fmt::format("another probe, with more connections above and at {} bytes",
                    picture.largest_pass->bytes));
}

}  // namespace

Finding unexplained_stall(const Evidence& evidence) {
    if (first_attempt_completed(evidence)) return std::nullopt;
    if (evidence.attempts.size() < 2 || !any_stall(evidence)) {
        if (!evidence.attempts.empty() && stalled(evidence.attempts.front()))
            return stall_without_controls(evidence);
        return unsettled(
            fmt::format("The probe ended in phase {} ({}) without a cause that could be named.",
                        to_string(evidence.reached), to_string(evidence.outcome)),
            "another probe");
    }
    const Picture picture = look_at(evidence);
    if (picture.stalls_below > 0 && picture.lost_answers_above > 0)
        return unsettled(
            fmt::format(
                "Connections stalled above {} bytes, and {} below as well: loss hides whether size "
                "matters too.",
                picture.largest_spoken_for->bytes, picture.stalls_below),
            "another probe when the path loses fewer packets");
    if (picture.stalls_below > 0)
        return unsettled(
            fmt::format(
                "The server answered on {} connections and was silent on others of the same size.",
                picture.passes),
            "probes at other times of day, and the server's own log");
    if (picture.lost_answers_above > 0 && picture.passes > 0) return stall_with_few(picture);
    if (picture.passes > 0)
        return unsettled(fmt::format("Connections up to {} bytes passed and larger ones stayed "
                                     "silent, but no lost answer was "
                                     "seen: it could be the size or the server.",
                                     picture.largest_pass->bytes),
                         "another probe; a black hole shows itself again at the same sizes");
    const bool unacked = std::any_of(
        evidence.attempts.begin(), evidence.attempts.end(),
        [](const Attempt& attempt) { return attempt.stall == StallShape::hello_unacked; });
    if (unacked)
        return unsettled(
            "Our ClientHello was not acknowledged: packets of ours are lost after the connection "
            "opened.",
            "another probe, and a capture on the way to the server");
    return unsettled(
        fmt::format(
            "All {} connections stalled in the handshake, and no smaller packet was seen to pass.",
            evidence.attempts.size()),
        "a probe whose connections with small packets are waited out to the end");
}

namespace {

std::optional<PathMtu> size_of_passing(const Evidence& evidence) {
    if (const Picture picture = look_at(evidence); picture.largest_pass)
        return picture.largest_pass;
    if (!evidence.attempts.empty() && evidence.first_attempt_recovered &&
        evidence.attempts.front().largest_received.bytes > 0)
        return shown(evidence.attempts.front());
    return evidence.inbound.path_mtu;
}

std::string sizes_in_words(const Evidence& evidence, PathMtu size) {
    if (discovery_seen(evidence))
        return fmt::format(
            "the path from the server carries {} bytes, and path MTU discovery found that out",
            size.bytes);
    const auto allowed = evidence.attempts.empty() ? size : evidence.attempts.front().allowed;
    if (size >= allowed)
        return fmt::format("packets of {} bytes, the largest we allow, arrive", size.bytes);
    if (reduced(evidence))
        return fmt::format(
            "the server's packets are at most {} bytes though we allow {}: its own MTU is smaller, "
            "or a router "
            "lowers the MSS",
            size.bytes, allowed.bytes);
    return fmt::format("packets of at least {} bytes arrive; its flight had no larger one",
                       size.bytes);
}

double handshake_seconds(const Evidence& evidence) {
    for (const auto& timing : evidence.timings)
        if (timing.phase == Phase::handshake) return timing.seconds;
    return 0;
}

}  // namespace

Diagnosis healthy(const Evidence& evidence) {
    Diagnosis diagnosis =
        stated(DiagnosisId::healthy, Severity::ok, "The TLS handshake completes", {});
    if (const auto size = size_of_passing(evidence)) {
        diagnosis.path_mtu = size;
        diagnosis.path_mtu_exact = evidence.inbound.exact && evidence.inbound.path_mtu == size;
        diagnosis.summary += "; " + sizes_in_words(evidence, *size);
        diagnosis.ruled_out = {"pmtu-black-hole", "peer-stall"};
    }
    if (masked_by_cache(evidence)) {
        diagnosis.summary += fmt::format(
            "; larger ones were not asked for, because the kernel has learned a path MTU of {} "
            "bytes: "
            "a black hole above (pmtu-black-hole) would be masked until it forgets",
            evidence.vantage.route_mtu->bytes);
        diagnosis.ruled_out = {"peer-stall"};
    }
    if (const auto outbound = outbound_sizes_in_words(evidence); !outbound.empty())
        diagnosis.summary += "; " + outbound;
    constexpr double slow = 3.0;
    if (const double seconds = handshake_seconds(evidence); seconds >= slow)
        diagnosis.summary += fmt::format("; it took {:.1f} s", seconds);
    diagnosis.summary += '.';
    return diagnosis;
}

}  // namespace rules
}  // namespace postfathom
