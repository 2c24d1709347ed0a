// SPDX-License-Identifier: Apache-2.0
#include "probes/engine.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <map>
#include <utility>

#include "lib/base/host_name.hpp"
#include "lib/base/text.hpp"
#include "lib/net/deadline.hpp"
#include "lib/suggestion/suggest.hpp"
#include "probes/endpoint_probe.hpp"
#include "probes/host_facts.hpp"
#include "probes/host_settings.hpp"
#include "probes/postfix_floor.hpp"
#include "probes/published_lookup.hpp"
#include "probes/resolver.hpp"

namespace postfathom {

namespace {

using Clock = std::chrono::steady_clock;

// What we say in EHLO: a server may refuse a name that is none (RFC 5321 section 4.1.1.1).
std::string own_name(const std::string& configured) {
    const std::string name = configured.empty() ? host_name() : configured;
    const auto legal = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               c == '-' || c == '.' || c == '_' || c == '[' || c == ']' || c == ':';
    };
    return std::all_of(name.begin(), name.end(), legal) ? name : "localhost";
}

Outcome outcome_of(const Error& error) {
    return error.code == ErrorCode::not_found ? Outcome::name_error : Outcome::temporary_name_error;
}

std::optional<std::uint16_t> port_of(const ProbeRequest& request) {
    return request.port ? request.port : request.next_hop.port;
}

Service service_of(const ProbeRequest& request) {
    const auto port = port_of(request);
    return request.service.value_or(port ? service_for_port(*port) : Service::smtp);
}

std::vector<Endpoint> endpoints_of(const std::vector<ResolvedHost>& hosts,
                                   const ProbeRequest& request, std::uint32_t limit) {
    std::vector<Endpoint> result;
    const auto service = service_of(request);
    const auto& among = request.among;
    for (const auto& host : hosts) {
        for (const auto& address : host.addresses) {
            if (among && std::find(among->begin(), among->end(), address) == among->end()) continue;
            if (result.size() >= limit) return result;
            Endpoint endpoint;
            endpoint.address = address;
            endpoint.service = service;
            endpoint.port = port_of(request).value_or(default_port(service));
            endpoint.name = request.name.empty() ? host.name : request.name;
            result.push_back(std::move(endpoint));
        }
    }
    return result;
}

bool is_ill(const Diagnosis& diagnosis) { return diagnosis.severity > Severity::notice; }

// The endpoints to probe, and how long the resolver vouches for them.
struct Found {
    std::vector<Endpoint> endpoints;
    std::optional<std::chrono::seconds> ttl;
    std::string none_left{};  // why all that were found are left out
};

// smtp(8) looks for itself on its own port only, behind names and not behind what brackets say.
bool may_lead_back(const ProbeRequest& request) {
    return request.as_postfix && request.next_hop.mx_lookup && !request.next_hop.literal &&
           port_of(request).value_or(default_port(Service::smtp)) == default_port(Service::smtp);
}

std::optional<IpAddress> source_for(const ProbeRequest& request, const IpAddress& destination) {
    return request.source ? request.source : chosen_source(destination);
}

// What the gate allows, as part of the plan.
void apply(const Admission& admission, ProbePlan& plan) {
    plan.max_connections = admission.max_connections;
    plan.max_aborted = admission.max_aborted;
    plan.inbound_before = admission.inbound_before;
    plan.outbound_before = admission.outbound_before;
    plan.starttls_offered_before = admission.starttls_offered_before;
}

// One address of a server without STARTTLS while another has it: something takes it away.
void compare_addresses(Report& report) {
    for (auto& without : report.endpoints) {
        if (without.evidence.outcome != Outcome::not_offered) continue;
        const auto& endpoint = without.evidence.endpoint;
        const auto with = std::find_if(
            report.endpoints.begin(), report.endpoints.end(), [&](const EndpointReport& other) {
                return other.evidence.starttls_offered && !endpoint.name.empty() &&
                       other.evidence.endpoint.name == endpoint.name &&
                       other.evidence.endpoint.port == endpoint.port;
            });
        if (with == report.endpoints.end()) continue;
        without.evidence.starttls_offered_at = with->evidence.endpoint.address;
        without.verdict = diagnose(without.evidence, report.floor);
    }
}

}  // namespace

struct ProbeEngine::Impl {
    explicit Impl(const Settings::Probe& given) : settings(given) {}

    const Settings::Probe& settings;
    Resolver resolver;
    PublishedLookup published{resolver};
    // By CA file.
    struct LoadedTls {
        TlsContext context;
        Clock::time_point loaded;
    };
    std::map<std::string, LoadedTls> loaded_tls;
    // By next hop, as Postfix has it now; nothing where that cannot be told.
    struct KnownLevel {
        std::optional<TlsFloor> level;  // nothing: there is no Postfix
        Clock::time_point asked;
    };
    std::map<std::string, KnownLevel> levels;
    struct KnownFamily {
        std::optional<IpFamily> family;
        Clock::time_point asked;
    };
    std::optional<KnownFamily> family_of_postfix;
    // postmap(1) may wait for a table, and postconf(1) for main.cf.
    asio::thread_pool programs{1};
    HostSettings known_settings;
    std::optional<Clock::time_point> settings_read;

    Result<TlsContext> tls(const std::string& ca_file);
    asio::awaitable<void> read_host();
    asio::awaitable<TlsFloor> floor_for(std::string next_hop, std::string own_tables_socket,
                                        TlsFloor least);
    asio::awaitable<std::optional<IpFamily>> family();
    // Of a host that was read, where an endpoint is ill.
    std::vector<Suggestion> suggestions(const Report& report, const ProbeRequest& request,
                                        const std::vector<CleanWay>& other_ways);

    ProbePlan plan(const Endpoint& endpoint, const ProbeRequest& request) const;
    asio::awaitable<Result<Found>> find(const ProbeRequest& request);
    asio::awaitable<EndpointReport> probe(const ProbePlan& plan, const TlsContext& tls,
                                          TlsLevel floor, const ProgressSink& progress);
};

// Reading the system's trust store takes about as long as a whole handshake, and megabytes for each
// copy; certificates in it change now and then.
Result<TlsContext> ProbeEngine::Impl::tls(const std::string& ca_file) {
    constexpr std::size_t most_files = 16;
    const auto now = Clock::now();
    const auto known = loaded_tls.find(ca_file);
    if (known != loaded_tls.end() && now - known->second.loaded < std::chrono::minutes(5))
        return known->second.context;
    auto context = TlsContext::create(ca_file);
    if (!context) return context;
    if (loaded_tls.size() >= most_files) loaded_tls.clear();
    loaded_tls.insert_or_assign(ca_file, LoadedTls{*context, now});
    return context;
}

namespace {

asio::awaitable<std::optional<TlsFloor>> ask_postfix(std::string next_hop,
                                                     std::string own_tables_socket) {
    co_return postfix_tls_level(next_hop, own_tables_socket);
}

asio::awaitable<std::optional<IpFamily>> ask_family() { co_return postfix_family(); }

asio::awaitable<HostSettings> ask_host() { co_return host_settings(); }

}  // namespace

asio::awaitable<TlsFloor> ProbeEngine::Impl::floor_for(std::string next_hop,
                                                       std::string own_tables_socket,
                                                       TlsFloor least) {
    constexpr std::size_t most_known = 10'000;
    const auto now = Clock::now();
    const auto known = levels.find(next_hop);
    if (known != levels.end() && now - known->second.asked < std::chrono::minutes(5))
        co_return highest(least, known->second.level.value_or(least));
    auto work = ask_postfix(next_hop, std::move(own_tables_socket));
    const auto level =
        co_await asio::co_spawn(programs.get_executor(), std::move(work), asio::use_awaitable);
    if (levels.size() >= most_known) levels.clear();
    levels.insert_or_assign(next_hop, KnownLevel{level, now});
    co_return highest(least, level.value_or(least));
}

asio::awaitable<std::optional<IpFamily>> ProbeEngine::Impl::family() {
    const auto now = Clock::now();
    if (!family_of_postfix || now - family_of_postfix->asked > std::chrono::minutes(5)) {
        auto work = ask_family();
        const auto found =
            co_await asio::co_spawn(programs.get_executor(), std::move(work), asio::use_awaitable);
        family_of_postfix = KnownFamily{found, now};
    }
    co_return family_of_postfix->family;
}

// Settings change now and then; they are looked at only where something is ill.
asio::awaitable<void> ProbeEngine::Impl::read_host() {
    const auto now = Clock::now();
    if (settings_read && now - *settings_read < std::chrono::minutes(5)) co_return;
    auto work = ask_host();
    known_settings =
        co_await asio::co_spawn(programs.get_executor(), std::move(work), asio::use_awaitable);
    settings_read = now;
}

ProbePlan ProbeEngine::Impl::plan(const Endpoint& endpoint, const ProbeRequest& request) const {
    ProbePlan result;
    result.endpoint = endpoint;
    result.source = request.source;
    result.ehlo_name = own_name(settings.ehlo_name);
    result.server_name = request.name;
    result.connect_timeout = settings.connect_timeout;
    result.greeting_timeout = settings.greeting_timeout;
    result.reply_timeout = settings.reply_timeout;
    result.handshake_timeout = settings.handshake_timeout;
    result.deadline = Clock::now() + settings.timeout;
    result.max_connections = settings.max_connections;
    result.max_aborted = settings.max_connections;
    result.max_parallel = settings.parallel;
    result.datagrams = settings.datagrams;
    result.try_resumption = request.try_resumption;
    result.hello_bytes = request.hello_bytes;
    result.ask_sizes = request.ask_sizes;
    result.pace = std::make_shared<ConnectionPace>(request.apart);
    return result;
}

asio::awaitable<Result<Found>> ProbeEngine::Impl::find(const ProbeRequest& request) {
    if (request.only) co_return Found{{*request.only}, std::nullopt};
    auto next_hop = request.next_hop;
    // MX records are about mail that comes in (RFC 5321 section 5.1), not about mailboxes.
    if (speaks_imap(service_of(request))) next_hop.mx_lookup = false;
    auto resolution = co_await resolver.resolve(next_hop, request.family, settings.connect_timeout);
    if (!resolution) co_return tl::make_unexpected(resolution.error());
    auto hosts = std::move(resolution->hosts);
    if (may_lead_back(request)) hosts = without_own(std::move(hosts), is_own_address);
    if (hosts.empty())
        co_return Found{{}, resolution->ttl, "it leads to this host, where Postfix sends no mail"};
    Found found{endpoints_of(hosts, request, settings.max_addresses), resolution->ttl};
    if (found.endpoints.empty())
        found.none_left = "Postfix was not seen to use any of the servers that it leads to";
    co_return found;
}

asio::awaitable<EndpointReport> ProbeEngine::Impl::probe(const ProbePlan& plan,
                                                         const TlsContext& tls, TlsLevel floor,
                                                         const ProgressSink& progress) {
    const auto sink = [&plan, &progress](const EndpointProgress& now) {
        if (progress)
            progress({to_string(plan.endpoint), now.phase, now.trying, now.passes, now.fails,
                      now.connections});
    };
    EndpointProgressSink named_sink = sink;
    EndpointReport report;
    report.evidence = co_await probe_endpoint(plan, tls, std::move(named_sink));
    report.verdict = diagnose(report.evidence, floor);
    co_return report;
}

namespace {

// A report without endpoints: the name leads nowhere, or we cannot begin.
Diagnosis nowhere(const ProbeRequest& request, const Error& error) {
    Evidence evidence;
    evidence.endpoint.name = request.next_hop.host;
    evidence.outcome = outcome_of(error);
    auto diagnosis = diagnose(evidence, request.floor).diagnosis;
    diagnosis.summary += " (" + printable(error.message) + ")";
    return diagnosis;
}

Diagnosis cannot_begin(const Error& error) {
    Diagnosis diagnosis;
    diagnosis.summary = "No probe was made: " + printable(error.message);
    diagnosis.settles = "a setting that works";
    return diagnosis;
}

Diagnosis none_left(const std::string& why) {
    Diagnosis diagnosis;
    diagnosis.summary = "No probe was made: " + why + ".";
    diagnosis.settles = "mail that Postfix sends there";
    return diagnosis;
}

Diagnosis not_now(const Report& report) {
    Diagnosis diagnosis;
    if (report.held_back.empty()) return diagnosis;
    const auto& first = report.held_back.front();
    diagnosis.summary =
        fmt::format("No probe was made now: {} {}.", to_string(first.endpoint), first.why);
    diagnosis.settles = "a probe later, at " + to_rfc3339(first.until);
    return diagnosis;
}

// Servers of the same report over which a handshake went through, with what they carried.
std::vector<CleanWay> clean_ways(const Report& report) {
    std::vector<CleanWay> ways;
    for (const auto& endpoint : report.endpoints) {
        if (is_ill(endpoint.verdict.diagnosis) || endpoint.evidence.outcome != Outcome::ok)
            continue;
        const auto& evidence = endpoint.evidence;
        ways.push_back({evidence.vantage.source, evidence.endpoint.address,
                        inbound_path(evidence).path_mtu, evidence.outbound.path_mtu});
    }
    return ways;
}

}  // namespace

namespace {

bool has_ill(const Report& report) {
    return std::any_of(report.endpoints.begin(), report.endpoints.end(),
                       [](const auto& endpoint) { return is_ill(endpoint.verdict.diagnosis); });
}

// TLSA records and MTA-STS are about mail between servers (RFC 7672 section 2.2, RFC 8461 section
// 1), and a level is suggested where a handshake failed.
bool asks_for_published(const Report& report, const ProbeRequest& request) {
    return service_of(request) == Service::smtp &&
           std::any_of(report.endpoints.begin(), report.endpoints.end(), [](const auto& endpoint) {
               return handshake_fails(endpoint.verdict.diagnosis);
           });
}

}  // namespace

std::vector<Suggestion> ProbeEngine::Impl::suggestions(const Report& report,
                                                       const ProbeRequest& request,
                                                       const std::vector<CleanWay>& other_ways) {
    auto ways = clean_ways(report);
    ways.insert(ways.end(), other_ways.begin(), other_ways.end());
    std::vector<Suggestion> result;
    for (const auto& endpoint : report.endpoints) {
        if (!is_ill(endpoint.verdict.diagnosis)) continue;
        SuggestionContext context;
        context.next_hop = request.next_hop;
        context.next_hop_verbatim = request.verbatim;
        context.endpoint = endpoint.evidence.endpoint;
        context.floor = request.floor;
        context.published = report.published.value_or(PublishedTls{});
        context.evidence = endpoint.evidence;
        context.clean_ways = ways;
        context.host.destination = context.endpoint.address;
        if (auto facts = host_facts(context.endpoint.address, request.source))
            context.host = std::move(*facts);
        add_settings(context.host, known_settings);
        for (auto& suggestion : suggest(endpoint.verdict.diagnosis, context)) {
            const bool known = std::any_of(result.begin(), result.end(), [&](const auto& other) {
                return other.kind == suggestion.kind && other.commands == suggestion.commands;
            });
            if (!known) result.push_back(std::move(suggestion));
        }
    }
    return result;
}

ProbeEngine::ProbeEngine(const Settings::Probe& settings)
    : impl_(std::make_unique<Impl>(settings)) {}

ProbeEngine::~ProbeEngine() = default;

asio::awaitable<Report> ProbeEngine::probe(ProbeRequest request, ProgressSink progress) {
    Report report;
    report.destination = to_string(request.next_hop);
    // Mailboxes are no matter of Postfix's client.
    if (!speaks_imap(service_of(request))) {
        auto asking = impl_->floor_for(request.verbatim, request.own_tables_socket, request.floor);
        request.floor = co_await std::move(asking);
    }
    report.floor = request.floor;
    if (request.as_postfix && !request.only && !request.next_hop.literal)
        request.family = co_await impl_->family();
    const auto tls =
        impl_->tls(request.ca_file.empty() ? impl_->settings.ca_file : request.ca_file);
    if (!tls) {
        report.diagnosis = cannot_begin(tls.error());
        co_return report;
    }
    if (progress) progress({});
    const auto found = co_await impl_->find(request);
    if (!found) {
        report.diagnosis = nowhere(request, found.error());
        co_return report;
    }
    if (found->ttl) report.addresses_expire = wall_now() + *found->ttl;
    if (!found->none_left.empty()) {
        report.diagnosis = none_left(found->none_left);
        co_return report;
    }
    bool any_ill = false;
    std::vector<CleanWay> other_ways;
    for (const auto& endpoint : found->endpoints) {
        auto plan = impl_->plan(endpoint, request);
        std::optional<Turn> turn;
        if (request.gate) {
            auto admission = request.gate->enter(endpoint, source_for(request, endpoint.address));
            if (admission.held_back) {
                report.held_back.push_back(std::move(*admission.held_back));
                any_ill = any_ill || admission.known_ill;
                if (!any_ill) break;
                continue;
            }
            turn.emplace(*request.gate, endpoint);
            apply(admission, plan);
            other_ways.insert(other_ways.end(), admission.other_ways.begin(),
                              admission.other_ways.end());
        }
        report.endpoints.push_back(co_await impl_->probe(plan, *tls, request.floor, progress));
        if (turn) turn->end(report.endpoints.back().evidence);
        const auto& found_here = report.endpoints.back().verdict.diagnosis;
        // Postfix goes on from an address that this host has no way to, and stops at one that is
        // well.
        if (found_here.id == DiagnosisId::no_route) continue;
        any_ill = any_ill || is_ill(found_here);
        if (!any_ill) break;
    }
    compare_addresses(report);
    report.diagnosis = worst(report.endpoints, not_now(report));
    if (asks_for_published(report, request)) {
        PublishedLookup::Wanted wanted{request.next_hop,
                                       port_of(request).value_or(default_port(Service::smtp)),
                                       request.trust_anchor, request.mta_sts};
        // A web server is held against the system's trust store, whatever mail servers are.
        if (const auto web = impl_->tls("")) {
            auto looking = impl_->published.find(std::move(wanted), *web);
            report.published = co_await with_deadline(published_limit, std::move(looking));
        }
    }
    if (has_ill(report)) co_await impl_->read_host();
    report.suggestions = impl_->suggestions(report, request, other_ways);
    co_return report;
}

asio::awaitable<std::vector<Report>> ProbeEngine::probe_each(ProbeRequest request,
                                                             std::vector<ServicePort> places,
                                                             ProgressSink progress) {
    std::vector<Report> reports;
    request.next_hop.mx_lookup = false;
    if (progress) progress({});
    const auto found = co_await impl_->find(request);
    if (!found) {
        Report report;
        report.destination = to_string(request.next_hop);
        report.floor = request.floor;
        report.diagnosis = nowhere(request, found.error());
        reports.push_back(std::move(report));
        co_return reports;
    }
    for (const auto& place : places) {
        for (auto endpoint : found->endpoints) {
            endpoint.service = place.service;
            endpoint.port = place.port;
            auto one = request;
            one.next_hop.port = place.port;
            one.verbatim = to_string(one.next_hop);
            one.only = std::move(endpoint);
            reports.push_back(co_await probe(std::move(one), progress));
        }
    }
    co_return reports;
}

}  // namespace postfathom
