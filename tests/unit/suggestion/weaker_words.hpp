// SPDX-License-Identifier: Apache-2.0
// What no text of ours may say, whoever it is for.
#pragma once

#include <array>
#include <string>
#include <string_view>

#include "lib/diagnosis/tls_floor.hpp"

namespace postfathom::test {

inline constexpr std::array levels{TlsLevel::none,        TlsLevel::may,       TlsLevel::encrypt,
                                   TlsLevel::fingerprint, TlsLevel::half_dane, TlsLevel::dane,
                                   TlsLevel::dane_only,   TlsLevel::verify,    TlsLevel::secure};

inline bool word_character(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
}

inline bool has_word(const std::string& text, std::string_view word) {
    for (auto at = text.find(word); at != std::string::npos; at = text.find(word, at + 1)) {
        const bool begins = at == 0 || !word_character(text[at - 1]);
        const auto end = at + word.size();
        if (begins && (end == text.size() || !word_character(text[end]))) return true;
    }
    return false;
}

// Settings that would lower protocols or ciphers, discard STARTTLS, forbid ESMTP, or let packets be
// fragmented. smtpd_tls_protocols, of our own server, is judged by its value below.
inline constexpr std::array forbidden_texts{
    " none",                  // bad
    "mtu lock",               // bad
    "disable_esmtp",          // bad
    "discard_ehlo_keywords",  // bad
    "ip_no_pmtu_disc=1",      // bad
    "=none",                  // bad
    "smtp_tls_protocols",     // bad
    "smtp_tls_mandatory",     // bad
    "tls_ciphers",            // bad
    "tls_security_level",     // bad
    "SSLv3",                  // bad
    "TLSv1 ",                 // bad
    "TLSv1.1",                // bad
    "TLSv1.0",                // bad
    "protocols=",             // bad
    "ciphers=",               // bad
    "starttls,",              // bad
    ", starttls",             // bad
    "tcp_mtu_probing=2",      // bad
    "exclude_ciphers",        // bad
};

// What of it would make TLS weaker than `floor`; empty when nothing would.
inline std::string weaker_in(const std::string& text, TlsFloor floor) {
    for (const auto level : levels) {
        // "verify" is also the heading over the commands that verify a change, and `none` is no
        // floor of anything.
        if (level >= floor || level == TlsLevel::verify) continue;
        if (has_word(text, to_string(level))) return std::string(to_string(level));
    }
    for (const std::string_view words : forbidden_texts)
        if (text.find(words) != std::string::npos) return std::string(words);
    const std::string bound = "tls_protocols = ";  // bad
    for (auto at = text.find(bound); at != std::string::npos; at = text.find(bound, at + 1))
        if (text.compare(at + bound.size(), 9, ">=TLSv1.2") != 0) return "protocols below TLS 1.2";
    return "";
}

}  // namespace postfathom::test
