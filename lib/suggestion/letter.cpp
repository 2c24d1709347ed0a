// SPDX-License-Identifier: Apache-2.0
// A text for the operator of the server, or of a network on the way: what was measured, what it
// means, what would mend it. Ready to be sent, with nothing in it that the reader could not check.
#include <fmt/core.h>

#include <utility>

#include "lib/base/text.hpp"
#include "lib/suggestion/families.hpp"

namespace postfathom {
namespace {

constexpr std::size_t mail_width = 72;

struct Matter {
    std::string subject;
    std::vector<std::string> paragraphs;
};

void fold(std::vector<std::string>& lines, std::string_view paragraph) {
    std::string line;
    for (const auto word : split(paragraph, ' ')) {
        if (!line.empty() && line.size() + 1 + word.size() > mail_width)
            lines.push_back(std::exchange(line, ""));
        line += (line.empty() ? "" : " ") + std::string(word);
    }
    if (!line.empty()) lines.push_back(std::move(line));
}

std::string server(const Plan& plan) {
    const auto& endpoint = plan.context.endpoint;
    return fmt::format("{}[{}]:{}", printable(endpoint.name, 100), plan.destination, endpoint.port);
}

std::string certificate_named(const Plan& plan) {
    const auto& handshake = plan.context.evidence.handshake;
    if (!handshake || !handshake->certificate || handshake->certificate->subject.empty())
        return "The certificate";
    return fmt::format("The certificate for \"{}\"",
                       printable(handshake->certificate->subject, 100));
}

std::string missing_issuer(const Plan& plan) {
    const auto& handshake = plan.context.evidence.handshake;
    if (!handshake || !handshake->certificate || handshake->certificate->missing_issuer.empty())
        return "";
    return fmt::format(" What is missing was issued by \"{}\".",
                       printable(handshake->certificate->missing_issuer, 100));
}

Matter black_hole(const Plan& plan) {
    const auto towards = plan.direction == Direction::inbound    ? "from your server to us"
                         : plan.direction == Direction::outbound ? "from us to your server"
                                                                 : "in both directions";
    Matter matter{
        "large packets are lost between our mail servers",
        {fmt::format(
            "IP packets of more than {} bytes {} vanish, and no ICMP message says that "
            "they are too big. Smaller ones arrive, at the same time and on the same path.",
            plan.mtu.bytes, towards)}};
    if (plan.proven)
        matter.paragraphs.push_back(
            fmt::format("With packets of at most {} bytes (MSS {}) everything works.",
                        plan.mtu.bytes, plan.mss.bytes));
    matter.paragraphs.emplace_back(
        "Please see whether a firewall on your side drops ICMP type 3 code 4 (\"fragmentation "
        "needed\") or ICMPv6 type 2 (\"packet too big\"), and whether a tunnel there has a larger "
        "MTU than the path under it.");
    return matter;
}

std::optional<Matter> certificate(const Plan& plan) {
    const auto named = certificate_named(plan);
    switch (plan.diagnosis.id) {
        case DiagnosisId::certificate_expired:
            return Matter{"the certificate of your mail server has expired",
                          {named + " is no longer valid. Please renew it, and let the server load "
                                   "the new one."}};
        case DiagnosisId::certificate_not_yet_valid:
            return Matter{"the certificate of your mail server is not valid yet",
                          {named + " begins in the future. Please look at the clock of the "
                                   "machine that issued it."}};
        case DiagnosisId::certificate_self_signed:
        case DiagnosisId::certificate_untrusted:
            return Matter{"the certificate of your mail server is not trusted",
                          {named + " was not issued by an authority that mail servers trust. "
                                   "Please use one that was, or publish TLSA records for it "
                                   "(RFC 7672)."}};
        case DiagnosisId::certificate_incomplete_chain:
            return Matter{
                "your mail server sends an incomplete certificate chain",
                {named + " comes without the intermediate certificate." + missing_issuer(plan) +
                 " Please put it behind the server's own in the file that the server "
                 "sends; with certbot that is fullchain.pem."}};
        case DiagnosisId::certificate_name_mismatch:
            return Matter{"the certificate of your mail server has another name",
                          {named + fmt::format(" is not valid for {}, the name by which the MX "
                                               "record or the route calls this server. Please add "
                                               "that name.",
                                               printable(plan.context.endpoint.name, 100))}};
        case DiagnosisId::certificate_weak:
            return Matter{"the certificate of your mail server is too weak",
                          {named + " has a key or a signature that is no longer accepted. Please "
                                   "use one with ECDSA P-256 or RSA of 2048 bits or more, and "
                                   "SHA-256."}};
        default:
            return std::nullopt;
    }
}

std::optional<Matter> handshake(const Plan& plan) {
    switch (plan.diagnosis.id) {
        case DiagnosisId::tls_protocol_mismatch:
            return Matter{"your mail server has no TLS 1.2 or 1.3",
                          {"The TLS handshake fails, since there is no protocol that both sides "
                           "speak. Please let the server speak TLS 1.2 and 1.3 (RFC 8996)."}};
        case DiagnosisId::tls_no_shared_cipher:
            return Matter{"no cipher in common with your mail server",
                          {"The TLS handshake fails, since there is no cipher that both sides "
                           "have. Please allow the ones of RFC 9325, and see whether the server "
                           "has a certificate for them."}};
        case DiagnosisId::tls_garbage:
            return Matter{"your mail server does not begin TLS",
                          {"After the reply to STARTTLS came bytes that are no TLS. Please look "
                           "whether a proxy or filter is in front of the server."}};
        case DiagnosisId::peer_stall:
            return Matter{"your mail server does not answer the TLS handshake",
                          {"Our packets of every size are acknowledged, and the server says "
                           "nothing more. The path between us is not the cause. Please look at "
                           "its load, its log, and at whatever ends TCP connections in front of "
                           "it."}};
        case DiagnosisId::starttls_stripped:
            return Matter{"STARTTLS of your mail server is removed on the way",
                          {"The server offers STARTTLS elsewhere or offered it before, and does "
                           "not, or not readably, on this path. Please see whether a firewall in "
                           "front of it inspects SMTP (\"fixup\", \"ESMTP inspection\")."}};
        default:
            return std::nullopt;
    }
}

std::optional<Matter> sizes(const Plan& plan) {
    const auto& id = plan.diagnosis.id;
    const bool large = id == DiagnosisId::large_hello_intolerance;
    if (!large && id != DiagnosisId::size_specific_loss) return std::nullopt;
    auto which = printable(plan.diagnosis.sizes, 64);
    if (which.empty()) which = "certain sizes";
    return Matter{large ? "large TLS ClientHellos are not answered"
                        : "packets of certain sizes are lost before your mail server",
                  {fmt::format("What fails: {}. Others pass, at the same time and on the same "
                               "path, so that neither load nor loss explains it.",
                               which),
                   large ? "A ClientHello with a post-quantum key share does not fit in one "
                           "packet. Please see whether the server, or a firewall or load balancer "
                           "in front of it, reads only the first packet of it."
                         : "Please see whether a firewall or load balancer in front of the server "
                           "inspects the contents, and update it."}};
}

std::optional<Matter> matter_of(const Plan& plan) {
    if (plan.diagnosis.id == DiagnosisId::pmtu_black_hole && plan.mtu.bytes > 0)
        return black_hole(plan);
    if (auto matter = certificate(plan)) return matter;
    if (auto matter = handshake(plan)) return matter;
    return sizes(plan);
}

std::string postmaster(const Plan& plan) {
    const auto& next_hop = plan.context.next_hop;
    const auto& name = plan.context.endpoint.name;
    if (next_hop.mx_lookup && safe_word(next_hop.host, ".-_")) return "postmaster@" + next_hop.host;
    if (safe_word(name, ".-_")) return "postmaster@" + name;
    return fmt::format("postmaster@[{}{}]", plan.v6() ? "IPv6:" : "", plan.destination);
}

}  // namespace

std::optional<Suggestion> letter(const Plan& plan) {
    if (plan.host().own || plan.host().destination.is_unspecified()) return std::nullopt;
    const auto matter = matter_of(plan);
    if (!matter) return std::nullopt;
    auto suggestion = begin(plan, SuggestionKind::letter);
    suggestion.form = SuggestionForm::letter;
    suggestion.scope = "the operator of the server";
    suggestion.why =
        "What is wrong there can only be mended there. A text to send, by way of another mail "
        "server if this one cannot reach them.";
    auto& lines = suggestion.commands;
    lines = {"To: " + postmaster(plan), "Subject: " + matter->subject, "", "Hello,", ""};
    fold(lines, fmt::format("mail from our server to {} waits.", server(plan)));
    for (const auto& paragraph : matter->paragraphs) {
        lines.emplace_back();
        fold(lines, paragraph);
    }
    if (plan.context.evidence.measured_at != WallTime{}) {
        lines.emplace_back();
        lines.push_back(
            fmt::format("Measured at {} (UTC).", to_rfc3339(plan.context.evidence.measured_at)));
    }
    suggestion.expected = "an answer, and a probe that finds nothing.";
    suggestion.verify = {probe_command(plan)};
    suggestion.undo = {"# nothing was changed"};
    suggestion.risk = "Nothing changes on this host.";
    suggestion.proof = "what the text says was measured";
    return suggestion;
}

}  // namespace postfathom
