// SPDX-License-Identifier: Apache-2.0
// The server is this host: what its own smtpd(8) has to be set to. TLS 1.2 stays the least.
#include <fmt/core.h>

#include <algorithm>

#include "lib/base/text.hpp"
#include "lib/suggestion/families.hpp"
#include "lib/suggestion/postfix_words.hpp"

namespace postfathom {
namespace {

// Whether a value of smtpd_tls_protocols keeps out TLS 1.2 or 1.3 though it lets one of them, or
// what is older, in: an exclusion, an upper bound, or a list that lacks one. A lower bound does
// not; raising it is no repair of a mismatch, lowering it never suggested.
bool leaves_out_new_protocols(std::string_view value) {
    const auto text = to_lower(value);
    if (text.find("!tlsv1.2") != std::string::npos || text.find("!tlsv1.3") != std::string::npos ||
        text.find("<=") != std::string::npos)
        return true;
    const bool bounded = text.find(">=") != std::string::npos;
    const bool excludes = text.find('!') != std::string::npos;
    const bool names_both =
        text.find("tlsv1.2") != std::string::npos && text.find("tlsv1.3") != std::string::npos;
    return !bounded && !excludes && !trim(text).empty() && !names_both;
}

// A setting of main.cf whose old value is not for printing: undone by the file as it was.
void set_with_backup(Suggestion& suggestion, const std::string& directory,
                     const std::vector<std::string>& lines) {
    const auto main_cf = directory + "/main.cf";
    const auto kept = main_cf + ".before-postfathom";
    suggestion.commands = {fmt::format("cp -p {} {}", main_cf, kept)};
    for (const auto& line : lines)
        suggestion.commands.push_back(fmt::format("postconf -e '{}'", line));
    suggestion.commands.emplace_back("postfix reload");
    suggestion.files = {{"main.cf", lines}};
    suggestion.undo = {fmt::format("mv {} {}", kept, main_cf), "postfix reload"};
}

Suggestion begin_own(const Plan& plan) {
    auto suggestion = begin(plan, SuggestionKind::own_server);
    suggestion.scope = "this host's Postfix, all clients";
    suggestion.verify = {probe_command(plan)};
    return suggestion;
}

std::optional<Suggestion> protocols(const Plan& plan, const std::string& directory) {
    std::vector<std::string> lines;
    for (const auto* name : {"smtpd_tls_protocols", "smtpd_tls_mandatory_protocols"})
        if (leaves_out_new_protocols(postfix_value(plan, name).value_or("")))
            lines.push_back(fmt::format("{} = {}", name, to_string(LeastProtocol::tls12)));
    if (lines.empty()) return std::nullopt;
    auto suggestion = begin_own(plan);
    suggestion.why =
        "This host's own server keeps out protocols that clients of today speak. With this it "
        "takes TLS 1.2 and all that is newer.";
    set_with_backup(suggestion, directory, lines);
    suggestion.expected = "clients with TLS 1.2 or 1.3 complete the handshake.";
    suggestion.risk =
        "Clients that know nothing newer than TLS 1.1 (RFC 8996) have no TLS with this server.";
    return suggestion;
}

// certbot(1) writes both: cert.pem is the server's certificate alone.
std::optional<Suggestion> whole_chain(const Plan& plan) {
    const auto file = postfix_value(plan, "smtpd_tls_cert_file").value_or("");
    const std::string name = "/cert.pem";
    if (!safe_path(file) || !file.ends_with(name)) return std::nullopt;
    const auto whole = file.substr(0, file.size() - name.size()) + "/fullchain.pem";
    auto suggestion = begin_own(plan);
    suggestion.why =
        "This host's own server sends its certificate without the intermediate one, since "
        "smtpd_tls_cert_file names cert.pem. fullchain.pem beside it has both.";
    const auto line = "smtpd_tls_cert_file = " + whole;
    suggestion.commands = {"test -s " + whole, fmt::format("postconf -e '{}'", line),
                           "postfix reload"};
    suggestion.files = {{"main.cf", {line}}};
    suggestion.expected = "clients that check certificates trust this server.";
    suggestion.undo = {fmt::format("postconf -e 'smtpd_tls_cert_file = {}'", file),
                       "postfix reload"};
    suggestion.risk = "The server sends some kilobytes more in each handshake.";
    return suggestion;
}

}  // namespace

std::optional<Suggestion> own_server(const Plan& plan) {
    if (!plan.host().own || !sends_mail(plan.context.endpoint.service)) return std::nullopt;
    const auto directory = postfix_value(plan, "config_directory").value_or("");
    if (!safe_path(directory)) return std::nullopt;
    switch (plan.diagnosis.id) {
        case DiagnosisId::tls_protocol_mismatch:
        case DiagnosisId::tls_no_shared_cipher:
            return protocols(plan, directory);
        case DiagnosisId::certificate_incomplete_chain:
            return whole_chain(plan);
        default:
            return std::nullopt;
    }
}

}  // namespace postfathom
