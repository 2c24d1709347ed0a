// SPDX-License-Identifier: Apache-2.0
// A copy of Postfix's smtp transport with one thing changed, for this next hop alone: another
// source address, the other address family first, or less patience with a server that says nothing.
#include <fmt/core.h>

#include <algorithm>

#include "lib/suggestion/families.hpp"

namespace postfathom {
namespace {

// "smtp unix - - y - - smtp -o a=b", under another name; nothing when it has what we cannot quote.
std::optional<std::string> copied_service(const Plan& plan, const std::string& name) {
    const auto& postfix = plan.host().postfix;
    if (!postfix || !sends_mail(plan.context.endpoint.service) || plan.next_hop.empty())
        return std::nullopt;
    const auto& line = postfix->smtp_service;
    constexpr std::string_view own = "smtp ";
    if (!line.starts_with(own) || !only_of(line, " ._:/@=,${}[]+-")) return std::nullopt;
    std::string copy = name;
    bool blank = true;
    for (const char c : line.substr(own.size())) {
        if (c == ' ') {
            blank = true;
            continue;
        }
        if (blank) copy += ' ';
        blank = false;
        copy += c;
    }
    return copy;
}

// The entry that sends mail through the copy. A domain is its own key; where brackets or a port
// say a host, which recipients' mail it takes is only known to who wrote it.
FileLines transport_entry(const Plan& plan, const std::string& name) {
    FileLines entry{"transport_maps", {}, true};
    if (plan.context.next_hop.mx_lookup && !plan.context.next_hop.port)
        entry.lines = {fmt::format("{} {}:{}", plan.context.next_hop.host, name, plan.next_hop)};
    else
        entry.lines = {
            fmt::format("# in the entry that sends mail to {}, the result becomes", plan.next_hop),
            fmt::format("# {}:{}", name, plan.next_hop)};
    return entry;
}

struct Setting {
    std::string name;
    std::string value;
};

std::optional<Suggestion> own_transport(const Plan& plan, SuggestionKind kind,
                                        const std::string& name,
                                        const std::vector<Setting>& settings) {
    const auto copy = copied_service(plan, name);
    if (!copy || !only_of(plan.context.next_hop.host, "._:-")) return std::nullopt;
    auto suggestion = begin(plan, kind);
    suggestion.scope = "this host's Postfix, this next hop";
    suggestion.commands = {fmt::format("postconf -M '{}/unix={}'", name, *copy)};
    FileLines master{"master.cf", {*copy}};
    for (const auto& setting : settings) {
        suggestion.commands.push_back(
            fmt::format("postconf -P '{}/unix/{}={}'", name, setting.name, setting.value));
        master.lines.push_back(fmt::format("    -o {}={}", setting.name, setting.value));
    }
    suggestion.commands.emplace_back("postfix reload");
    suggestion.files = {transport_entry(plan, name), std::move(master)};
    suggestion.verify = {fmt::format("postconf -P {}/unix", name)};
    suggestion.undo = {"# take the entry out of transport_maps again",
                       fmt::format("postconf -MX {}/unix", name), "postfix reload"};
    return suggestion;
}

// It carries, in each direction that is ill here, more than what passes here.
bool cures(const CleanWay& way, const Plan& plan) {
    const bool inbound = !plan.inbound() || (way.inbound && *way.inbound > plan.mtu);
    const bool outbound = !plan.outbound() || (way.outbound && *way.outbound > plan.mtu);
    return inbound && outbound;
}

std::string way_in_words(const CleanWay& way) {
    std::string text;
    if (way.inbound) text += fmt::format("{} bytes from the server", way.inbound->bytes);
    if (way.outbound)
        text += fmt::format("{}{} bytes to it", text.empty() ? "" : " and ", way.outbound->bytes);
    return text;
}

}  // namespace

std::optional<Suggestion> bind_address(const Plan& plan) {
    const auto& ways = plan.context.clean_ways;
    const auto& here = plan.context.evidence.vantage.source;
    const auto found = std::find_if(ways.begin(), ways.end(), [&](const CleanWay& way) {
        return way.destination == plan.host().destination && way.source != here &&
               !way.source.is_unspecified() && way.source.family() == plan.family() &&
               cures(way, plan);
    });
    if (found == ways.end()) return std::nullopt;
    const auto source = found->source.to_string();
    auto suggestion =
        own_transport(plan, SuggestionKind::bind_address, "smtp-from-" + in_a_name(source),
                      {{plan.v6() ? "smtp_bind_address6" : "smtp_bind_address", source}});
    if (!suggestion) return suggestion;
    suggestion->why = fmt::format(
        "From {} the way to the same server is clean: it carried {}. Mail for this next hop leaves "
        "from there.",
        source, way_in_words(*found));
    suggestion->expected = fmt::format("connections to {} come from {}.", plan.destination, source);
    suggestion->verify.push_back(fmt::format("{} --source {}", probe_command(plan), source));
    suggestion->proof = fmt::format("measured from {}: {}", source, way_in_words(*found));
    suggestion->risk =
        "Works where routes follow the source address (ip rule). That address has to be in the "
        "SPF record, with a name of its own.";
    return suggestion;
}

std::optional<Suggestion> address_family(const Plan& plan) {
    const auto& ways = plan.context.clean_ways;
    const auto found = std::find_if(ways.begin(), ways.end(), [&](const CleanWay& way) {
        return way.destination.family() != plan.family() && cures(way, plan);
    });
    const bool both = postfix_value(plan, "inet_protocols").value_or("all").find("all") == 0;
    if (found == ways.end() || plan.context.next_hop.literal || !both) return std::nullopt;
    const std::string family = plan.v6() ? "ipv4" : "ipv6";
    auto suggestion = own_transport(plan, SuggestionKind::address_family, "smtp-" + family,
                                    {{"smtp_address_preference", family}});
    if (!suggestion) return suggestion;
    suggestion->why = fmt::format(
        "Over {} the way to {} is clean: it carried {}. For this next hop alone Postfix tries it "
        "first; the other one stays in use.",
        plan.v6() ? "IPv4" : "IPv6", found->destination.to_string(), way_in_words(*found));
    suggestion->expected =
        fmt::format("Postfix's log has deliveries to {}.", found->destination.to_string());
    suggestion->verify.push_back(
        fmt::format("{} {}", probe_command(plan), plan.v6() ? "-4" : "-6"));
    suggestion->proof =
        fmt::format("measured to {}: {}", found->destination.to_string(), way_in_words(*found));
    suggestion->risk = "When that family fails too, mail goes the ill way again.";
    return suggestion;
}

// Not a cure: a delivery that will not succeed ends sooner, so that it holds up less other mail.
std::optional<Suggestion> patient_transport(const Plan& plan) {
    const auto id = plan.diagnosis.id;
    if ((id != DiagnosisId::peer_stall && id != DiagnosisId::greeting_timeout) || plan.host().own)
        return std::nullopt;
    auto suggestion = own_transport(plan, SuggestionKind::patient_transport, "smtp-impatient",
                                    {{"smtp_connect_timeout", "15s"},
                                     {"smtp_helo_timeout", "60s"},
                                     {"smtp_starttls_timeout", "60s"}});
    if (!suggestion) return suggestion;
    suggestion->why =
        "No cure, that is the server's part: its mail gets a transport of its own with shorter "
        "time-outs, so that connections which say nothing hold up no other mail for five minutes "
        "each.";
    suggestion->expected = "other mail leaves while this next hop stalls.";
    suggestion->risk =
        "A server that needs longer than a minute is given up too early (RFC 5321 section 4.5.3.2 "
        "asks for five). To be undone when the server answers again.";
    return suggestion;
}

}  // namespace postfathom
