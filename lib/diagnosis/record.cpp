// SPDX-License-Identifier: Apache-2.0
#include "lib/diagnosis/record.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "lib/diagnosis/history.hpp"
#include "lib/diagnosis/names.hpp"

namespace postfathom {
namespace {

constexpr NameTable<Freshness, 3> freshness_names{{
    {Freshness::fresh, "fresh"},
    {Freshness::stale, "stale"},
    {Freshness::expired, "expired"},
}};

// How far ahead of the clock a record may be before the clock, not the record, is believed.
constexpr std::chrono::hours clock_slack{1};

// Good news keeps long. What mail suffers from, and what could not be told, is looked at again
// soon.
bool good_news(const KnownVerdict& verdict) { return verdict.severity <= Severity::notice; }

KnownVerdict remember(const Diagnosis& found, WallTime now) {
    return KnownVerdict{.id = found.id,
                        .severity = found.severity,
                        .direction = found.direction,
                        .path_mtu = found.path_mtu,
                        .path_mtu_exact = found.path_mtu_exact,
                        .path_mtu_below = found.path_mtu_below,
                        .usable_mss = found.usable_mss,
                        .sizes = found.sizes,
                        .since = now,
                        .measured_at = now};
}

bool suspicion_holds(const Suspicion& suspicion, WallTime now) {
    return suspicion.at <= now && suspicion.at > now - suspicion_lasts;
}

// Fresh good news stands against one failure that may be a bad moment.
bool only_suspected(const KnownVerdict& known, const Diagnosis& found, WallTime now,
                    const AgeLimits& limits) {
    if (found.severity <= Severity::notice || conclusive_alone(found.id)) return false;
    if (!good_news(known) || freshness(known, now, limits) != Freshness::fresh) return false;
    const bool second = known.suspected && suspicion_holds(*known.suspected, now) &&
                        known.suspected->at <= now - independent_after;
    return !second;
}

// A probe with few connections to spend finds looser bounds than one before it.
void keep_tighter(KnownVerdict& verdict, const KnownVerdict& known) {
    if (verdict.path_mtu_exact || !verdict.path_mtu || !known.path_mtu) return;
    const auto joined =
        tighter({*known.path_mtu, known.path_mtu_exact, known.path_mtu_below},
                {*verdict.path_mtu, verdict.path_mtu_exact, verdict.path_mtu_below});
    if (joined.passes > *verdict.path_mtu || joined.exact) verdict.usable_mss = known.usable_mss;
    verdict.path_mtu = joined.passes;
    verdict.path_mtu_exact = joined.exact;
    verdict.path_mtu_below = joined.exact ? std::nullopt : joined.fails;
}

}  // namespace

bool conclusive_alone(DiagnosisId id) {
    switch (id) {
        case DiagnosisId::unreachable:
        case DiagnosisId::refused:
        case DiagnosisId::no_route:
        case DiagnosisId::greeting_timeout:
        case DiagnosisId::greeting_rejected:
        case DiagnosisId::name_error:
        case DiagnosisId::reset_in_handshake:
        case DiagnosisId::peer_stall:
        case DiagnosisId::lossy_path:
        case DiagnosisId::inconclusive:
            return false;
        default:
            return true;
    }
}

std::string_view to_string(Freshness freshness) { return name_in(freshness_names, freshness); }

bool from_the_future(const KnownVerdict& verdict, WallTime now) {
    return verdict.measured_at > now + clock_slack;
}

Freshness freshness(const KnownVerdict& verdict, WallTime now, const AgeLimits& limits) {
    const auto refresh = good_news(verdict) ? limits.good_refresh : limits.ill_refresh;
    const auto expire = good_news(verdict) ? limits.good_expire : limits.ill_expire;
    // Only `now` takes part in arithmetic: a damaged record's time could overflow.
    if (from_the_future(verdict, now)) return Freshness::expired;
    if (verdict.measured_at <= now - expire) return Freshness::expired;
    if (verdict.measured_at <= now - refresh) return Freshness::stale;
    return Freshness::fresh;
}

bool ill(const KnownVerdict& verdict) { return verdict.severity >= Severity::warning; }

std::string brief(const KnownVerdict& verdict) {
    Diagnosis diagnosis;
    diagnosis.id = verdict.id;
    diagnosis.direction = verdict.direction;
    diagnosis.path_mtu = verdict.path_mtu;
    diagnosis.path_mtu_exact = verdict.path_mtu_exact;
    diagnosis.usable_mss = verdict.usable_mss;
    diagnosis.path_mtu_below = verdict.path_mtu_below;
    diagnosis.sizes = verdict.sizes;
    auto text = brief(diagnosis);
    if (verdict.varies)
        text += fmt::format(", varies between {} and {}", verdict.varies->low.bytes,
                            verdict.varies->high.bytes);
    if (verdict.comes_and_goes) text += ", comes and goes";
    return text;
}

KnownVerdict absorb(const std::optional<KnownVerdict>& known, const Diagnosis& found, WallTime now,
                    const AgeLimits& limits) {
    KnownVerdict verdict = remember(found, now);
    if (!known || freshness(*known, now, limits) == Freshness::expired) return verdict;
    const bool says_nothing = found.id == DiagnosisId::inconclusive;
    if (says_nothing && known->id != DiagnosisId::inconclusive) return *known;
    if (only_suspected(*known, found, now, limits)) {
        auto kept = *known;
        if (!kept.suspected || !suspicion_holds(*kept.suspected, now))
            kept.suspected = Suspicion{found.id, now};
        return kept;
    }
    if (known->id == found.id && known->direction == found.direction) {
        verdict.since = std::min(known->since, now);
        if (ill(verdict)) keep_tighter(verdict, *known);
    }
    return verdict;
}

}  // namespace postfathom
