// SPDX-License-Identifier: Apache-2.0
#include "probes/metrics.hpp"

#include <fmt/format.h>

#include <iterator>
#include <string_view>

namespace postfathom {
namespace {

// Names, help and values are ours, so nothing needs escaping.
class Text {
  public:
    void family(std::string_view name, std::string_view type, std::string_view help) {
        name_ = name;
        fmt::format_to(out_, "# HELP {} {}\n# TYPE {} {}\n", name, help, name, type);
    }
    template <typename Number>
    void value(Number number, std::string_view labels = "", std::string_view suffix = "") {
        fmt::format_to(out_, "{}{}{} {}\n", name_, suffix, labels, number);
    }
    template <typename Number>
    void single(std::string_view name, std::string_view type, std::string_view help,
                Number number) {
        family(name, type, help);
        value(number);
    }
    std::string take() { return std::move(text_); }

  private:
    std::string text_;
    std::back_insert_iterator<std::string> out_ = std::back_inserter(text_);
    std::string_view name_;
};

std::string label(std::string_view name, std::string_view value) {
    return fmt::format("{{{}=\"{}\"}}", name, value);
}

std::int64_t unix_seconds(WallTime time) {
    return std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count();
}

void put_daemon(Text& text, std::chrono::duration<double> uptime) {
    text.family("postfathom_build_info", "gauge", "The version that runs; always 1.");
    text.value(1, label("version", POSTFATHOM_VERSION));
    text.single("postfathom_uptime_seconds", "gauge", "Time since postfathom-probed began.",
                uptime.count());
}

void put_destinations(Text& text, const Daemon& daemon) {
    const auto& tally = daemon.destinations();
    text.family("postfathom_destinations", "gauge",
                "Next hops in the cache whose verdict is believed, by diagnosis; counted within "
                "the last pass through the cache.");
    for (const auto id : all_diagnosis_ids()) {
        const auto found = tally.fresh.find(id);
        text.value(found == tally.fresh.end() ? 0 : found->second,
                   label("diagnosis", to_string(id)));
    }
    text.single("postfathom_destinations_expired", "gauge",
                "Next hops in the cache whose verdict is too old to be believed.", tally.expired);
}

void put_cache(Text& text, const Daemon& daemon) {
    const auto stored = daemon.cache().counters();
    text.family("postfathom_cache_entries", "gauge", "Records in the probe cache, by kind.");
    text.value(stored.next_hops, label("kind", "destination"));
    text.value(stored.endpoints, label("kind", "endpoint"));
    text.value(stored.paths, label("kind", "path"));
    text.value(stored.routes, label("kind", "route"));
    text.value(stored.clients, label("kind", "client"));
    text.single("postfathom_cache_bytes", "gauge", "Bytes of the cache's map in use.",
                stored.bytes_used);
    text.single("postfathom_cache_limit_bytes", "gauge", "Size of the cache's map.",
                stored.bytes_limit);
    text.single("postfathom_cache_unreadable_total", "counter",
                "Records that could not be read and were left out.", stored.unreadable);
    text.single("postfathom_cache_errors_total", "counter", "Changes that could not be stored.",
                daemon.counters().cache_errors);
}

void put_schedule(Text& text, const Schedule::Counters& schedule) {
    text.single("postfathom_probes_queued", "gauge", "Probes that wait for their turn.",
                schedule.queued);
    text.single("postfathom_probes_running", "gauge", "Probes under way.", schedule.running);
    text.single("postfathom_probes_started_total", "counter", "Probes begun.", schedule.started);
    text.single("postfathom_probes_finished_total", "counter", "Probes ended.", schedule.finished);
    text.family("postfathom_probe_wishes_total", "counter",
                "Wishes for a probe that did not begin one: joined with another, dropped since the "
                "queue was full, or held back to spare the server.");
    text.value(schedule.joined, label("fate", "joined"));
    text.value(schedule.dropped, label("fate", "dropped"));
    text.value(schedule.held_back, label("fate", "held-back"));
}

// Of a histogram with the one label `key`; the last of `counts` is beyond the last bound.
template <typename Bounds, typename Counts>
void put_buckets(Text& text, std::string_view key, std::string_view value, const Bounds& bounds,
                 const Counts& counts, double sum) {
    std::uint64_t seen = 0;
    for (std::size_t i = 0; i < bounds.size(); ++i) {
        seen += counts.at(i);
        text.value(seen, fmt::format("{{{}=\"{}\",le=\"{}\"}}", key, value, bounds.at(i)),
                   "_bucket");
    }
    seen += counts.back();
    text.value(seen, fmt::format("{{{}=\"{}\",le=\"+Inf\"}}", key, value), "_bucket");
    text.value(sum, label(key, value), "_sum");
    text.value(seen, label(key, value), "_count");
}

void put_phases(Text& text, const ProbeTally& tally) {
    text.family("postfathom_probe_phase_seconds", "histogram",
                "How long the phases of a probe's first conversation took.");
    for (const auto& [phase, histogram] : tally.phases)
        put_buckets(text, "phase", to_string(phase), phase_bounds, histogram.counts, histogram.sum);
}

void put_hooks(Text& text, const Daemon& daemon) {
    text.family("postfathom_hook_answer_seconds", "histogram",
                "How long Postfix waited for an answer of postfathom-policyd or postfathom-milter, "
                "since that program began.");
    for (const auto& [hook, news] : daemon.hooks())
        put_buckets(text, "hook", to_string(hook), hook_bounds, news.times.counts,
                    static_cast<double>(news.times.microseconds) * 1e-6);
    text.family("postfathom_hook_last_notice_timestamp_seconds", "gauge",
                "When the program that answers there last told its times; it does so every 10 s.");
    for (const auto& [hook, news] : daemon.hooks())
        text.value(unix_seconds(news.told_at), label("hook", to_string(hook)));
}

void put_probes(Text& text, const Daemon& daemon) {
    put_schedule(text, daemon.counters().schedule);
    const auto& tally = daemon.probes();
    text.family("postfathom_probe_results_total", "counter",
                "Servers that were probed, by what was found.");
    for (const auto id : all_diagnosis_ids()) {
        const auto found = tally.results.find(id);
        text.value(found == tally.results.end() ? 0 : found->second,
                   label("diagnosis", to_string(id)));
    }
    text.single("postfathom_probe_connections_total", "counter",
                "Connections that probes made to servers.", tally.connections);
    text.single("postfathom_probe_aborted_handshakes_total", "counter",
                "Of them, those that ended in the middle of a handshake.", tally.aborted);
    put_phases(text, tally);
}

void put_sources(Text& text, const Daemon& daemon) {
    const auto counters = daemon.counters();
    text.single("postfathom_log_lines_total", "counter", "Lines read from the mail log.",
                counters.log_lines);
    text.family("postfathom_log_last_line_timestamp_seconds", "gauge",
                "When the last line was read; absent before the first.");
    if (counters.last_log_line) text.value(unix_seconds(*counters.last_log_line));
    text.single("postfathom_deliveries_total", "counter", "Deliveries seen in the log.",
                counters.observer.deliveries);
    text.single("postfathom_troubles_total", "counter",
                "Lines of the log about trouble with a server.", counters.observer.troubles);
    text.single("postfathom_clear_text_deliveries_total", "counter",
                "Messages that went in clear text after TLS with that server had failed.",
                counters.clear_text_deliveries);
    text.family("postfathom_notices_total", "counter",
                "Notices of policyd and the milter, by whether they could be read.");
    text.value(counters.notices - counters.bad_notices, label("result", "read"));
    text.value(counters.bad_notices, label("result", "unreadable"));
    text.family("postfathom_tls_reports_total", "counter",
                "Postfix's own reports of TLS handshakes, by what they say.");
    text.value(counters.tls_successes, label("result", "success"));
    text.value(counters.tls_failures, label("result", "failure"));
    text.value(counters.bad_tls_reports, label("result", "unreadable"));
    text.single("postfathom_tls_reports_not_forwarded_total", "counter",
                "TLS reports that tlsrpt.forward_to did not take.", counters.tls_reports_lost);
    const auto& sockets = daemon.sockets().counters();
    text.single("postfathom_mail_connections", "gauge",
                "This host's own mail connections at the last look.", sockets.connections);
    text.single("postfathom_mail_connections_suspected_paths", "gauge",
                "Paths that live connections make us suspect.", sockets.paths);
    text.single("postfathom_event_readers", "gauge", "Readers of the event stream.",
                counters.event_readers);
}

}  // namespace

std::string metrics_text(const Daemon& daemon, std::chrono::duration<double> uptime) {
    Text text;
    put_daemon(text, uptime);
    put_destinations(text, daemon);
    put_cache(text, daemon);
    put_probes(text, daemon);
    put_sources(text, daemon);
    put_hooks(text, daemon);
    return text.take();
}

}  // namespace postfathom
