// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/other_servers.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>

#include "lib/base/descriptor.hpp"

namespace postfathom::bench {

namespace {

namespace fs = std::filesystem;

int run(const fs::path& root, const fs::path& log, const std::vector<std::string>& command) {
    const Descriptor output(::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
    ::dup2(output.get(), STDOUT_FILENO);
    ::dup2(output.get(), STDERR_FILENO);
    ::setenv("PYTHONPATH", (root / "usr/lib/python3/dist-packages").c_str(), 1);
    ::setenv("PYTHONDONTWRITEBYTECODE", "1", 1);
    std::vector<char*> arguments;
    for (const auto& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
    arguments.push_back(nullptr);
    ::execvp(arguments[0], arguments.data());
    return 127;
}

std::string program(const fs::path& root, const char* path) {
    std::error_code ignored;
    if (fs::exists(root / path, ignored)) return root / path;
    if (fs::exists(fs::path("/") / path, ignored)) return fs::path("/") / path;
    return {};
}

OtherServer policyd_rate_limit(const fs::path& root, const fs::path& scratch) {
    OtherServer server{"policyd-rate-limit", true, scratch / "rate/policy", {}, 2.5, {}};
    const auto found = program(root, "usr/bin/policyd-rate-limit");
    if (found.empty()) return server;
    const auto config = scratch / "rate.yaml";
    // Nobody is authenticated and nothing else is limited: it answers without a query.
    std::ofstream(config) << "debug: False\nuser: \"root\"\ngroup: \"root\"\npidfile: \""
                          << (scratch / "rate/pid").string()
                          << "\"\nsqlite_config:\n    database: \""
                          << (scratch / "rate/db.sqlite3").string() << "\"\nbackend: 0\nSOCKET: \""
                          << server.place
                          << "\"\nsocket_permission: 0600\nlimit_by_sasl: True\n"
                             "limit_by_sender: False\nlimit_by_ip: False\n";
    fs::create_directories(scratch / "rate");
    server.work = [=] {
        return run(root, scratch / "rate.log", {"python3", found, "--file", config});
    };
    return server;
}

OtherServer postgrey(const fs::path& root, const fs::path& scratch) {
    OtherServer server{"postgrey", true, scratch / "postgrey.sock", {}, 10, {}};
    const auto found = program(root, "usr/sbin/postgrey");
    if (found.empty()) return server;
    fs::create_directories(scratch / "postgrey");
    fs::permissions(scratch / "postgrey", fs::perms::all);
    const auto lists = fs::exists(root / "etc/postgrey") ? root / "etc/postgrey" : "/etc/postgrey";
    server.work = [=] {
        return run(root, scratch / "postgrey.log",
                   {"perl", "-T", "-I" + (root / "usr/share/perl5").string(),
                    "-I" + (root / "usr/lib/x86_64-linux-gnu/perl5/5.36").string(), found,
                    "--unix=" + (scratch / "postgrey.sock").string(),
                    "--dbdir=" + (scratch / "postgrey").string(), "--user=root", "--group=root",
                    "--quiet", "--whitelist-clients=" + (lists / "whitelist_clients").string(),
                    "--whitelist-recipients=" + (lists / "whitelist_recipients").string()});
    };
    return server;
}

OtherServer postfwd(const fs::path& root, const fs::path& scratch) {
    OtherServer server{"postfwd", true, "127.0.0.1:18462", {}, 10, {}};
    const auto found = program(root, "usr/sbin/postfwd1");
    if (found.empty()) return server;
    // One rule that needs nothing looked up, and no log.
    std::ofstream(scratch / "postfwd.cf") << "id=NONE; action=dunno\n";
    // It listens only as a daemon, in a process that it forks. Told that it is that one already, it
    // stays the process that we started, and end.
    const auto start =
        fmt::format("no warnings; *Net::Server::safe_fork = sub {{ 0 }}; do '{}' or die $@", found);
    server.work = [=] {
        return run(
            root, scratch / "postfwd.log",
            {"perl", "-T", "-I" + (root / "usr/share/perl5").string(),
             "-I" + (root / "usr/lib/x86_64-linux-gnu/perl5/5.36").string(), "-MNet::Server", "-e",
             start, "--", "--daemon", "--perfmon", "--nodns", "--norulelog", "--norulestats",
             "--file=" + (scratch / "postfwd.cf").string(), "--interface=127.0.0.1", "--port=18462",
             "--user=root", "--group=root", "--pidfile=" + (scratch / "postfwd.pid").string()});
    };
    return server;
}

// A policy for each of our domains, in the cache that its Debian package is set up with, so that it
// asks nobody.
bool fill_policies(const fs::path& scratch, int destinations) {
    std::ofstream(scratch / "mta-sts.sql")
        << "create table sts_policy_cache (domain text, ts integer, pol_id text, pol_body text);\n"
           "create unique index sts_policy_domain on sts_policy_cache (domain);\n"
           "with recursive n(i) as (select 0 union all select i + 1 from n where i < "
        << destinations - 1
        << ")\ninsert into sts_policy_cache select 'd' || i || '.example.org', strftime('%s', "
           "'now'), '1', '{\"version\": \"STSv1\", \"mode\": \"enforce\", \"max_age\": 604800, "
           "\"mx\": [\"mx.example.net\"]}' from n;\n";
    const auto command = fmt::format(
        "sqlite3 '{0}/mta-sts.db' <'{0}/mta-sts.sql' >'{0}/sqlite.log' 2>&1", scratch.string());
    return std::system(command.c_str()) == 0;  // NOLINT: our own words
}

OtherServer mta_sts(const fs::path& root, const fs::path& scratch, int destinations) {
    OtherServer server{"postfix-mta-sts-resolver", false, "127.0.0.1:18461", {}, 10, {}};
    const auto found = program(root, "usr/bin/mta-sts-daemon");
    if (found.empty()) return server;
    if (!fill_policies(scratch, destinations)) {
        server.why_not = "its cache cannot be filled; it takes the package sqlite3";
        return server;
    }
    const auto config = scratch / "mta-sts.yml";
    std::ofstream(config) << "host: 127.0.0.1\nport: 18461\ncache_grace: 1000000\ncache:\n"
                             "  type: sqlite\n  options:\n    filename: \""
                          << (scratch / "mta-sts.db").string()
                          << "\"\ndefault_zone:\n  timeout: 4\n";
    server.work = [=] {
        return run(root, scratch / "mta-sts.log", {"python3", found, "-c", config});
    };
    return server;
}

}  // namespace

std::vector<OtherServer> other_servers(const fs::path& unpacked, const fs::path& scratch,
                                       int destinations) {
    std::vector<OtherServer> all{policyd_rate_limit(unpacked, scratch), postgrey(unpacked, scratch),
                                 postfwd(unpacked, scratch),
                                 mta_sts(unpacked, scratch, destinations)};
    for (auto& server : all)
        if (!server.work && server.why_not.empty())
            server.why_not = fmt::format(
                "neither installed nor unpacked in {}; `contrib/install-dependencies "
                "bench` unpacks it",
                unpacked.string());
    return all;
}

}  // namespace postfathom::bench
