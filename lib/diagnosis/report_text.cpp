// SPDX-License-Identifier: Apache-2.0
// The report for a person: the verdict first, then what was seen, then what to do, in lines of at
// most 100 columns.
#include <fmt/core.h>

#include <algorithm>
#include <map>

#include "lib/base/text.hpp"
#include "lib/diagnosis/certificate_time.hpp"
#include "lib/diagnosis/layout.hpp"
#include "lib/diagnosis/report.hpp"

namespace postfathom {
namespace {

constexpr std::size_t label_width = 14;

std::string paragraph(std::string_view text, std::size_t indent) {
    return std::string(indent, ' ') + wrapped(text, indent, indent) + '\n';
}

// "  TLS           TLSv1.3, ..."
std::string labelled_line(std::string_view label, std::string_view text) {
    constexpr std::size_t indent = 2 + label_width;
    return fmt::format("  {:<{}}{}\n", label, label_width, wrapped(text, indent, indent));
}

std::string joined(const std::vector<std::string>& parts, std::string_view separator) {
    std::string text;
    for (const auto& part : parts) text += (text.empty() ? "" : std::string{separator}) + part;
    return text;
}

std::string place(const Endpoint& endpoint) { return printable(to_string(endpoint)); }

std::string vantage_in_words(const Evidence& evidence) {
    const auto& vantage = evidence.vantage;
    std::string text =
        fmt::format("{} ({})", place(evidence.endpoint), to_string(evidence.endpoint.service));
    if (!vantage.source.is_unspecified()) text += ", from " + vantage.source.to_string();
    if (!vantage.interface.empty()) text += " on " + printable(vantage.interface, 32);
    if (vantage.interface_mtu) text += fmt::format(", MTU {}", vantage.interface_mtu->bytes);
    if (vantage.route_mtu && vantage.route_mtu != vantage.interface_mtu)
        text += fmt::format(", route MTU {}", vantage.route_mtu->bytes);
    return text;
}

std::string ending_in_words(const Evidence& evidence) {
    if (evidence.outcome == Outcome::ok) return "";
    if (evidence.first_attempt_recovered) return "handshake stalled, then went on";
    if (evidence.reached == Phase::handshake && evidence.outcome == Outcome::timed_out)
        return "stalled in the handshake";
    return fmt::format("{} in phase {}", to_string(evidence.outcome),
                       in_words(evidence.reached, evidence.endpoint.service));
}

std::string conversation(const Evidence& evidence) {
    std::vector<std::string> parts;
    for (const auto& timing : evidence.timings)
        parts.push_back(fmt::format(
            "{} {:.2f} s", in_words(timing.phase, evidence.endpoint.service), timing.seconds));
    if (const auto ending = ending_in_words(evidence); !ending.empty()) parts.push_back(ending);
    return joined(parts, ", ");
}

std::string path_in_words(const Evidence& evidence) {
    const auto path = inbound_path(evidence);
    if (!path.path_mtu) return "";
    const bool all_we_allow =
        !evidence.attempts.empty() && *path.path_mtu >= evidence.attempts.front().allowed;
    std::string text = fmt::format(
        "{}{} bytes from the server to us{}", path.exact || all_we_allow ? "" : "at least ",
        path.path_mtu->bytes, all_we_allow ? ", as much as we allow" : "");
    if (const auto works = inbound_discovery_works(evidence))
        text += *works ? "; path MTU discovery works"
                       : "; larger packets vanish, path MTU discovery fails";
    return text;
}

std::string outbound_in_words(const Evidence& evidence) {
    const auto& path = evidence.outbound;
    if (!path.path_mtu) return "";
    const auto works = outbound_discovery_works(evidence);
    return fmt::format("{}{} bytes from us to the server{}", path.exact ? "" : "at least ",
                       path.path_mtu->bytes,
                       !works   ? (path.exact ? ", as much as we can send" : "")
                       : *works ? "; path MTU discovery works"
                                : "; larger packets vanish, path MTU discovery fails");
}

// "1280-1500: all arrived", by flight.
std::string flights_in_words(const Evidence& evidence) {
    std::vector<std::string> parts;
    for (const auto& flight : evidence.flights) {
        if (flight.sent.empty()) continue;
        auto text = fmt::format("up to {}: ",
                                std::max_element(flight.sent.begin(), flight.sent.end())->bytes);
        if (flight.shape == FlightShape::complete)
            text += "all arrived";
        else if (flight.fails)
            text += fmt::format("nothing from {} on arrived", flight.fails->bytes);
        else if (flight.shape == FlightShape::shrunk)
            text += fmt::format("\"too big\", {}", flight.path_mtu_after.bytes);
        else
            text += to_string(flight.shape);
        parts.push_back(std::move(text));
    }
    return joined(parts, "; ");
}

bool went_through(const Attempt& attempt) {
    return (attempt.outcome == Outcome::ok && attempt.reached >= Phase::handshake) ||
           (attempt.stall == StallShape::none && attempt.allowed.bytes > 0 &&
            attempt.largest_received >= attempt.allowed);
}

// "1400 passed, 1401 stalled (gap), 1500 stalled (gap) twice", by size.
std::string sizes_tried(const Evidence& evidence) {
    std::map<std::pair<std::uint32_t, std::string>, std::size_t> tried;
    for (const auto& attempt : evidence.attempts) {
        if (attempt.reached < Phase::handshake || attempt.allowed.bytes == 0) continue;
        const auto& arrived = attempt.largest_received;
        const bool smaller = arrived.bytes > 0 && arrived < attempt.allowed;
        auto how = went_through(attempt)
                       ? smaller ? fmt::format("allowed and {} passed", arrived.bytes) : "passed"
                   : attempt.stall == StallShape::none
                       ? std::string{to_string(attempt.outcome)}
                       : fmt::format("stalled ({})", to_string(attempt.stall));
        ++tried[{attempt.allowed.bytes, std::move(how)}];
    }
    std::vector<std::string> parts;
    for (const auto& [what, times] : tried)
        parts.push_back(fmt::format("{} {}{}", what.first, what.second,
                                    times == 1 ? "" : fmt::format(" {} times", times)));
    return joined(parts, ", ");
}

std::string tls_in_words(const HandshakeFacts& facts) {
    std::vector<std::string> parts;
    for (const auto* text : {&facts.protocol, &facts.cipher, &facts.key_exchange})
        if (!text->empty()) parts.push_back(printable(*text, 80));
    if (facts.resumes)
        parts.push_back(*facts.resumes ? "sessions resume" : "sessions do not resume");
    if (!facts.tls_error.empty()) parts.push_back(printable(facts.tls_error, 160));
    return joined(parts, ", ");
}

std::string certificate_in_words(const CertificateFacts& facts) {
    std::string text = printable(facts.subject, 120);
    if (!facts.issuer.empty()) text += ", issued by " + printable(facts.issuer, 120);
    if (facts.not_after != WallTime{}) text += ", valid until " + certificate_time(facts.not_after);
    if (!facts.key.empty()) text += ", " + printable(facts.key, 40);
    if (facts.chain_length > 0)
        text += fmt::format(", {} certificate{} of {} bytes sent", facts.chain_length,
                            facts.chain_length == 1 ? "" : "s", facts.chain_bytes);
    return text;
}

std::string verdict_lines(const Diagnosis& diagnosis, std::size_t indent) {
    std::string text = paragraph(printable(diagnosis.summary, 1000), indent);
    if (!diagnosis.settles.empty())
        text +=
            paragraph("What would settle it: " + printable(diagnosis.settles, 400) + '.', indent);
    std::string sure;
    if (diagnosis.confidence > 0)
        sure = fmt::format("Confidence {:.0f} %.", diagnosis.confidence * 100);
    if (!diagnosis.ruled_out.empty())
        sure += fmt::format("{}Ruled out: {}.", sure.empty() ? "" : " ",
                            joined(diagnosis.ruled_out, ", "));
    if (!sure.empty()) text += paragraph(sure, indent);
    return text;
}

// What the server had to bear. It may count handshakes left unfinished, as fail2ban does.
std::string cost_in_words(const Evidence& evidence) {
    auto text =
        fmt::format("{} connection{}", evidence.connections, evidence.connections == 1 ? "" : "s");
    if (evidence.aborted > 0)
        text += fmt::format(", {} of them left in the middle of the handshake", evidence.aborted);
    text += fmt::format(", {:.1f} s", evidence.seconds);
    if (evidence.budget_ended) text += "; more would have told more";
    return text;
}

std::string endpoint_section(const EndpointReport& report, bool said_above, bool colour) {
    const auto& evidence = report.evidence;
    const auto& found = report.verdict.diagnosis;
    std::string text =
        painted(wrapped(vantage_in_words(evidence), 0, 4), Paint::bold, colour) + '\n';
    if (!said_above) {
        text +=
            "  " + painted(wrapped(brief(found), 2, 4), paint_of(found.severity), colour) + '\n';
        text += verdict_lines(found, 4);
    }
    const auto line = [&](std::string_view label, const std::string& what) {
        if (!what.empty()) text += labelled_line(label, what);
    };
    line("Conversation", conversation(evidence));
    line("Reply", printable(evidence.reply, 256));
    const auto inbound = path_in_words(evidence);
    line("Path MTU", inbound);
    line(inbound.empty() ? "Path MTU" : "", outbound_in_words(evidence));
    line("Sizes tried", sizes_tried(evidence));
    line("Sizes sent", flights_in_words(evidence));
    if (evidence.handshake) {
        line("TLS", tls_in_words(*evidence.handshake));
        if (evidence.handshake->certificate)
            line("Certificate", certificate_in_words(*evidence.handshake->certificate));
    }
    for (const auto& finding : report.verdict.findings)
        if (finding != found)
            line(severity_in_words(finding.severity),
                 fmt::format("{}: {}", to_string(finding.id), printable(finding.summary, 400)));
    for (const auto& note : report.verdict.notes) line("Note", printable(note.text, 400));
    if (evidence.connections > 0) line("Cost", cost_in_words(evidence));
    return text;
}

}  // namespace

std::string to_text(const Report& report, bool colour) {
    const auto& found = report.diagnosis;
    const auto verdict = severity_in_words(found.severity);
    std::string text = painted(
        wrapped(fmt::format("{}: {}: {}", printable(report.destination), verdict, brief(found)), 0,
                2),
        paint_of(found.severity), colour);
    text += '\n' + verdict_lines(found, 2);
    for (const auto& endpoint : report.endpoints)
        text += '\n' + endpoint_section(endpoint, endpoint.verdict.diagnosis == found, colour);
    if (!report.floor.certain())
        text += '\n' + paragraph(
                           "Which TLS level Postfix has for it could not be learned, as the "
                           "tables of smtp_tls_policy_maps cannot be asked: no level is "
                           "suggested.",
                           2);
    if (report.suggestions.empty()) return text;

    text += '\n' + painted("What to do, best first", Paint::bold, colour) + '\n';
    std::size_t number = 0;
    for (const auto& suggestion : report.suggestions)
        text += '\n' + to_text(suggestion, ++number, colour);
    return text;
}

}  // namespace postfathom
