// SPDX-License-Identifier: Apache-2.0
#include "probes/daemon.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/json/object.hpp>
#include <exception>

#include "lib/base/log.hpp"
#include "lib/base/text.hpp"
#include "lib/cache/record_codec.hpp"
#include "lib/mail_log/lines.hpp"
#include "lib/net/deadline.hpp"
#include "lib/net/notice.hpp"
#include "probes/remember.hpp"

namespace postfathom {

namespace {

using Clock = std::chrono::steady_clock;

// Resolution before the first connection of a probe.
constexpr std::chrono::seconds resolve_limit{30};
// One line in the log for a place and hour; each delivery is an event and counted.
constexpr std::chrono::hours alarm_again_after{1};
constexpr std::size_t max_alarmed_places = 4096;
constexpr std::size_t max_tls_history = 20'000;
// A look-up for each next hop that only TLS reports speak of.
constexpr std::chrono::minutes confirm_again_after{1};
// Between two stores.
constexpr std::size_t max_client_networks = 10'000;

Schedule::Limits schedule_limits(const Settings& settings) {
    Schedule::Limits limits;
    limits.concurrent = settings.probe.concurrent;
    limits.per_hour = settings.probe.per_hour;
    limits.min_interval = settings.probe.min_interval;
    return limits;
}

boost::json::object event(std::string_view name, const std::string& subject) {
    boost::json::object object;
    object["event"] = name;
    object["at"] = to_rfc3339(wall_now());
    object["next_hop"] = subject;
    return object;
}

Report without_answer(const std::string& destination, TlsFloor floor, std::string summary) {
    Report report;
    report.destination = destination;
    report.floor = floor;
    report.diagnosis.summary = std::move(summary);
    report.diagnosis.settles = "another probe";
    return report;
}

// A broken promise in our own code ends that probe, not the daemon.
boost::asio::awaitable<Report> without_exceptions(boost::asio::awaitable<Report> work,
                                                  std::string destination, TlsFloor floor) {
    std::string trouble;
    try {
        co_return co_await std::move(work);
    } catch (const std::exception& broken) {
        trouble = "the probe broke off: " + printable(broken.what());
    }
    log::error("{}: {}", destination, trouble);
    co_return without_answer(destination, floor, trouble);
}

Schedule::Ending ending_of(const Diagnosis& diagnosis) {
    switch (diagnosis.id) {
        case DiagnosisId::inconclusive:
        case DiagnosisId::unreachable:
        case DiagnosisId::refused:
        case DiagnosisId::no_route:
        case DiagnosisId::name_error:
        case DiagnosisId::greeting_timeout:
            return Schedule::Ending::no_answer;
        default:
            return Schedule::Ending::conclusive;
    }
}

// A bare address as a next hop, for a request that probes one endpoint.
NextHop next_hop_of(const Endpoint& endpoint) {
    NextHop next_hop;
    next_hop.host = endpoint.address.to_string();
    next_hop.mx_lookup = false;
    next_hop.literal = endpoint.address;
    next_hop.port = endpoint.port;
    return next_hop;
}

}  // namespace

Daemon::Daemon(boost::asio::io_context& io, const Settings& settings, CacheWriter& cache,
               ProbeFunction probe, ResolveFunction resolve)
    : io_(io),
      settings_(settings),
      cache_(cache),
      probe_(std::move(probe)),
      resolve_(std::move(resolve)),
      servers_(std::make_shared<Servers>(budget_limits(settings.probe))),
      schedule_(schedule_limits(settings), Clock::now()),
      observer_(cache),
      stories_([this](const std::string& domain) {
          return observer_.place_for(domain, std::nullopt).next_hop;
      }),
      clear_text_([this](const LoggedPeer& peer) { return tls_path_is_ill(peer); }),
      tls_history_(max_tls_history),
      confirmations_(confirm_again_after, max_alarmed_places),
      alarms_(alarm_again_after, max_alarmed_places),
      socket_news_(alarm_again_after, max_alarmed_places),
      clients_(max_client_networks),
      events_(io.get_executor()),
      wake_(io) {
    observer_.set_routes(settings.routes);
}

void Daemon::on_log_line(std::string_view line) {
    ++counters_.log_lines;
    counters_.last_log_line = wall_now();
    stories_.line(line);
    const auto parsed = parse_log_line(line);
    if (!parsed) {
        observer_.other_line(line);
        return note_client_trouble(line);
    }
    wish(observer_.line(*parsed));
    learn_route();
    if (const auto found = clear_text_.line(*parsed, Clock::now())) raise_alarm(*found);
}

void Daemon::on_notice(std::string_view datagram) {
    ++counters_.notices;
    const auto notice = decode_notice(datagram);
    if (!notice) {
        ++counters_.bad_notices;
        log::debug("notice: {}", printable(notice.error().message));
        return;
    }
    if (const auto* clients = std::get_if<ClientsSeen>(&*notice)) return note_client(clients->seen);
    if (const auto* times = std::get_if<HookTimes>(&*notice)) {
        hooks_[times->hook] = {*times, wall_now()};
        return;
    }
    CacheChange change;
    const auto wishes = observer_.notice(*notice, change, wall_now());
    if (!change.routes.empty()) store(change);
    wish(wishes);
}

void Daemon::wish(const std::vector<ProbeWish>& wishes) {
    for (const auto& wish : wishes) {
        request(wish.place, wish.reason);
        if (wish.handshake_seen) believe_delivery(wish.place);
    }
}

// A probe tells more, and comes as soon as the server's budget lets it; until then the delivery
// itself is what is known. One more handshake left unfinished could get us banned there.
void Daemon::believe_delivery(const ProbePlace& place) {
    if (!place.peer || servers_->budget.enough(place.peer->address, Clock::now())) return;
    const auto remembered = remember_delivery(place, cache_, wall_now(), settings_.cache.age);
    if (remembered.changed) store(remembered.change);
    tell(remembered);
}

Schedule::Accepted Daemon::request(ProbePlace place, ProbeReason reason) {
    std::optional<KnownVerdict> known;
    if (place.peer && reason == ProbeReason::failure_seen) {
        if (auto record = cache_.endpoint(place.peer->address, place.peer->port))
            known = record->verdict;
    } else if (auto record = cache_.next_hop(place.next_hop)) {
        known = record->verdict;
    } else if (place.peer && reason == ProbeReason::recovered) {
        if (auto endpoint = cache_.endpoint(place.peer->address, place.peer->port))
            known = endpoint->verdict;
    }
    if (!worth_probing(reason, known, wall_now(), settings_.cache.age))
        return Schedule::Accepted::joined;
    const auto accepted = schedule_.request(std::move(place), reason, Clock::now());
    pump();
    return accepted;
}

Result<void> Daemon::ask(const NextHop& next_hop, const std::string& verbatim) {
    ProbePlace place;
    place.next_hop = to_string(next_hop);
    place.verbatim = verbatim;
    if (request(std::move(place), ProbeReason::operator_asked) == Schedule::Accepted::no_room)
        return fail(ErrorCode::full, "the queue of probes is full; try again later");
    return {};
}

boost::asio::awaitable<Result<void>> Daemon::ask_and_wait(NextHop next_hop, std::string verbatim,
                                                          Clock::duration limit) {
    Waiter waiter{boost::asio::steady_timer(io_, limit)};
    const auto entry = waiting_.emplace(to_string(next_hop), &waiter);
    const auto asked = ask(next_hop, verbatim);
    if (asked && !waiter.ended) co_await waiter.timer.async_wait(use_result);
    waiting_.erase(entry);
    if (!asked) co_return asked;
    if (!waiter.ended) co_return fail(ErrorCode::timed_out, "the probe did not end in time");
    co_return Result<void>{};
}

// Starts what is due and sets the clock for what is not.
void Daemon::pump() {
    const auto is_occupied = [this](const ProbePlace& place) { return occupied(place); };
    for (auto& job : schedule_.start(Clock::now(), is_occupied))
        boost::asio::co_spawn(io_, run(std::move(job)), boost::asio::detached);
    const auto when = schedule_.wake();
    if (!when) {
        wake_.cancel();
        return;
    }
    wake_.expires_at(*when);
    wake_.async_wait([this](const boost::system::error_code& error) {
        if (!error) pump();
    });
}

// The server that comes first is being probed, on behalf of another next hop.
bool Daemon::occupied(const ProbePlace& place) const {
    if (servers_->occupied.empty()) return false;
    if (place.next_hop.empty())
        return place.peer && servers_->occupied.contains(place.peer->address);
    const auto known = cache_.next_hop(place.next_hop);
    return known && !known->endpoints.empty() &&
           servers_->occupied.contains(known->endpoints.front().address);
}

// One line for each server and pause, however many next hops it serves.
void Daemon::say_what_is_held_back(const std::string& key, const DaemonGate& gate) {
    for (const auto& held_back : gate.news())
        log::info("{}: {} {}; no probe of it before {}", key, to_string(held_back.endpoint),
                  held_back.why, to_rfc3339(held_back.until));
}

Daemon::Conclusion Daemon::conclusion_of(const Schedule::Job& job, const Report& report,
                                         const Remembered& remembered,
                                         const DaemonGate& gate) const {
    using Ending = Schedule::Ending;
    const auto now = Clock::now();
    if (report.endpoints.empty() && !report.held_back.empty()) {
        // What is known of the server may be answer enough.
        const bool answered =
            remembered.from_endpoint && job.reason != ProbeReason::recovered &&
            !worth_probing(job.reason, remembered.from_endpoint, wall_now(), settings_.cache.age);
        if (answered) return {};
        return {Ending::held_back, gate.again()};
    }
    const auto& budget = servers_->budget;
    Conclusion conclusion;
    bool limited = false;
    for (const auto& endpoint : report.endpoints) {
        const auto& evidence = endpoint.evidence;
        const auto& address = evidence.endpoint.address;
        if (const auto until = budget.backing_off(address, now);
            until && !evidence.asked_to_wait.empty())
            return {Ending::told_to_go, until};
        if (!evidence.budget_ended || job.reason == ProbeReason::operator_asked) continue;
        if (endpoint.verdict.diagnosis.severity <= Severity::notice) continue;
        limited = true;
        const auto then = budget.unused_at(address, now);
        conclusion.again = std::max(conclusion.again.value_or(then), then);
    }
    conclusion.ending = ending_of(report.diagnosis);
    if (limited)
        conclusion.ending = Ending::unfinished;
    else if (const auto& suspected = remembered.verdict.suspected;
             suspected && report.diagnosis.severity >= Severity::warning)
        conclusion = {Ending::suspected, now + (suspected->at + independent_after - wall_now())};
    return conclusion;
}

bool has_address(const ResolvedAddresses& found, const IpAddress& address) {
    return std::find(found.addresses.begin(), found.addresses.end(), address) !=
           found.addresses.end();
}

// Whatever breaks, the place is free again: else a few such probes were all that ever run.
boost::asio::awaitable<void> Daemon::run(Schedule::Job job) {
    const auto key = job.place.key();
    std::string trouble;
    try {
        co_await run_through(std::move(job));
        co_return;
    } catch (const std::exception& broken) {
        trouble = printable(broken.what());
    }
    log::error("{}: the probe broke off: {}", key, trouble);
    schedule_.finished(key, Schedule::Ending::no_answer, false, Clock::now());
    release_waiters(key);
    pump();
}

boost::asio::awaitable<void> Daemon::run_through(Schedule::Job job) {
    const auto key = job.place.key();
    auto begun = event("probe-started", key);
    begun["reason"] = to_string(job.reason);
    events_.publish(begun);
    const auto start = Clock::now();

    const bool for_person = job.reason == ProbeReason::operator_asked;
    ProbePlace place = co_await settle(job.place);
    place.seen_only = !for_person && only_seen(place);
    const auto gate = std::make_shared<DaemonGate>(servers_, cache_, settings_, for_person);
    Report report = co_await probe(place, gate, for_person);
    const auto remembered = conclude(place, report);
    say_what_is_held_back(key, *gate);

    const auto conclusion = conclusion_of(job, report, remembered, *gate);
    const bool held_back = conclusion.ending == Schedule::Ending::held_back;
    auto ended = event(held_back ? "probe-held-back" : "probe-finished", key);
    ended["diagnosis"] = to_string(report.diagnosis.id);
    ended["severity"] = to_string(report.diagnosis.severity);
    ended["summary"] = brief(report.diagnosis);
    ended["seconds"] = std::chrono::duration<double>(Clock::now() - start).count();
    if (held_back) ended["until"] = to_rfc3339(report.held_back.front().until);
    events_.publish(ended);

    schedule_.finished(key, conclusion.ending, report.diagnosis.severity >= Severity::warning,
                       Clock::now(), conclusion.again);
    release_waiters(key);
    follow_up(job, place, report);
    pump();
}

void Daemon::release_waiters(const std::string& key) {
    if (schedule_.asked(key)) return;
    const auto [first, last] = waiting_.equal_range(key);
    for (auto entry = first; entry != last; ++entry) {
        entry->second->ended = true;
        entry->second->timer.cancel();
    }
}

// Nothing where there is none, or not in time.
boost::asio::awaitable<ResolvedAddresses> Daemon::look_up(std::string name) {
    const auto next_hop = parse_next_hop(name);
    if (!next_hop) co_return ResolvedAddresses{};
    std::string trouble;
    try {
        auto work = resolve_(*next_hop);
        auto found = co_await with_deadline(resolve_limit, std::move(work));
        if (found) co_return std::move(*found);
        co_return ResolvedAddresses{};
    } catch (const std::exception& broken) {
        trouble = printable(broken.what());
    }
    log::error("{}: its look-up broke off: {}", printable(name), trouble);
    co_return ResolvedAddresses{};
}

// A recipient's domain counts as the next hop only when the server that Postfix used is one of its
// own.
boost::asio::awaitable<ProbePlace> Daemon::settle(ProbePlace place) {
    if (!place.assumed || !place.peer) co_return place;
    // Not within the condition: g++ 12 then destroys what it has not made.
    const auto found = co_await look_up(place.next_hop);
    if (!has_address(found, place.peer->address)) place.next_hop.clear();
    place.assumed = false;
    co_return place;
}

// A recipient's domain is what a stranger chose, for a bounce has the domain of its sender. Where
// all mail goes to a relay, that stranger's MX records may name the relay, and anybody else beside
// it, who is not to hear from us. So the log alone speaks for no other server than it names, also
// when our record of it is gone.
bool Daemon::only_seen(const ProbePlace& place) const {
    if (place.next_hop.empty()) return false;
    const auto names = [&](const ConfiguredRoute& route) {
        return route.next_hop == place.next_hop;
    };
    if (std::any_of(settings_.routes.begin(), settings_.routes.end(), names)) return false;
    const auto known = cache_.next_hop(place.next_hop);
    return known ? known->seen_only : !place.routed;
}

ProbeRequest Daemon::request_for(const ProbePlace& place) const {
    ProbeRequest request;
    request.floor = settings_.tls.floor;
    request.own_tables_socket = settings_.tables.socket;
    request.trust_anchor = settings_.tls.trust_anchor;
    request.mta_sts = settings_.tls.mta_sts;
    if (place.next_hop.empty() && place.peer) {
        request.next_hop = next_hop_of(*place.peer);
        request.only = place.peer;
        request.verbatim = to_string(request.next_hop);
    } else if (const auto next_hop = parse_next_hop(place.next_hop)) {
        request.next_hop = *next_hop;
        request.verbatim = place.verbatim.empty() ? place.next_hop : place.verbatim;
    }
    if (place.seen_only) {
        auto& among = request.among.emplace();
        if (place.peer) among.push_back(place.peer->address);
        if (const auto known = cache_.next_hop(place.next_hop))
            for (const auto& endpoint : known->endpoints) among.push_back(endpoint.address);
    }
    return request;
}

// More than the engine's own budget: only for an engine that forgets its deadlines.
Clock::duration Daemon::longest_probe() const {
    return settings_.probe.timeout * (settings_.probe.max_addresses + 1) + resolve_limit +
           published_limit + programs_limit;
}

boost::asio::awaitable<Report> Daemon::probe(ProbePlace place, std::shared_ptr<DaemonGate> gate,
                                             bool for_person) {
    const auto destination = place.key();
    // Before Postfix was asked.
    const auto floor = TlsFloor::uncertain(settings_.tls.floor);
    auto asked = request_for(place);
    asked.gate = std::move(gate);
    asked.as_postfix = !for_person;
    if (!for_person) asked.apart = settings_.probe.apart;
    auto guarded = without_exceptions(probe_(std::move(asked), ProgressSink{}), destination, floor);
    auto report = co_await with_deadline(longest_probe(), std::move(guarded));
    if (report) co_return std::move(*report);
    log::error("{}: the probe did not end in time", destination);
    co_return without_answer(destination, floor, "the probe did not end in time");
}

Remembered Daemon::conclude(const ProbePlace& probed, const Report& report) {
    const auto now = wall_now();
    probes_.add(report);
    auto remembered = remember(report, probed, cache_, now, settings_.cache.age);
    for (auto& record : remembered.change.next_hops)
        record.tls_seen = std::max(record.tls_seen, tls_history_.last(record.next_hop));
    store(remembered.change);
    tell(remembered);
    return remembered;
}

// The line in the log, and the event, of a change that is stored.
void Daemon::tell(const Remembered& remembered) {
    if (!remembered.line.empty()) log::write(remembered.level, remembered.line);
    if (!remembered.changed) return;
    auto changed = event("verdict-changed", remembered.subject);
    changed["verdict"] = to_json(remembered.verdict);
    changed["was"] = nullptr;
    if (remembered.before) changed["was"] = to_json(*remembered.before);
    events_.publish(changed);
}

// The server that Postfix had trouble with may not be among those that were probed: another MX
// answered well before it came to its turn.
void Daemon::follow_up(const Schedule::Job& job, const ProbePlace& probed, const Report& report) {
    if (job.reason != ProbeReason::failure_seen || !probed.peer || probed.next_hop.empty()) return;
    if (report.endpoints.empty()) return;  // held back: the next hop's turn is still to come
    const auto is_peer = [&](const EndpointReport& endpoint) {
        return endpoint.evidence.endpoint.address == probed.peer->address;
    };
    if (std::any_of(report.endpoints.begin(), report.endpoints.end(), is_peer)) return;
    ProbePlace peer;
    peer.peer = probed.peer;
    request(std::move(peer), ProbeReason::failure_seen);
}

void Daemon::store(const CacheChange& change) {
    const auto stored = cache_.store(change);
    if (!stored) return cache_failed(stored.error());
    if (std::exchange(cache_broken_, false)) log::info("cache: verdicts are stored again");
}

void Daemon::cache_failed(const Error& error) {
    ++counters_.cache_errors;
    if (!std::exchange(cache_broken_, true))
        log::error("{}; new verdicts are lost until this is mended", error.message);
}

Result<bool> Daemon::forget(const std::string& next_hop) {
    auto done = cache_.forget(next_hop);
    if (!done) ++counters_.cache_errors;
    if (done && *done) {
        log::info("{}: forgotten, as an operator asked", next_hop);
        events_.publish(event("forgotten", next_hop));
    }
    return done;
}

void Daemon::reload(const Settings& settings, ProbeFunction probe) {
    settings_ = settings;
    observer_.set_routes(settings.routes);
    probe_ = std::move(probe);
    schedule_.set_limits(schedule_limits(settings));
    servers_->budget.set_limits(budget_limits(settings.probe));
    pump();
}

Daemon::Counters Daemon::counters() const {
    auto counters = counters_;
    counters.schedule = schedule_.counters();
    counters.observer = observer_.counters();
    counters.event_readers = events_.readers();
    return counters;
}

}  // namespace postfathom
