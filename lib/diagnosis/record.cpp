// SPDX-License-Identifier: Apache-2.0
#include "lib/diagnosis/record.hpp"

#include <algorithm>

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
                        .usable_mss = found.usable_mss,
                        .sizes = found.sizes,
                        .since = now,
                        .measured_at = now};
}

}  // namespace

std::string_view to_string(Freshness freshness) { return name_in(freshness_names, freshness); }

Freshness freshness(const KnownVerdict& verdict, WallTime now, const AgeLimits& limits) {
    const auto refresh = good_news(verdict) ? limits.good_refresh : limits.ill_refresh;
    const auto expire = good_news(verdict) ? limits.good_expire : limits.ill_expire;
    // Only `now` takes part in arithmetic: a damaged record's time could overflow.
    if (verdict.measured_at > now + clock_slack) return Freshness::expired;
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
    diagnosis.sizes = verdict.sizes;
    return brief(diagnosis);
}

KnownVerdict absorb(const std::optional<KnownVerdict>& known, const Diagnosis& found, WallTime now,
                    const AgeLimits& limits) {
    KnownVerdict verdict = remember(found, now);
    if (!known || freshness(*known, now, limits) == Freshness::expired) return verdict;
    const bool says_nothing = found.id == DiagnosisId::inconclusive;
    if (says_nothing && known->id != DiagnosisId::inconclusive) return *known;
    if (known->id == found.id && known->direction == found.direction)
        verdict.since = std::min(known->since, now);
    return verdict;
}

}  // namespace postfathom
