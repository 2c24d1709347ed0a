// SPDX-License-Identifier: Apache-2.0
// How Postfix speaks to this server: lines of its tables, and settings of main.cf.
#include <fmt/core.h>

#include <algorithm>
#include <array>

#include "lib/base/text.hpp"
#include "lib/suggestion/families.hpp"
#include "lib/suggestion/postfix_words.hpp"

namespace postfathom {
namespace {

constexpr std::string_view take_out = "# take the line out of the table again";

// Where a line belongs: the first file that main.cf has for it, or one to be made.
struct LineTable {
    std::string map;    // TYPE:FILE, as postmap(1) and main.cf have it; empty: not known here
    std::string words;  // what is to be done there
};

LineTable table_for(const Plan& plan, const std::string& parameter) {
    const auto value = postfix_value(plan, parameter);
    if (!value) return {};
    if (value->empty()) {
        const std::string file = parameter == "smtp_tls_policy_maps" ? "/etc/postfix/tls_policy"
                                                                     : "/etc/postfix/ehlo_discards";
        return {"texthash:" + file,
                fmt::format(" {0} is empty now: put the line into {1}, then postconf -e "
                            "'{0} = texthash:{1}' and postfix reload.",
                            parameter, file)};
    }
    constexpr std::array indexed{"hash", "btree", "lmdb", "cdb", "dbm", "texthash"};
    for (const std::string_view type : indexed) {
        const auto prefix = std::string(type) + ":";
        for (auto item : split(*value, ' ')) {
            item = trim(item);
            while (item.ends_with(',')) item.remove_suffix(1);
            if (!item.starts_with(prefix)) continue;
            const auto file = item.substr(prefix.size());
            if (!safe_path(file)) continue;
            return {std::string(item),
                    type == "texthash"
                        ? fmt::format(" The table is {}; after a change: postfix reload.", file)
                        : fmt::format(" The table is {}; after a change: postmap {}.", file, item)};
        }
    }
    return {};
}

// What the table says afterwards. Of several tables postmap(1) takes one at a time.
std::string ask_table(const LineTable& table, const std::string& parameter, std::string_view key) {
    if (table.map.empty())
        return fmt::format(
            "for map in $(postconf -hx {} | tr ',' ' '); do postmap -q {} \"$map\"; done",
            parameter, key);
    return fmt::format("postmap -q {} {}", key, table.map);
}

// What Postfix needs to work at the level that is published; empty when it has it.
std::string needed_for(const Plan& plan, TlsLevel level) {
    if (level == TlsLevel::dane || level == TlsLevel::dane_only) {
        const auto dns = postfix_value(plan, "smtp_dns_support_level");
        if (dns == "dnssec") return "";
        return fmt::format(
            " Before it, or Postfix cannot use these records and mail waits: "
            "smtp_dns_support_level "
            "= dnssec{}, and a name server on this host that validates.",
            dns ? fmt::format(" (now {})", dns->empty() ? "empty" : printable(*dns, 32)) : "");
    }
    if (level != TlsLevel::secure) return "";
    const auto file = postfix_value(plan, "smtp_tls_CAfile");
    const auto path = postfix_value(plan, "smtp_tls_CApath");
    if (file != "" || path != "") return "";
    return " Before it: smtp_tls_CApath or smtp_tls_CAfile, which are both empty now.";
}

// The owner's word for the level that is suggested, and what it needs.
std::string published_word(const Plan& plan, SuggestedLevel raised) {
    const auto& published = plan.context.published;
    if (published.says.empty() || raised.level() != published.level) return "";
    return fmt::format(
        " The domain publishes {}: every sender is free to hold mail for it to {}.{}",
        published.says, to_string(published.level), needed_for(plan, published.level));
}

}  // namespace

std::optional<Suggestion> tls_policy(const Plan& plan) {
    const auto& published = plan.context.published;
    const auto wanted = std::max(TlsLevel::encrypt, published.level);
    const auto raised = SuggestedLevel::raise(plan.context.floor, wanted);
    if (!raised || plan.next_hop.empty() || !sends_mail(plan.context.endpoint.service) ||
        plan.host().own)
        return std::nullopt;
    auto suggestion = begin(plan, SuggestionKind::tls_policy);
    suggestion.form = SuggestionForm::postfix_line;
    suggestion.table = "smtp_tls_policy_maps";
    const auto level = to_string(raised->level());
    suggestion.scope =
        "this host's Postfix, this next hop; a line for the table of smtp_tls_policy_maps";
    const bool opportunistic = plan.context.floor.level() == TlsLevel::may;
    suggestion.why =
        !opportunistic ? fmt::format(
                             "Now {} is in force. With {} a certificate that somebody slips in is "
                             "noticed. Beside the mended path, not in place of it.",
                             to_string(plan.context.floor.level()), level)
        : plan.diagnosis.id == DiagnosisId::starttls_stripped
            ? fmt::format(
                  "At the opportunistic level Postfix sends mail IN CLEAR TEXT while "
                  "STARTTLS is taken away. With {} it waits until TLS is there again.",
                  level)
            : fmt::format(
                  "At the opportunistic level Postfix tries again IN CLEAR TEXT once a message "
                  "with a failed handshake is older than minimal_backoff_time. With {} it waits "
                  "for TLS instead. Beside the mended path, not in place of it.",
                  level);
    suggestion.why += published_word(plan, *raised);
    const auto table = table_for(plan, suggestion.table);
    suggestion.why += table.words;
    suggestion.commands = {policy_line(plan.next_hop, *raised, published.match)};
    suggestion.expected =
        fmt::format("the level goes from {} to {}: no message leaves without TLS.",
                    to_string(plan.context.floor.level()), level);
    suggestion.verify = {ask_table(table, suggestion.table, shell_word(plan.next_hop))};
    suggestion.undo = {std::string(take_out)};
    suggestion.risk = "Mail to this next hop waits, and returns in the end, while TLS fails.";
    if (raised->level() > TlsLevel::encrypt)
        suggestion.risk +=
            " So it does while the certificate is not what is published; the probe did not compare "
            "them: posttls-finger shows whether they agree.";
    return suggestion;
}

// Commands sent one by one have other sizes than a group of them. No cure: a single one may have
// the size that fails as well.
std::optional<Suggestion> no_pipelining(const Plan& plan) {
    if (!sends_mail(plan.context.endpoint.service) || plan.host().destination.is_unspecified())
        return std::nullopt;
    auto suggestion = begin(plan, SuggestionKind::no_pipelining);
    suggestion.form = SuggestionForm::postfix_line;
    suggestion.table = "smtp_discard_ehlo_keyword_address_maps";
    suggestion.scope =
        "this host's Postfix, this server; a line for the table of "
        "smtp_discard_ehlo_keyword_address_maps";
    suggestion.why =
        "Postfix then sends SMTP commands one at a time, so that no group of them has a size that "
        "fails. It costs a round trip per command. To be taken back once the device that loses "
        "these sizes is mended; tell the operator of the server which sizes they are.";
    const auto table = table_for(plan, suggestion.table);
    suggestion.why += table.words;
    suggestion.commands = {discard_line(plan.destination, DiscardedKeyword::pipelining)};
    suggestion.expected = "Postfix's log has no time-out in the conversation with this server.";
    suggestion.verify = {ask_table(table, suggestion.table, plan.destination)};
    suggestion.undo = {std::string(take_out)};
    suggestion.risk = "A single command can have a size that fails, too. TLS is not touched.";
    return suggestion;
}

// A resumed session has no certificates to send, and these are what does not fit.
std::optional<Suggestion> session_cache(const Plan& plan) {
    const auto& handshake = plan.context.evidence.handshake;
    if (!plan.inbound() || !handshake || handshake->resumes != true ||
        !sends_mail(plan.context.endpoint.service) ||
        postfix_value(plan, "smtp_tls_session_cache_database") != "")
        return std::nullopt;
    auto suggestion = begin(plan, SuggestionKind::session_cache);
    suggestion.scope = "this host's Postfix, every server";
    suggestion.why =
        "A mitigation, no cure: smtp_tls_session_cache_database is empty, and a handshake that "
        "resumes a session went through here at full size, because no certificates are sent in "
        "it. The first handshake still needs a path that carries them.";
    constexpr std::string_view line =
        "smtp_tls_session_cache_database = btree:${data_directory}/smtp_scache";
    suggestion.commands = {fmt::format("postconf -e '{}'", line), "postfix reload"};
    suggestion.files = {{"main.cf", {std::string(line)}}};
    suggestion.expected = "deliveries soon after one that succeeded go through over TLS.";
    suggestion.verify = {"postconf smtp_tls_session_cache_database"};
    suggestion.undo = {"postconf -X smtp_tls_session_cache_database", "postfix reload"};
    suggestion.risk = "It hides the fault for as long as sessions are remembered (an hour).";
    suggestion.proven = false;
    suggestion.proof = "one resumed handshake went through while full ones stalled";
    return suggestion;
}

}  // namespace postfathom
