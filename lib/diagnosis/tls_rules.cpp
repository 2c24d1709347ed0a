// SPDX-License-Identifier: Apache-2.0
// The TLS layer spoke, or the connection ended in the handshake: told apart by OpenSSL's words
// (openssl/crypto/err/openssl.txt), which name alerts of the peer and complaints of our own side.
#include <fmt/core.h>

#include <algorithm>
#include <array>

#include "lib/base/text.hpp"
#include "lib/diagnosis/rules.hpp"

namespace postfathom::rules {
namespace {

struct Words {
    std::string_view text;  // lower case
    DiagnosisId id;
};

// The first that is contained decides.
constexpr std::array openssl_words{
    Words{"alert protocol version", DiagnosisId::tls_protocol_mismatch},
    Words{"inappropriate fallback", DiagnosisId::tls_protocol_mismatch},
    Words{"unsupported protocol", DiagnosisId::tls_protocol_mismatch},
    Words{"no protocols available", DiagnosisId::tls_protocol_mismatch},
    Words{"version too low", DiagnosisId::tls_protocol_mismatch},
    Words{"insufficient security", DiagnosisId::tls_no_shared_cipher},
    Words{"no shared cipher", DiagnosisId::tls_no_shared_cipher},
    Words{"no ciphers available", DiagnosisId::tls_no_shared_cipher},
    Words{"no suitable key share", DiagnosisId::tls_no_shared_cipher},
    Words{"no suitable groups", DiagnosisId::tls_no_shared_cipher},
    Words{"no suitable signature algorithm", DiagnosisId::tls_no_shared_cipher},
    Words{"wrong signature type", DiagnosisId::tls_no_shared_cipher},
    Words{"dh key too small", DiagnosisId::tls_no_shared_cipher},
    Words{"ee key too small", DiagnosisId::certificate_weak},
    Words{"ca key too small", DiagnosisId::certificate_weak},
    Words{"md too weak", DiagnosisId::certificate_weak},
    Words{"certificate verify failed", DiagnosisId::certificate_untrusted},
    Words{"unexpected eof", DiagnosisId::reset_in_handshake},
    Words{"alert", DiagnosisId::tls_alert},
};

std::string words_of(const Evidence& evidence) {
    if (!evidence.handshake || evidence.handshake->tls_error.empty()) return "no further words";
    return printable(evidence.handshake->tls_error, 160);
}

// handshake_failure(40) says that some parameter did not suit (RFC 8446 section 6.2). In place of a
// ServerHello it says that there is no overlap between what both offer (section 4.1.1); later it
// may be about anything, such as a certificate of ours.
bool nothing_in_common(const Evidence& evidence, const std::string& words) {
    return evidence.outcome == Outcome::tls_alert && evidence.handshake &&
           evidence.handshake->cipher.empty() &&
           words.find("alert handshake failure") != std::string::npos;
}

DiagnosisId classify(const Evidence& evidence) {
    if (evidence.outcome == Outcome::garbled) return DiagnosisId::tls_garbage;
    const auto words = to_lower(words_of(evidence));
    if (nothing_in_common(evidence, words)) return DiagnosisId::tls_no_shared_cipher;
    const auto known = std::find_if(
        openssl_words.begin(), openssl_words.end(),
        [&](const Words& candidate) { return words.find(candidate.text) != std::string::npos; });
    if (known != openssl_words.end()) return known->id;
    return evidence.outcome == Outcome::tls_alert ? DiagnosisId::tls_alert
                                                  : DiagnosisId::tls_garbage;
}

std::string_view in_words(DiagnosisId id) {
    switch (id) {
        case DiagnosisId::tls_protocol_mismatch:
            return "Server and this host have no TLS version in common";
        case DiagnosisId::tls_no_shared_cipher:
            return "Server and this host have no cipher, group or signature in common";
        case DiagnosisId::certificate_weak:
            return "The server's certificate is too weak for this host's TLS library";
        case DiagnosisId::certificate_untrusted:
            return "The server's certificate was not accepted";
        case DiagnosisId::reset_in_handshake:
            return "The server closed the connection in the TLS handshake";
        case DiagnosisId::tls_alert:
            return "The server ended the TLS handshake with an alert";
        default:
            return "What the server sent in the TLS handshake is not TLS, or broken";
    }
}

std::string how_it_went(const ProtocolTrial& trial) {
    if (trial.outcome == Outcome::ok) return "completes";
    if (trial.tls_error.empty()) return fmt::format("fails ({})", to_string(trial.outcome));
    return fmt::format("fails ({})", printable(trial.tls_error, 80));
}

// What offering one version alone showed, as a fact: what to offer is not decided by it.
std::string trials_in_words(const Evidence& evidence) {
    std::string text;
    for (const auto& trial : evidence.protocol_trials)
        text += fmt::format("{}{} {}", text.empty() ? " Offered alone, " : ", ",
                            printable(trial.protocol, 16), how_it_went(trial));
    if (text.empty()) return text;
    const auto completes =
        std::count_if(evidence.protocol_trials.begin(), evidence.protocol_trials.end(),
                      [](const ProtocolTrial& trial) { return trial.outcome == Outcome::ok; });
    if (completes == 0) return text + ".";
    return text + ": the offer of both may be what fails, in the server or in a middlebox.";
}

Diagnosis tls_fault(const Evidence& evidence) {
    const auto id = classify(evidence);
    return stated(
        id, Severity::critical,
        fmt::format("{}: {}.{}", in_words(id), words_of(evidence), trials_in_words(evidence)),
        {"pmtu-black-hole", "peer-stall"});
}

Diagnosis reset_in_handshake(const Evidence& evidence) {
    const bool after = evidence.reached > Phase::handshake;
    auto ended =
        stated(DiagnosisId::reset_in_handshake, Severity::critical,
               fmt::format("The server {} the connection {}.{}",
                           evidence.outcome == Outcome::reset ? "reset" : "closed",
                           after ? "right after the TLS handshake" : "in answer to our ClientHello",
                           trials_in_words(evidence)),
               {"peer-stall", "pmtu-black-hole"});
    if (evidence.questions.empty() || any_question_answered(evidence)) return ended;
    ended.summary += questions_in_words(evidence);
    ended.ruled_out.insert(ended.ruled_out.end(),
                           {"size-specific-loss", "large-hello-intolerance"});
    return ended;
}

}  // namespace

Finding tls_trouble(const Evidence& evidence) {
    // What happens at QUIT does no harm.
    if (evidence.reached < Phase::handshake || evidence.reached == Phase::quit) return std::nullopt;
    switch (evidence.outcome) {
        case Outcome::tls_alert:
        case Outcome::tls_error:
        case Outcome::garbled:
            return tls_fault(evidence);
        case Outcome::reset:
        case Outcome::closed:
            return reset_in_handshake(evidence);
        default:
            return std::nullopt;
    }
}

std::vector<Note> tls_notes(const Evidence& evidence) {
    if (!evidence.handshake || evidence.handshake->resumes != true) return {};
    const bool stalls = evidence.outcome == Outcome::timed_out &&
                        evidence.reached == Phase::handshake && !evidence.first_attempt_recovered;
    if (!stalls) return {};
    return {{"resumption-passes",
             "A handshake that resumes a session goes through on the same path at full size: it "
             "has no certificates to send. Deliveries with a cached session succeed while others "
             "stall, so the fault seems to come and go"}};
}

}  // namespace postfathom::rules
