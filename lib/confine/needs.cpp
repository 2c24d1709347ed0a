// SPDX-License-Identifier: Apache-2.0
#include "lib/confine/needs.hpp"

#include <algorithm>

namespace postfathom {

namespace {

Place file_at(const std::string& path, Access access = Access::read) {
    return {path, access, true, true};
}
Place directory_at(const std::string& path, Access access) { return {path, access, false, true}; }
Place of_system(const char* path, Access access = Access::read) {
    return {path, access, false, false};
}

std::string directory_of(const std::string& path) {
    return path.substr(0, std::max<std::size_t>(path.rfind('/'), 1));
}

void add(Needs& needs, std::vector<Place> more) {
    for (auto& place : more)
        if (!place.path.empty() &&
            std::find(needs.places.begin(), needs.places.end(), place) == needs.places.end())
            needs.places.push_back(std::move(place));
}

Needs common_needs(const std::string& file) {
    // The time of day in log lines.
    return {{file_at(file), of_system("/etc/localtime"), of_system("/usr/share/zoneinfo")}};
}

void add_programs(Needs& needs, const Surroundings& surroundings) {
    needs.programs = true;
    for (const auto* path : {"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64"})
        add(needs, {of_system(path, Access::run)});
    for (const auto& path : surroundings.program_directories)
        add(needs, {of_system(path.c_str(), Access::run)});
    add(needs, {of_system("/etc/ld.so.cache"), of_system("/etc/ld.so.preload"),
                of_system("/dev/null", Access::device), of_system("/proc")});
}

void add_mail_log(Needs& needs, const Settings::MailLog& log, const Surroundings& surroundings) {
    if (!log.journal) return add(needs, {file_at(log.file)});
    add_programs(needs, surroundings);
    // journalctl(1), systemd-journald(8).
    for (const auto* path : {"/etc/machine-id", "/run/log/journal", "/var/log/journal",
                             "/run/systemd", "/etc/systemd"})
        add(needs, {of_system(path)});
}

}  // namespace

Needs policyd_needs(const Settings& settings, const std::string& file,
                    const Surroundings& surroundings) {
    auto needs = common_needs(file);
    add(needs, {directory_at(settings.cache.directory, Access::share)});
    for (const auto* socket :
         {&settings.policy.socket, &settings.dsn.socket, &settings.tables.socket})
        if (!socket->empty()) add(needs, {directory_at(directory_of(*socket), Access::remove)});
    add_mail_log(needs, settings.mail_log, surroundings);
    return needs;
}

Needs milter_needs(const Settings& settings, const std::string& file) {
    auto needs = common_needs(file);
    add(needs, {directory_at(settings.cache.directory, Access::share),
                directory_at(directory_of(settings.milter.socket), Access::remove)});
    return needs;
}

Needs probed_needs(const Settings& settings, const std::string& file,
                   const Surroundings& surroundings) {
    auto needs = common_needs(file);
    needs.network = true;
    add(needs, {directory_at(settings.cache.directory, Access::keep)});
    add_mail_log(needs, settings.mail_log, surroundings);
    add(needs, {file_at(settings.mail_log.dovecot_file), file_at(settings.probe.ca_file),
                file_at(settings.tls.trust_anchor), file_at("/etc/resolv.conf")});
    // postconf(1) and postmap(1), who sets interfaces up, accounts by name.
    add_programs(needs, surroundings);
    for (const auto* path : {"/etc", "/run/systemd", "/run/resolvconf", "/run/NetworkManager",
                             "/var/lib/postfix", "/var/spool/postfix", "/var/lib/sss",
                             "/var/lib/extrausers", "/dev/random", "/dev/urandom"})
        add(needs, {of_system(path)});
    for (const auto& path : surroundings.directories) add(needs, {of_system(path.c_str())});
    for (const auto& path : surroundings.files) add(needs, {file_at(path)});
    return needs;
}

std::vector<std::string> paths_in(std::string_view value) {
    constexpr std::string_view ends = " \t\r\n,{}";
    std::vector<std::string> paths;
    for (auto at = value.find('/'); at != value.npos; at = value.find('/', at)) {
        const auto end = std::min(value.find_first_of(ends, at), value.size());
        // "inet:host:port/..." has none, and "a/b" is relative to what we do not know.
        if (at == 0 || value[at - 1] == ':' || ends.find(value[at - 1]) != ends.npos)
            paths.emplace_back(value.substr(at, end - at));
        at = end;
    }
    return paths;
}

}  // namespace postfathom
