// SPDX-License-Identifier: Apache-2.0
// What a probe saw, as numbers and outcomes without opinion. diagnose() turns it into a verdict.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "lib/base/units.hpp"
#include "lib/destination/endpoint.hpp"

namespace postfathom {

// How far a conversation got. The order is the order in time.
enum class Phase {
    resolve,
    connect,
    greeting,
    ehlo,
    starttls,
    handshake,
    ehlo_after_tls,
    quit,
};

// How a phase, or a whole attempt, ended.
enum class Outcome {
    ok,
    timed_out,             // nothing more came before the deadline
    refused,               // TCP: connection refused
    unreachable,           // ICMP or local: host or network unreachable
    no_route,              // local: no route, no address of that family
    reset,                 // TCP RST
    closed,                // orderly end of the connection where more was due
    rejected,              // the server said no, 4xx or 5xx (reply kept)
    not_offered,           // STARTTLS missing from EHLO
    garbled,               // not the protocol spoken here (reply kept, printable)
    tls_alert,             // the peer sent a TLS alert (tls_error)
    tls_error,             // our TLS library gave up (tls_error)
    name_error,            // the name does not exist
    temporary_name_error,  // the name could not be looked up
    cancelled,  // we stopped it, e.g. because the answer was found elsewhere or the budget ended
};

// As in the JSON schema: "ehlo-after-tls".
std::string_view to_string(Phase phase);
// For a person: "capability" where IMAP is spoken and the schema says "ehlo".
std::string_view in_words(Phase phase, Service service);
std::string_view to_string(Outcome outcome);  // "timed-out", ...
std::optional<Phase> parse_phase(std::string_view text);
std::optional<Outcome> parse_outcome(std::string_view text);

struct PhaseTiming {
    Phase phase = Phase::connect;
    double seconds = 0;
    bool operator==(const PhaseTiming&) const = default;
};

// What ended a conversation as garbled.
enum class ProtocolFault {
    none,
    other_protocol,         // what answers speaks something else
    endless_reply,          // more than any reply may have
    clear_text_before_tls,  // bytes behind the reply to STARTTLS, before our ClientHello
};
std::string_view to_string(ProtocolFault fault);

// What the first attempt's conversation showed beside its outcome.
struct DialogFacts {
    ProtocolFault fault = ProtocolFault::none;
    std::uint32_t unfinished_bytes = 0;    // of a reply that had begun when the conversation ended
    std::uint32_t control_characters = 0;  // in what the server said
    // An EHLO keyword that a middlebox crossed out: "XXXXXXXA". Printable.
    std::string crossed_out;
    bool starttls_in_greeting = false;   // IMAP: the greeting's own list of capabilities has it
    bool logged_in_by_greeting = false;  // IMAP: PREAUTH where TLS was still to come
    bool told_to_go = false;             // 421, BYE: come again later
    bool operator==(const DialogFacts&) const = default;
};

// The kernel's counters of our own socket when an attempt was judged (tcp(7), TCP_INFO; Linux 5.4
// or later for out_of_order_segments). Zero where the kernel does not know.
struct TcpCounters {
    std::uint32_t advertised_mss =
        0;                           // tcpi_advmss: what we told the peer, less 12 with timestamps
    std::uint32_t received_mss = 0;  // tcpi_rcv_mss: largest payload that arrived, in order or not
    std::uint32_t send_mss = 0;      // tcpi_snd_mss
    std::uint32_t peer_mss =
        0;  // from the SYN-ACK: send_mss plus options, before any clamp of ours
    std::uint32_t path_mtu = 0;        // tcpi_pmtu: outbound, as the kernel believes
    std::uint64_t bytes_received = 0;  // in order
    std::uint64_t bytes_acked = 0;
    std::uint32_t unacked_segments = 0;   // on the way or lost, selectively acknowledged ones too
    std::uint32_t sacked_segments = 0;    // of them, selectively acknowledged
    std::uint32_t data_segments_out = 0;  // repeats included
    std::uint32_t congestion_window = 0;  // tcpi_snd_cwnd, segments
    std::uint32_t data_segments_in = 0;
    std::uint32_t out_of_order_segments = 0;  // tcpi_rcv_ooopack
    std::uint32_t retransmits_total = 0;
    std::uint32_t retransmits_outstanding = 0;  // tcpi_retrans: repeats not acknowledged yet
    std::uint32_t timeouts = 0;  // tcpi_retransmits: of the timer, since the last progress
    std::uint32_t dsack_duplicates = 0;
    std::uint32_t rtt_microseconds = 0;
    std::uint32_t retransmission_timeout_microseconds = 0;  // tcpi_rto; doubled while it runs
    bool timestamps = false;                                // 12 bytes of every segment are options
    // The peer's last word on its receive window was 0 (tcpi_snd_wnd, Linux 5.4).
    bool window_closed = false;
    bool operator==(const TcpCounters&) const = default;
};

// How the server's flight looked when the handshake did not finish.
enum class StallShape {
    none,           // it did not stall
    gap,            // a later, smaller segment arrived, the head is missing: something was lost
    lost_reply,     // our data was acknowledged only after we repeated it (DSACK): the first answer
                    // was lost
    silent_acked,   // our ClientHello is acknowledged, and nothing came, or nothing more
    hello_unacked,  // our ClientHello itself is not acknowledged
    window_closed,  // the server's receive window is closed: it takes no ClientHello
    unfinished,     // packets of full size arrived, and yet the handshake did not end
};
std::string_view to_string(StallShape shape);

// One connection up to the end of the handshake, with the segment size we allowed the server.
struct Attempt {
    // Largest IP packet the server could send us: what we advertised, or what the server's own MSS
    // says if that is smaller. Bytes.
    PathMtu allowed;
    bool clamped = false;            // true: TCP_MAXSEG was set before connect
    Phase reached = Phase::connect;  // the last phase that was entered
    Outcome outcome = Outcome::ok;
    StallShape stall = StallShape::none;
    // Largest IP packet that arrived (received payload + options + headers); 0 when no data came.
    PathMtu largest_received;
    // Full-size segments (of `allowed` bytes) that the server must have sent and that did not
    // arrive: what its flight needs, times the repeats its retransmission clock guarantees by the
    // time of the verdict.
    std::uint32_t large_lost = 0;
    // Data segments below the stalled size that arrived on this connection (greeting, EHLO,
    // STARTTLS, tail).
    std::uint32_t small_received = 0;
    double seconds = 0;
    std::uint32_t hello_bytes = 0;   // our ClientHello, with record header
    std::uint32_t answer_bytes = 0;  // of what came in order after it
    TcpCounters counters;
    bool operator==(const Attempt&) const = default;
};

// Facts of the certificate chain, from the handshake that completed. Texts are printable().
struct CertificateFacts {
    std::string subject;
    std::string issuer;
    std::vector<std::string> names;  // DNS names of the leaf, at most 32
    WallTime not_before{};
    WallTime not_after{};
    std::uint32_t chain_length = 0;
    std::uint32_t chain_bytes = 0;  // DER bytes of all certificates sent
    std::string key;                // "RSA 2048", "EC prime256v1"
    std::uint32_t key_bits = 0;
    std::string signature;  // "sha256WithRSAEncryption"
    // X509_V_* of OpenSSL's verification against the trust store, 0 = X509_V_OK, with its words.
    int verify_code = 0;
    std::string verify_text;
    bool self_signed = false;
    bool name_matches = true;  // against Endpoint::name; true when there is no name to match
    // Verification failed only because an intermediate was not sent: issuer of the last certificate
    // sent.
    std::string missing_issuer;
    bool operator==(const CertificateFacts&) const = default;
};

struct HandshakeFacts {
    std::string protocol;      // "TLSv1.3"
    std::string cipher;        // as soon as the server chose it, whatever came of the handshake
    std::string key_exchange;  // group name, "X25519"
    // A second handshake with the session of the first: true when it went without certificates.
    // Unknown when it was not tried.
    std::optional<bool> resumes;
    std::optional<CertificateFacts> certificate;
    std::string tls_error;  // OpenSSL's words for tls_alert and tls_error
    bool operator==(const HandshakeFacts&) const = default;
};

struct InboundPath {
    std::optional<PathMtu> path_mtu;  // largest size shown to pass
    bool exact = false;               // path_mtu passes and path_mtu + 1 was shown to fail
    std::optional<PathMtu> fails{};   // smallest size above path_mtu that was shown to fail
    bool operator==(const InboundPath&) const = default;
};

// How an outbound flight fared: one long ClientHello, cut into segments of rising size with small
// control segments behind the large ones.
enum class FlightShape {
    complete,   // every segment was acknowledged
    hole,       // up to a size acknowledged, nothing larger, and the controls selectively
    scattered,  // larger segments were acknowledged while smaller ones were missing: loss
    shrunk,     // the kernel's path MTU fell: a "too big" message arrived and was believed
    unjudged,   // ended before it could be told, or could not be cut as wanted
};
std::string_view to_string(FlightShape shape);

struct OutboundFlight {
    FlightShape shape = FlightShape::unjudged;
    Phase reached = Phase::connect;
    Outcome outcome = Outcome::ok;
    std::vector<PathMtu> sent;      // the sizes of its packets, in order, controls included
    std::optional<PathMtu> passes;  // largest size that was acknowledged
    std::optional<PathMtu> fails;   // smallest size above it that was not
    // Transmissions, repeats included, that count for the bound (see max_false_claim_probability).
    // What is small is small for all of the connection: its dialogue counts, and for the first
    // flight the segments of the ordinary attempt before it.
    std::uint32_t small_acked = 0;  // up to `passes`
    std::uint32_t small_lost = 0;
    std::uint32_t large_lost = 0;  // of `fails` and more
    std::uint32_t fails_lost = 0;  // of them, of exactly `fails` bytes
    // The kernel tells how many segments were selectively acknowledged, not which: the number of
    // choices among those that are missing.
    std::uint32_t readings = 1;
    PathMtu path_mtu_before;  // tcpi_pmtu, what the kernel believed
    PathMtu path_mtu_after;
    bool answered = false;  // the server answered this ClientHello
    std::uint32_t hello_bytes = 0;
    double seconds = 0;
    TcpCounters counters;
    bool operator==(const OutboundFlight&) const = default;
};

struct OutboundPath {
    std::optional<PathMtu> path_mtu;  // largest size shown to pass
    bool exact = false;               // path_mtu + 1 was shown to fail, or is more than we can send
    std::optional<PathMtu> fails{};   // smallest size above path_mtu that was shown to fail
    bool operator==(const OutboundPath&) const = default;
};

// A request of a chosen size and shape, to learn whether those decide about the answer.
enum class QuestionKind {
    client_hello,
    noop,  // NOOP with an argument, before TLS
    rset,  // a group of RSET in one segment, before TLS (RFC 2920)
};
std::string_view to_string(QuestionKind kind);

struct Question {
    QuestionKind kind = QuestionKind::client_hello;
    std::uint32_t bytes = 0;     // of the request: TCP payload
    std::uint32_t segments = 1;  // it was cut into so many of about equal size
    bool acknowledged = false;   // all of it, by TCP
    bool answered = false;       // by the server, whatever it said
    Outcome outcome = Outcome::ok;
    std::uint32_t retransmits = 0;
    double seconds = 0;
    bool operator==(const Question&) const = default;
};

// A handshake with only one protocol version allowed, after the default one failed.
struct ProtocolTrial {
    std::string protocol;  // "TLSv1.2"
    Outcome outcome = Outcome::ok;
    std::string tls_error;  // printable
    bool operator==(const ProtocolTrial&) const = default;
};

// A datagram that may not be fragmented, as tracepath(8) sends it.
enum class DatagramOutcome {
    passed,   // the destination answered: port unreachable, or echo reply
    too_big,  // a router or our own kernel says what fits (claims of others: bounded, never proof)
    silent,
    unusable,  // could not be sent
};
std::string_view to_string(DatagramOutcome outcome);

struct DatagramProbe {
    bool echo = false;  // ICMP echo; else UDP to a closed port
    PathMtu size;
    DatagramOutcome outcome = DatagramOutcome::silent;
    std::optional<PathMtu> reported;  // with too_big
    std::optional<IpAddress> router;  // who said so; nothing: our own kernel
    bool operator==(const DatagramProbe&) const = default;
};

// Everything known about one endpoint from one vantage after one probe.
struct Evidence {
    Endpoint endpoint;
    Vantage vantage;
    WallTime measured_at{};
    // The first, ordinary attempt: as Postfix does it, nothing clamped. attempts[0] is the same.
    Phase reached = Phase::resolve;
    Outcome outcome = Outcome::ok;
    std::string reply;                 // last reply of the server where it matters; printable
    std::vector<PhaseTiming> timings;  // of the first attempt
    bool starttls_offered = false;
    DialogFacts dialog;
    // Where STARTTLS was offered though not here and now: by this endpoint in an earlier probe, or
    // at another address of the same server.
    // Connections on which the server did not say a word for as long as we waited; with one,
    // another was made, and what is told here is of the one that heard more.
    std::uint32_t silent_attempts = 0;
    bool starttls_offered_before = false;
    std::optional<IpAddress> starttls_offered_at;
    // The first attempt that stalled completed later, while we went on measuring.
    bool first_attempt_recovered = false;
    std::vector<Attempt> attempts;
    InboundPath inbound;  // what the search concluded
    std::vector<OutboundFlight> flights;
    OutboundPath outbound;  // what the flights and the datagrams show
    std::vector<DatagramProbe> datagrams;
    std::vector<Question> questions;
    std::vector<ProtocolTrial> protocol_trials;
    std::optional<HandshakeFacts> handshake;  // of the first attempt that completed
    std::uint32_t connections = 0;
    std::uint32_t aborted = 0;  // of them, left in the middle of a handshake
    // The search ended for want of connections, not for want of questions.
    bool budget_ended = false;
    // What the server said when it asked us to come again later (421, a rate limit); printable.
    std::string asked_to_wait;
    double seconds = 0;
    bool operator==(const Evidence&) const = default;
};

}  // namespace postfathom
