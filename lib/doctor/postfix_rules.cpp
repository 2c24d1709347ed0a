// SPDX-License-Identifier: Apache-2.0
// Postfix's TLS level and what it logs.
#include <fmt/format.h>

#include "lib/diagnosis/tls_floor.hpp"
#include "lib/doctor/rules.hpp"

namespace postfathom {

namespace {

void examine_level(const PostfixConfiguration& postfix, Findings& findings) {
    const auto& written = postfix.value("smtp_tls_security_level");
    const auto level = parse_tls_level(written);
    if (!level || *level == TlsLevel::none) {
        findings.push_back({"clear-text",
                            Severity::warning,
                            written.empty()
                                ? "smtp_tls_security_level is empty: mail goes out without TLS"
                                : "smtp_tls_security_level is such that mail goes out without TLS",
                            "Anyone on the way can read it.",
                            {"postfix tls enable-client", "postfix reload"}});
        return;
    }
    if (*level > TlsLevel::may) {
        findings.push_back(
            {"tls-level",
             Severity::ok,
             fmt::format("smtp_tls_security_level is {}: no mail in clear text", to_string(*level)),
             "",
             {}});
        return;
    }
    const bool held = postfix.value("smtp_tls_policy_maps").find("postfathom") != std::string::npos;
    findings.push_back(
        {"clear-text-fall-back",
         held ? Severity::notice : Severity::warning,
         fmt::format("smtp_tls_security_level is may{}: a message whose handshake failed goes in "
                     "clear text once it is older than minimal_backoff_time ({})",
                     held ? ", held up by Postfathom's table" : "",
                     postfix.value("minimal_backoff_time")),
         "A path that loses large packets turns TLS off in this way, at the second attempt, and "
         "Postfix says nothing about it.",
         {"# for the next hops that have TLS, a line `example.org encrypt` in smtp_tls_policy_maps",
          "# or table tls of Postfathom, which does it where TLS has worked (README, \"TLS that "
          "holds\")"}});
}

void examine_log_level(const PostfixConfiguration& postfix, Findings& findings) {
    const auto& level = postfix.value("smtp_tls_loglevel");
    if (!level.empty() && level != "0") {
        findings.push_back(
            {"tls-log-level", Severity::ok, "smtp_tls_loglevel is " + level, "", {}});
        return;
    }
    findings.push_back(
        {"tls-log-level",
         Severity::notice,
         "smtp_tls_loglevel is 0",
         "A delivery over TLS and one in clear text look alike in the log, so that nobody, and not "
         "Postfathom either, sees that a handshake works again or that mail went in clear text.",
         {"postconf -e smtp_tls_loglevel=1", "postfix reload"}});
}

void examine_log_file(const PostfixConfiguration& postfix, const DoctorFacts& facts,
                      Findings& findings) {
    const auto& written_to = postfix.value("maillog_file");
    const auto& read = facts.own.log_file;
    if (written_to.empty()) return;
    if (read != written_to) {
        findings.push_back(
            {"log-place",
             Severity::warning,
             fmt::format("Postfix logs to {}, and Postfathom reads {}", written_to,
                         read.empty() ? "the journal" : read),
             "Failed deliveries start no probe, and deferrals get no diagnosis.",
             {fmt::format("# [mail_log] in postfathom.toml: source = \"file\", file = \"{}\"",
                          written_to)}});
        return;
    }
    for (const auto& service : postfix.services)
        if (service.program == "postlogd") return;
    findings.push_back({"log-service",
                        Severity::warning,
                        "maillog_file is set and master.cf has no service postlog",
                        "Postfix needs postlogd(8) to write that file.",
                        {"postconf -M postlog/unix-dgram=\"postlog unix-dgram n - n - 1 postlogd\"",
                         "postfix reload"}});
}

}  // namespace

void examine_postfix(const PostfixConfiguration& postfix, const DoctorFacts& facts,
                     Findings& findings) {
    examine_level(postfix, findings);
    examine_log_level(postfix, findings);
    examine_log_file(postfix, facts, findings);
    constexpr PostfixVersion oldest{3, 0};
    const auto& written = postfix.value("mail_version");
    if (parse_postfix_version(written) < oldest)
        findings.push_back({"postfix-version",
                            Severity::warning,
                            "this is Postfix " + written,
                            "Since 3.0 a single milter or policy service can be told to fail open, "
                            "and there is smtp_delivery_status_filter.",
                            {}});
    else
        findings.push_back({"postfix-version", Severity::ok, "Postfix " + written, "", {}});
}

}  // namespace postfathom
