// SPDX-License-Identifier: Apache-2.0
#include "milter/session.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "lib/base/log.hpp"
#include "lib/base/text.hpp"
#include "lib/diagnosis/refusal.hpp"

namespace postfathom {
namespace {

constexpr std::size_t notices_per_interval = 10'000;  // 17 a second at most
constexpr std::chrono::minutes notice_interval{10};
constexpr std::size_t max_logged_next_hops = 10'000;
constexpr std::chrono::hours log_again_after{1};
constexpr std::size_t max_client_networks = 10'000;
// The prober's socket holds a few hundred (net.unix.max_dgram_qlen).
constexpr std::size_t clients_at_a_time = 100;
constexpr std::size_t max_line = 400;

// What makes a notice news. The parts hold no '\n': they are parsed names or plain words.
std::string notice_key(const RouteRecord& route) {
    return "route\n" + route.domain + '\n' + route.verbatim + '\n' + route.transport;
}

}  // namespace

MilterTerms::MilterTerms(const Settings& settings, std::string token)
    : mode(settings.milter.mode),
      defer(settings.defer),
      routes(settings.routes),
      age(settings.cache.age),
      host_token(std::move(token)) {}

MilterService::MilterService(const Settings& settings, std::string host_token,
                             const CacheReader& cache, std::function<bool(const Notice&)> send,
                             std::function<WallTime()> clock)
    : cache_(cache),
      send_(std::move(send)),
      clock_(std::move(clock)),
      terms_(std::make_shared<const MilterTerms>(settings, std::move(host_token))),
      pace_(notice_interval, notices_per_interval),
      lines_(log_again_after, max_logged_next_hops),
      clients_(max_client_networks) {}

void MilterService::reload(const Settings& settings, std::string host_token) {
    auto fresh = std::make_shared<const MilterTerms>(settings, std::move(host_token));
    const std::lock_guard lock(terms_mutex_);
    terms_.swap(fresh);
}

std::shared_ptr<const MilterTerms> MilterService::terms() const {
    const std::lock_guard lock(terms_mutex_);
    return terms_;
}

void MilterService::notify(const Notice& notice, const std::string& key,
                           std::chrono::steady_clock::time_point now) {
    {
        // Mail waits for no lock: when another session is here just now, a later message will ask.
        const std::unique_lock lock(pace_mutex_, std::try_to_lock);
        if (!lock.owns_lock() || !pace_.allow(key, now)) return;
    }
    if (send_(notice)) return;
    // The prober is down or busy: the next message may tell it.
    const std::unique_lock lock(pace_mutex_, std::try_to_lock);
    if (lock.owns_lock()) pace_.retract(key);
}

void MilterService::count_client(const ClientSeen& seen) {
    const std::lock_guard lock(clients_mutex_);
    clients_.add(seen);
}

void MilterService::tell_clients() {
    std::vector<ClientSeen> taken;
    {
        const std::lock_guard lock(clients_mutex_);
        taken = clients_.take(clients_at_a_time);
    }
    const auto untold = std::find_if(taken.begin(), taken.end(), [this](const ClientSeen& seen) {
        return !send_(ClientsSeen{seen});
    });
    const std::lock_guard lock(clients_mutex_);
    for (auto seen = untold; seen != taken.end(); ++seen) clients_.add(*seen);
}

void MilterService::tell_times(std::chrono::steady_clock::time_point now) {
    if (told_times_ && now - *told_times_ < hook_times_every) return;
    told_times_ = now;
    send_(times.read());
}

bool MilterService::worth_a_line(const std::string& next_hop,
                                 std::chrono::steady_clock::time_point now) {
    const std::unique_lock lock(pace_mutex_, std::try_to_lock);
    return lock.owns_lock() && lines_.allow(next_hop, now);
}

void MilterSession::client(const ClientMacros& macros) {
    const auto seen = client_of(macros);
    if (!seen) return;
    auto key = fmt::format("{} {}", macros.address, macros.tls_version);
    if (key == counted_client_) return;
    counted_client_ = std::move(key);
    service_.count_client(*seen);
}

std::optional<RecipientRoute> MilterSession::route_for(const RecipientMacros& macros, WallTime now,
                                                       std::chrono::steady_clock::time_point tick) {
    if (macros.mailer.empty()) {
        const auto domain = domain_of_recipient(macros.recipient);
        if (domain.empty()) return std::nullopt;
        std::optional<RoutedNextHop> configured;
        if (const auto* found = find_route(terms_->routes, domain))
            configured = RoutedNextHop{found->next_hop, found->verbatim};
        return route_without_macros(macros.recipient, service_.cache().route(domain),
                                    std::move(configured));
    }
    auto route = route_of(macros);
    if (!route) return std::nullopt;
    if (auto learned = route_to_learn(*route, service_.cache().route(route->domain), now)) {
        const auto key = notice_key(*learned);
        service_.notify(RouteLearned{std::move(*learned)}, key, tick);
    }
    return route;
}

std::optional<KnownVerdict> MilterSession::finding_for(const std::string& next_hop, WallTime now,
                                                       std::chrono::steady_clock::time_point tick) {
    for (const auto& [name, finding] : looked_up_)
        if (name == next_hop) return finding;
    if (looked_up_.size() >= max_next_hops_per_message) return std::nullopt;
    const auto opinion = opinion_on(service_.cache().next_hop(next_hop), now, terms_->age);
    if (opinion.wanted) service_.notify(VerdictWanted{next_hop}, "wanted\n" + next_hop, tick);
    looked_up_.emplace_back(next_hop, opinion.finding);
    return opinion.finding;
}

// A recipient waits only when each of its next hops is ill and named: while another one may take
// the mail, it shall. Mail that was not brought by SMTP has nobody to wait: a refusal would lose
// it.
std::optional<Refusal> MilterSession::refusal(const RecipientMacros& macros,
                                              const RecipientRoute& route, WallTime now,
                                              std::chrono::steady_clock::time_point tick) {
    if (!terms_->may_refuse() || !agreement.recipient_reply || macros.mailer.empty())
        return std::nullopt;
    for (const auto& next_hop : route.next_hops) {
        const auto finding = finding_for(next_hop.canonical, now, tick);
        if (!finding || !terms_->defer.permits(finding->id, next_hop.canonical))
            return std::nullopt;
    }
    const auto first = finding_for(route.next_hops.front().canonical, now, tick);
    return Refusal{std::string(refusal_status(first->id)), refusal_text(route.domain, *first)};
}

std::optional<Refusal> MilterSession::recipient(const RecipientMacros& macros) {
    const auto now = service_.now();
    const auto tick = std::chrono::steady_clock::now();
    const auto route = route_for(macros, now, tick);
    if (!route) return std::nullopt;
    if (auto refused = refusal(macros, *route, now, tick)) return refused;
    for (const auto& next_hop : route->next_hops) {
        const auto finding = finding_for(next_hop.canonical, now, tick);
        if (envelope_.first_sight(next_hop.canonical) && finding)
            envelope_.add_finding(next_hop.canonical, *finding);
    }
    return std::nullopt;
}

std::vector<std::string> MilterSession::say_findings() {
    std::vector<std::string> lines;
    const auto tick = std::chrono::steady_clock::now();
    for (const auto& [next_hop, verdict] : envelope_.findings()) {
        if (terms_->mode == PolicyMode::observe && !service_.worth_a_line(next_hop, tick)) continue;
        lines.push_back(printable(next_hop + ": " + brief(verdict), max_line));
    }
    reset();
    return lines;
}

HeaderActions MilterSession::header_actions() const {
    auto actions =
        envelope_.actions(terms_->changes_messages() && agreement.add_headers, terms_->host_token);
    if (!agreement.change_headers || !terms_->changes_messages()) actions.remove = 0;
    return actions;
}

bool MilterSession::leaves_message() const {
    if (!terms_->changes_messages()) return false;  // there is something to say at its end
    const auto wanted = header_actions();
    return wanted.remove == 0 && wanted.insert.empty();
}

HeaderActions MilterSession::end_of_message() {
    auto actions = header_actions();
    reset();
    return actions;
}

void MilterSession::reset() {
    envelope_ = {};
    looked_up_.clear();
}

}  // namespace postfathom
