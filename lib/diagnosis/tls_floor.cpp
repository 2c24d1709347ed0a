// SPDX-License-Identifier: Apache-2.0
#include "lib/diagnosis/tls_floor.hpp"

#include "lib/diagnosis/names.hpp"

namespace postfathom {
namespace {

constexpr NameTable<TlsLevel, 9> level_names{{
    {TlsLevel::none, "none"},
    {TlsLevel::may, "may"},
    {TlsLevel::encrypt, "encrypt"},
    {TlsLevel::fingerprint, "fingerprint"},
    {TlsLevel::half_dane, "half-dane"},
    {TlsLevel::dane, "dane"},
    {TlsLevel::dane_only, "dane-only"},
    {TlsLevel::verify, "verify"},
    {TlsLevel::secure, "secure"},
}};

// What a level makes Postfix check of the peer's identity. A raise must keep the checks of the
// floor, and these four families check different things: a fingerprint is not a TLSA record, a TLSA
// record is not the trust store.
enum class Check { nothing, fingerprint, tlsa, trust_store };

Check check_of(TlsLevel level) {
    switch (level) {
        case TlsLevel::none:
        case TlsLevel::may:
        case TlsLevel::encrypt:
            return Check::nothing;
        case TlsLevel::fingerprint:
            return Check::fingerprint;
        case TlsLevel::half_dane:
        case TlsLevel::dane:
        case TlsLevel::dane_only:
            return Check::tlsa;
        case TlsLevel::verify:
        case TlsLevel::secure:
            return Check::trust_store;
    }
    return Check::nothing;
}

}  // namespace

std::string_view to_string(TlsLevel level) { return name_in(level_names, level); }
std::optional<TlsLevel> parse_tls_level(std::string_view text) {
    return value_in(level_names, text);
}

bool checks_certificate(TlsLevel level) { return check_of(level) == Check::trust_store; }

std::optional<SuggestedLevel> SuggestedLevel::raise(TlsFloor floor, TlsLevel wanted) {
    if (!floor.certain() || wanted < TlsLevel::encrypt || wanted <= floor.level())
        return std::nullopt;
    const Check kept = check_of(floor);
    if (kept != Check::nothing && check_of(wanted) != kept) return std::nullopt;
    return SuggestedLevel{wanted};
}

}  // namespace postfathom
