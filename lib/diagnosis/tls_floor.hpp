// SPDX-License-Identifier: Apache-2.0
// The TLS level below which nothing we say may ever go for a next hop.
#pragma once

#include <optional>
#include <string_view>

namespace postfathom {

// Postfix's levels in its own order of strength (smtp_tls_security_level; src/tls/tls.h).
enum class TlsLevel { none, may, encrypt, fingerprint, half_dane, dane, dane_only, verify, secure };

std::string_view to_string(TlsLevel level);
std::optional<TlsLevel> parse_tls_level(std::string_view text);

// True when the level holds the certificate against the trust store, its dates and its name, so
// that such a fault stops mail. `fingerprint` and the DANE levels ask a digest or a TLSA record
// instead (RFC 7672 section 3.1.1: DANE-EE ignores dates and names).
bool checks_certificate(TlsLevel level);

// The floor of a next hop. Whoever asks for no TLS at all has no floor below which we could go, and
// `may` is the least that is ever said: `none` cannot be written down.
class TlsFloor {
  public:
    constexpr TlsFloor() = default;
    // Not explicit: a level in force is a floor.
    constexpr TlsFloor(TlsLevel level) : level_(level < TlsLevel::may ? TlsLevel::may : level) {}
    // What is in force cannot be learned, as from a table that does not answer: it may be anything,
    // so that no level can be said to be higher. `level` is what is known of.
    static constexpr TlsFloor uncertain(TlsLevel level) {
        TlsFloor floor(level);
        floor.certain_ = false;
        return floor;
    }
    constexpr TlsLevel level() const { return level_; }
    constexpr bool certain() const { return certain_; }
    constexpr operator TlsLevel() const { return level_; }

  private:
    TlsLevel level_ = TlsLevel::may;
    bool certain_ = true;
};

// The higher one of two that hold for a next hop; certain when both are.
constexpr TlsFloor highest(TlsFloor a, TlsFloor b) {
    const auto level = a.level() < b.level() ? b.level() : a.level();
    return a.certain() && b.certain() ? TlsFloor(level) : TlsFloor::uncertain(level);
}

// A level that may be suggested: never below the floor it was raised from. There is no other way to
// make one, so a weaker suggestion cannot be written down.
class SuggestedLevel {
  public:
    // `wanted` if that is stronger than `floor` in Postfix's order and drops no check; nothing to
    // suggest (nullopt) otherwise, and where the floor is uncertain. `none` and `may` are never
    // suggested.
    static std::optional<SuggestedLevel> raise(TlsFloor floor, TlsLevel wanted);
    TlsLevel level() const { return level_; }

  private:
    explicit SuggestedLevel(TlsLevel level) : level_(level) {}
    TlsLevel level_;
};

}  // namespace postfathom
