// SPDX-License-Identifier: Apache-2.0
#include "lib/diagnosis/comparison.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <functional>
#include <map>
#include <set>
#include <utility>

#include "lib/base/text.hpp"
#include "lib/diagnosis/certificate_time.hpp"

namespace postfathom {
namespace {

using Rows = std::vector<const ComparedEndpoint*>;
using Statements = std::vector<ComparisonStatement>;

bool is_ill(const ComparedEndpoint& row) {
    return row.diagnosis.severity == Severity::warning ||
           row.diagnosis.severity == Severity::critical;
}
bool is_well(const ComparedEndpoint& row) { return row.diagnosis.severity <= Severity::notice; }
bool is_unclear(const ComparedEndpoint& row) { return !is_ill(row) && !is_well(row); }

IpFamily family_of(const ComparedEndpoint& row) { return row.endpoint.address.family(); }
std::string_view family_name(IpFamily family) { return family == IpFamily::v4 ? "IPv4" : "IPv6"; }
IpFamily other(IpFamily family) { return family == IpFamily::v4 ? IpFamily::v6 : IpFamily::v4; }

Rows those(const Rows& rows, const std::function<bool(const ComparedEndpoint&)>& wanted) {
    Rows result;
    std::copy_if(rows.begin(), rows.end(), std::back_inserter(result),
                 [&](const auto* row) { return wanted(*row); });
    return result;
}

bool any_of(const Rows& rows, const std::function<bool(const ComparedEndpoint&)>& wanted) {
    return !those(rows, wanted).empty();
}

// "25 (smtp) and 587 (submission)", each port once.
std::string ports_of(const Rows& rows) {
    std::vector<std::string> names;
    for (const auto* row : rows) {
        auto name = fmt::format("{} ({})", row->endpoint.port, to_string(row->endpoint.service));
        if (std::find(names.begin(), names.end(), name) == names.end())
            names.push_back(std::move(name));
    }
    std::string text;
    for (std::size_t i = 0; i < names.size(); ++i)
        text += (i == 0 ? "" : i + 1 == names.size() ? " and " : ", ") + names[i];
    return text;
}

std::string faults_of(const Rows& rows) {
    std::vector<std::string> found;
    for (const auto* row : rows)
        if (const auto text = brief(row->diagnosis);
            std::find(found.begin(), found.end(), text) == found.end())
            found.push_back(text);
    std::string text;
    for (const auto& one : found) text += (text.empty() ? "" : "; ") + one;
    return text;
}

// Two rows with the same trouble: what it is, and for sizes which.
bool same_trouble(const Diagnosis& a, const Diagnosis& b) {
    return a.id == b.id && a.direction == b.direction && a.path_mtu == b.path_mtu &&
           a.sizes == b.sizes;
}

// Every ill row is of one family and has a counterpart of the other that is well.
std::optional<IpFamily> only_ill_family(const Rows& open) {
    const auto ill = those(open, is_ill);
    if (ill.empty()) return std::nullopt;
    const auto family = family_of(*ill.front());
    for (const auto* row : ill) {
        const bool spared = any_of(open, [&](const ComparedEndpoint& twin) {
            return is_well(twin) && family_of(twin) == other(family) &&
                   twin.endpoint.port == row->endpoint.port;
        });
        if (family_of(*row) != family || !spared) return std::nullopt;
    }
    return family;
}

void say_family(const Rows& open, IpFamily family, Statements& statements) {
    const auto ill = those(open, is_ill);
    const bool whole = !any_of(open, [&](const ComparedEndpoint& row) {
        return family_of(row) == family && is_well(row);
    });
    const auto name = family_name(family);
    const auto id = family == IpFamily::v4 ? "only-ipv4-ill" : "only-ipv6-ill";
    statements.push_back(
        {id,
         fmt::format("Only {} is ill{} ({}): over {} the same port{} well. Look at the {} path "
                     "to this host, not at its mail server.",
                     name, whole ? "" : fmt::format(", on port {}", ports_of(ill)), faults_of(ill),
                     family_name(other(family)), ill.size() == 1 ? " is" : "s are", name)});
}

bool starts_in_clear(const ComparedEndpoint& row) { return !implicit_tls(row.endpoint.service); }
bool tls_at_once(const ComparedEndpoint& row) { return implicit_tls(row.endpoint.service); }

// What is ill and what is well at one address, by how TLS begins there.
void say_ports(const Rows& at_address, Statements& statements) {
    const auto ill = those(at_address, is_ill);
    const auto well = those(at_address, is_well);
    if (ill.empty() || well.empty()) return;
    const auto address = ill.front()->endpoint.address.to_string();
    const bool implicit_spared =
        std::all_of(ill.begin(), ill.end(),
                    [](const auto* row) { return starts_in_clear(*row); }) &&
        any_of(well, tls_at_once);
    const bool starttls_spared =
        std::all_of(ill.begin(), ill.end(), [](const auto* row) { return tls_at_once(*row); }) &&
        any_of(well, starts_in_clear);
    if (implicit_spared)
        statements.push_back(
            {"implicit-tls-spared",
             fmt::format("At {} implicit TLS on port {} works while STARTTLS on port {} does not "
                         "({}): the path carries TLS, so something on it meddles with that port, "
                         "or STARTTLS is at fault in the server.",
                         address, ports_of(those(well, tls_at_once)), ports_of(ill),
                         faults_of(ill))});
    else if (starttls_spared)
        statements.push_back(
            {"starttls-spared",
             fmt::format("At {} STARTTLS on port {} works while implicit TLS on port {} does not "
                         "({}): look at what listens on that port, or at a rule about it.",
                         address, ports_of(those(well, starts_in_clear)), ports_of(ill),
                         faults_of(ill))});
    else
        statements.push_back(
            {"some-ports-ill",
             fmt::format("At {} port {} is ill ({}) and port {} is well: the fault belongs to the "
                         "port, not to the whole path.",
                         address, ports_of(ill), faults_of(ill), ports_of(well))});
}

std::vector<Rows> by_address(const Rows& rows) {
    std::map<IpAddress, Rows> groups;
    for (const auto* row : rows) groups[row->endpoint.address].push_back(row);
    std::vector<Rows> result;
    for (auto& [address, group] : groups) result.push_back(std::move(group));
    return result;
}

void say_ill(const Rows& open, Statements& statements) {
    const auto ill = those(open, is_ill);
    if (ill.empty()) return;
    const bool same = std::all_of(ill.begin(), ill.end(), [&](const auto* row) {
        return same_trouble(row->diagnosis, ill.front()->diagnosis);
    });
    if (ill.size() == open.size() && open.size() > 1 && same) {
        statements.push_back({"same-everywhere",
                              fmt::format("Every open port shows the same ({}): it belongs to the "
                                          "path or to the host, not to one service.",
                                          faults_of(ill))});
        return;
    }
    if (const auto family = only_ill_family(open)) return say_family(open, *family, statements);
    const auto before = statements.size();
    for (const auto& group : by_address(open)) say_ports(group, statements);
    if (statements.size() == before)
        statements.push_back(
            {"ill", fmt::format("Ill: port {} ({}).", ports_of(ill), faults_of(ill))});
}

// Sizes that are more than "at least".
bool size_is_known(const InboundPath& path) { return path.path_mtu && path.exact; }
bool size_is_known(const OutboundPath& path) { return path.path_mtu && path.exact; }

template <typename Path>
void say_size_differences(const Rows& open, std::string_view direction,
                          Path ComparedEndpoint::* path, Statements& statements) {
    std::map<std::uint32_t, Rows> sizes;
    for (const auto* row : open)
        if (size_is_known(row->*path)) sizes[(row->*path).path_mtu->bytes].push_back(row);
    if (sizes.size() < 2) return;
    std::string text;
    for (const auto& [size, rows] : sizes) {
        std::set<std::string_view> families;
        for (const auto* row : rows) families.insert(family_name(family_of(*row)));
        std::string where;
        for (const auto name : families)
            where += (where.empty() ? "" : " and ") + std::string(name);
        text += fmt::format("{}{} over {} at port {}", text.empty() ? "" : ", ", size, where,
                            ports_of(rows));
    }
    statements.push_back(
        {"path-mtu-differs", fmt::format("The {} path MTU differs: {}.", direction, text)});
}

void say_differences(const Rows& open, std::string_view what, std::string id,
                     const std::function<std::string(const ComparedEndpoint&)>& value,
                     Statements& statements) {
    std::map<std::string, Rows> values;
    for (const auto* row : open)
        if (auto text = value(*row); !text.empty()) values[std::move(text)].push_back(row);
    if (values.size() < 2) return;
    std::string text;
    for (const auto& [one, rows] : values)
        text += fmt::format("{}{} at port {}", text.empty() ? "" : "; ", one, ports_of(rows));
    statements.push_back({std::move(id), fmt::format("{} differs: {}.", what, text)});
}

void say_closed(const Rows& all, Statements& statements) {
    const auto closed = those(all, [](const ComparedEndpoint& row) { return !row.open; });
    for (const auto* row : closed) {
        const bool open_elsewhere = any_of(all, [&](const ComparedEndpoint& twin) {
            return twin.open && twin.endpoint.port == row->endpoint.port;
        });
        if (open_elsewhere)
            statements.push_back(
                {"closed-at-one-address",
                 fmt::format("Port {} is open elsewhere and not at {} ({}): clients that choose "
                             "this address wait, or go on to the next.",
                             row->endpoint.port, row->endpoint.address.to_string(),
                             to_string(row->diagnosis.id))});
    }
}

ComparedEndpoint compared(const EndpointReport& report) {
    const auto& evidence = report.evidence;
    ComparedEndpoint row;
    row.endpoint = evidence.endpoint;
    row.open = evidence.reached > Phase::connect;
    row.diagnosis = report.verdict.diagnosis;
    row.inbound = inbound_path(evidence);
    row.outbound = evidence.outbound;
    // What we allow is all there is to know.
    const bool all_we_allow = row.inbound.path_mtu && !evidence.attempts.empty() &&
                              *row.inbound.path_mtu >= evidence.attempts.front().allowed;
    row.inbound.exact = row.inbound.exact || all_we_allow;
    if (!evidence.handshake) return row;
    row.protocol = evidence.handshake->protocol;
    if (const auto& facts = evidence.handshake->certificate)
        row.certificate = fmt::format("{} until {}", printable(facts->subject, 80),
                                      certificate_time(facts->not_after));
    if (evidence.outcome == Outcome::ok && !evidence.first_attempt_recovered)
        for (const auto& timing : evidence.timings)
            if (timing.phase == Phase::handshake) row.handshake_seconds = timing.seconds;
    return row;
}

const Diagnosis* worst_of(const Rows& rows) {
    const Diagnosis* found = nullptr;
    for (const auto* row : rows)
        if (found == nullptr || row->diagnosis.severity > found->severity) found = &row->diagnosis;
    return found;
}

}  // namespace

Comparison compare(const std::vector<Report>& reports) {
    Comparison comparison;
    for (const auto& report : reports)
        for (const auto& endpoint : report.endpoints)
            comparison.endpoints.push_back(compared(endpoint));
    Rows all;
    for (const auto& row : comparison.endpoints) all.push_back(&row);
    const auto open = those(all, [](const ComparedEndpoint& row) { return row.open; });
    auto& statements = comparison.statements;
    if (open.empty()) {
        if (!all.empty())
            statements.push_back({"nothing-open", "None of these ports is open at any address."});
        if (const auto* found = worst_of(all)) comparison.diagnosis = *found;
        return comparison;
    }
    comparison.diagnosis = *worst_of(open);
    say_ill(open, statements);
    if (const auto unclear = those(open, is_unclear); !unclear.empty())
        statements.push_back(
            {"unclear", fmt::format("Port {} could not be judged.", ports_of(unclear))});
    // Of those that are ill the fault has said it.
    const auto well = those(open, is_well);
    say_size_differences(well, "inbound", &ComparedEndpoint::inbound, statements);
    say_size_differences(well, "outbound", &ComparedEndpoint::outbound, statements);
    say_differences(
        open, "The TLS version", "protocol-differs",
        [](const ComparedEndpoint& row) { return row.protocol; }, statements);
    say_differences(
        open, "The certificate", "certificate-differs",
        [](const ComparedEndpoint& row) { return row.certificate; }, statements);
    say_closed(all, statements);
    if (statements.empty())
        statements.push_back(
            {"all-alike", open.size() == 1 ? std::string{"One port is open, and it is well."}
                                           : std::string{"All open ports are well and alike."}});
    return comparison;
}

}  // namespace postfathom
