// SPDX-License-Identifier: Apache-2.0
// `postfathom check`: one line and an exit status for Nagios, Icinga and their like.
#include <fmt/format.h>

#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

#include "cli/commands.hpp"
#include "cli/daemon_answer.hpp"
#include "lib/base/text.hpp"
#include "lib/config/duration.hpp"
#include "lib/diagnosis/check_line.hpp"
#include "lib/diagnosis/report.hpp"

namespace postfathom {

namespace {

struct Limits {
    std::optional<AlertRange> warning;
    std::optional<AlertRange> critical;
    std::chrono::milliseconds timeout{};
};

Result<std::optional<AlertRange>> range_of(const std::string& text, const char* option) {
    if (text.empty()) return std::nullopt;
    auto range = AlertRange::parse(text);
    if (!range)
        return fail(ErrorCode::invalid_input, fmt::format("{}: {}", option, range.error().message));
    return std::optional(std::move(*range));
}

Result<Limits> limits_of(const CheckOptions& options) {
    auto warning = range_of(options.warning, "-w");
    if (!warning) return tl::make_unexpected(warning.error());
    auto critical = range_of(options.critical, "-c");
    if (!critical) return tl::make_unexpected(critical.error());
    // Plugins take bare seconds.
    const bool seconds = options.timeout.find_first_not_of("0123456789") == std::string::npos;
    const auto timeout = parse_duration(options.timeout + (seconds ? "s" : ""));
    if (!timeout || timeout->count() <= 0)
        return fail(ErrorCode::invalid_input,
                    fmt::format("-t: found \"{}\", expected seconds, or a duration such as \"90s\"",
                                printable(options.timeout)));
    return Limits{std::move(*warning), std::move(*critical), *timeout};
}

Result<CheckFacts> probed_facts(const CheckOptions& options, const Settings& settings,
                                std::chrono::milliseconds timeout) {
    ProbeOptions probe;
    probe.destination = options.destination;
    probe.timeout = render_duration(timeout);
    const auto report = probe_once(probe, settings);
    if (!report) return tl::make_unexpected(report.error());
    CheckFacts facts;
    facts.destination = options.destination;
    facts.severity = report->diagnosis.severity;
    facts.summary = brief(report->diagnosis);
    take_measures(to_json(*report), facts);
    return facts;
}

Result<CheckFacts> known_facts(const CheckOptions& options, const Settings& settings,
                               std::chrono::milliseconds timeout) {
    const auto reply = try_daemon(
        settings, {"/v1/destinations/" + percent_encoded(options.destination), "GET", "", timeout});
    if (!reply.body) return fail(reply.code, reply.trouble);
    const auto known = parse_answer(*reply.body);
    const auto& verdict = member(known, "verdict");
    CheckFacts facts;
    facts.destination = options.destination;
    facts.severity = parse_severity(text(verdict, "severity")).value_or(Severity::unknown);
    facts.summary = text(verdict, "summary");
    facts.expired = text(known, "freshness") == "expired";
    if (const auto& age = member(known, "age"); age.is_int64())
        facts.age = std::chrono::seconds(age.get_int64());
    take_measures(member(known, "report"), facts);
    return facts;
}

int tell(const CheckOptions& options, const CheckLine& line, CheckFacts facts = {}) {
    facts.destination = options.destination;
    fmt::print("{}\n", options.json ? boost::json::serialize(to_json(line, facts)) : line.text);
    return line.status;
}

}  // namespace

int run_check(const CheckOptions& options, const Settings& settings) {
    const auto limits = limits_of(options);
    if (!limits) return tell(options, could_not_check(limits.error().message));
    const auto facts = options.probe ? probed_facts(options, settings, limits->timeout)
                                     : known_facts(options, settings, limits->timeout);
    if (!facts) return tell(options, could_not_check(facts.error().message));
    return tell(options, check_line(*facts, limits->warning, limits->critical), *facts);
}

}  // namespace postfathom
