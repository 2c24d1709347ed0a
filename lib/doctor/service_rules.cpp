// SPDX-License-Identifier: Apache-2.0
// Our own sockets and daemons, and the log that they read.
#include <fmt/format.h>

#include <algorithm>

#include "lib/doctor/rules.hpp"

namespace postfathom {

namespace {

// path_resolution(7): root may all, then owner, then group, then the others.
bool may(const FileMode& file, const Account& account, std::uint32_t wanted) {
    if (account.user == 0) return true;
    std::uint32_t bits = file.mode & 07;
    if (file.user == account.user)
        bits = (file.mode >> 6) & 07;
    else if (std::find(account.groups.begin(), account.groups.end(), file.group) !=
             account.groups.end())
        bits = (file.mode >> 3) & 07;
    return (bits & wanted) == wanted;
}

// The first place on the way that stops this account: directories want "x", the last one `wanted`.
const FileMode* obstacle(const std::vector<FileMode>& way, const Account& account,
                         std::uint32_t wanted) {
    for (std::size_t i = 0; i < way.size(); ++i)
        if (!may(way[i], account, i + 1 == way.size() ? wanted : 01)) return &way[i];
    return nullptr;
}

constexpr std::uint32_t to_read = 04;
constexpr std::uint32_t to_connect = 02;  // unix(7)

void examine_permission(const SocketFacts& socket, const Account& postfix, Findings& findings) {
    const auto* stopped = obstacle(socket.way, postfix, to_connect);
    if (stopped == nullptr) return;
    const bool itself = stopped->path == socket.path;
    findings.push_back(
        {"socket-permission",
         Severity::warning,
         fmt::format("Postfix's user {} may not connect to {}: {} has mode {:04o}", postfix.name,
                     socket.path, itself ? "it" : stopped->path, stopped->mode),
         "Postfix's services drop all groups but the user's own, so that being in a group of the "
         "socket is not enough. Each question fails, and mail goes on without an answer.",
         {fmt::format("chgrp {} {}", postfix.name, stopped->path),
          fmt::format("chmod {} {}", itself ? "g+rw" : "g+x", stopped->path),
          itself ? "# to keep it: socket_mode = \"0660\" and a directory with the set-group-id bit "
                   "(tmpfiles.d of Postfathom)"
                 : "# to keep it: tmpfiles.d(5)"}});
}

std::string in_words(const SocketFacts& socket) {
    switch (socket.state) {
        case SocketState::absent:
            return "there is no " + socket.path;
        case SocketState::no_socket:
            return socket.path + " is no socket";
        case SocketState::dead:
            return "nobody listens on " + socket.path;
        case SocketState::denied:
            return "may not look at " + socket.path;
        case SocketState::listens:
            return socket.path + " answers";
    }
    return socket.path;
}

bool is_below(const std::string& path, const std::string& directory) {
    return path.rfind(directory + '/', 0) == 0;
}

void examine_socket(const SocketFacts& socket, const DoctorFacts& facts, Findings& findings) {
    if (socket.state == SocketState::denied) {
        findings.push_back({"socket",
                            Severity::unknown,
                            fmt::format("{} ({})", in_words(socket), socket.setting),
                            "Ask as root, or as a member of the group postfathom.",
                            {}});
        return;
    }
    if (socket.state != SocketState::listens) {
        const bool said = std::any_of(findings.begin(), findings.end(), [&](const Finding& each) {
            return each.id == "daemon-down" && each.what.rfind(socket.daemon + ' ', 0) == 0;
        });
        if (said) return;
        findings.push_back(
            {"daemon-down",
             Severity::warning,
             fmt::format("{} does not run: {} ({})", socket.daemon, in_words(socket),
                         socket.setting),
             socket.for_postfix
                 ? "Mail goes on without it; deferrals and messages get no diagnosis."
                 : "Nothing is probed, and what is known ages to no opinion.",
             {fmt::format("systemctl enable --now {}", socket.daemon),
              fmt::format("journalctl -u {} -e   # if it ended", socket.daemon)}});
        return;
    }
    if (!socket.for_postfix) return;
    if (facts.postfix_account) examine_permission(socket, *facts.postfix_account, findings);
    if (!facts.postfix) return;
    const auto& queue = facts.postfix->value("queue_directory");
    const bool locked_up =
        any_chrooted(*facts.postfix, "smtpd") || any_chrooted(*facts.postfix, "smtp");
    if (locked_up && !is_below(socket.path, queue))
        findings.push_back(
            {"socket-outside-chroot",
             Severity::warning,
             fmt::format("{} is outside of {}, and Postfix's services are chrooted there",
                         socket.path, queue),
             "They cannot reach it.",
             {fmt::format("# {} = \"{}/run/postfathom/{}\" in postfathom.toml", socket.setting,
                          queue, socket.path.substr(socket.path.rfind('/') + 1))}});
}

}  // namespace

void examine_sockets(const std::vector<SocketFacts>& sockets, const DoctorFacts& facts,
                     Findings& findings) {
    const auto before = findings.size();
    // All absent: it is not set up yet, which is one thing to say and not five.
    const bool nothing = std::all_of(sockets.begin(), sockets.end(), [](const SocketFacts& each) {
        return each.state == SocketState::absent;
    });
    if (nothing) {
        findings.push_back({"daemons",
                            Severity::notice,
                            "none of Postfathom's daemons runs",
                            "`postfathom probe` works without them; Postfix is told nothing.",
                            {"systemctl enable --now postfathom-probed postfathom-policyd "
                             "postfathom-milter"}});
        return;
    }
    for (const auto& socket : sockets) examine_socket(socket, facts, findings);
    if (findings.size() == before)
        findings.push_back({"daemons",
                            Severity::ok,
                            "the daemons run, and Postfix may connect to their sockets",
                            "",
                            {}});
}

void examine_log(const LogFacts& log, const DoctorFacts& facts, Findings& findings) {
    if (log.path.empty()) return;
    if (!log.exists) {
        findings.push_back({"log-missing",
                            Severity::warning,
                            "there is no mail log " + log.path,
                            "Failed deliveries start no probe, and deferrals get no diagnosis.",
                            {"# mail_log.file in postfathom.toml, or mail_log.source = \"journal\" "
                             "where no syslog "
                             "daemon writes files"}});
        return;
    }
    if (!facts.prober || !facts.prober->account) return;
    const auto& account = *facts.prober->account;
    const auto* stopped = obstacle(log.way, account, to_read);
    if (stopped == nullptr) {
        findings.push_back({"log",
                            Severity::ok,
                            fmt::format("{} can be read by {}", log.path, account.name),
                            "",
                            {}});
        return;
    }
    findings.push_back(
        {"log-unreadable",
         Severity::warning,
         fmt::format("postfathom-probed, which runs as {}, may not read {}: {} has mode {:04o}",
                     account.name, log.path, stopped->path == log.path ? "it" : stopped->path,
                     stopped->mode),
         "Failed deliveries start no probe, and deferrals get no diagnosis.",
         {fmt::format("chgrp adm {0} && chmod g+r {0}", log.path),
          fmt::format("usermod -aG adm {}   # where it is not in that group, then restart it",
                      account.name)}});
}

void examine_prober(const DaemonFacts& prober, Findings& findings) {
    if (prober.version == POSTFATHOM_VERSION || prober.version.empty()) {
        findings.push_back({"versions", Severity::ok, "Postfathom " POSTFATHOM_VERSION, "", {}});
        return;
    }
    findings.push_back(
        {"versions",
         Severity::warning,
         fmt::format("this command is Postfathom {}, and postfathom-probed {}", POSTFATHOM_VERSION,
                     prober.version),
         "A daemon that was not restarted after an upgrade.",
         {"systemctl restart postfathom-probed postfathom-policyd postfathom-milter"}});
}

}  // namespace postfathom
