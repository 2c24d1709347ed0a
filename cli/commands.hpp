// SPDX-License-Identifier: Apache-2.0
// The sub-commands of `postfathom`. main.cpp reads the command line; each command is a function of
// its options that returns the exit status.
#pragma once

#include <sysexits.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "lib/config/settings.hpp"
#include "lib/diagnosis/report.hpp"

namespace postfathom {

// Statuses are sysexits(3)'s (EX_UNAVAILABLE: the daemon is not there), but for `probe` and
// `check`, which have those of monitoring plugins: 0 healthy, 1 warning, 2 critical, and this.
inline constexpr int exit_could_not_tell = 3;

struct ProbeOptions {
    std::string destination;
    std::vector<std::string> services;  // none: by port
    std::vector<std::uint16_t> ports;   // none: the next hop's, or the service's
    bool compare = false;
    std::string name;
    std::string ca_file;
    std::string source;
    std::uint32_t hello_bytes = 0;  // 0: as Postfix
    bool sizes = false;
    bool v4 = false;
    bool v6 = false;
    std::string timeout;  // a duration such as "90s"; empty: probe.timeout
    bool json = false;
};
// 0 healthy or notice, 1 warning, 2 critical, 3 could not tell (bad options too).
int run_probe(const ProbeOptions& options, const Settings& settings);
// One probe without a word on the terminal but its progress.
Result<Report> probe_once(const ProbeOptions& options, const Settings& settings);

struct ShowOptions {
    std::string next_hop;
    bool clients = false;  // list: networks that mail comes from
    bool names = false;    // list: nothing but the next hops
    bool json = false;
};
int run_show(const ShowOptions& options, const Settings& settings);
int run_forget(const ShowOptions& options, const Settings& settings);
int run_list(const ShowOptions& options, const Settings& settings);
int run_list_clients(const ShowOptions& options, const Settings& settings);
int run_watch(const ShowOptions& options, const Settings& settings);

struct LogOptions {
    std::string file;  // "-": standard input
    bool json = false;
};
int run_log(const LogOptions& options);

struct QueueOptions {
    std::string file;              // a saved listing; "-": standard input; empty: ask postqueue
    std::string config_directory;  // of the Postfix instance; empty: the default one
    std::size_t most = 50;         // next hops that are probed
    std::string timeout = "3m";    // for one probe
    bool no_probe = false;
    bool json = false;
};
int run_queue(const QueueOptions& options, const Settings& settings);

struct CheckOptions {
    std::string destination;
    std::string warning;  // ranges of seconds that a handshake takes
    std::string critical;
    std::string timeout = "10";
    bool probe = false;  // from this process
    bool json = false;
};
// 0 ok, 1 warning, 2 critical, 3 unknown.
int run_check(const CheckOptions& options, const Settings& settings);

struct StatusOptions {
    bool json = false;
};
int run_status(const StatusOptions& options, const Settings& settings);

struct VerifyOptions {
    std::string next_hop;
    std::string timeout = "5m";
    bool json = false;
};
// As run_probe: 0 when it is mended.
int run_verify(const VerifyOptions& options, const Settings& settings);

struct ExplainOptions {
    std::string subject;           // a queue id, or a next hop
    std::string log;               // read this log instead of asking; "-": standard input
    std::string config_directory;  // of the Postfix instance; empty: the default one
    bool json = false;
};
int run_explain(const ExplainOptions& options, const Settings& settings);

struct SuggestOptions {
    std::string next_hop;
    std::string format = "text";
    std::string kind;  // empty: the best
    bool undo = false;
    bool json = false;
};
int run_suggest(const SuggestOptions& options, const Settings& settings);

struct DoctorOptions {
    std::string config_directory;  // of the Postfix instance; empty: the default one
    bool json = false;
};
// 0 in order or notice, 1 warning, 2 critical, 3 nothing could be read.
int run_doctor(const DoctorOptions& options, const Settings& settings);

struct SetupOptions {
    std::string config_directory;  // of the Postfix instance; empty: the default one
    std::string hooks = "policy,milter,tags";
    bool apply = false;
    bool undo = false;
    bool json = false;
};
int run_setup(const SetupOptions& options, const Settings& settings);

int run_config_check(const std::filesystem::path& file);
int run_config_show(const Settings& settings, bool json);

}  // namespace postfathom
