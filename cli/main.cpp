// SPDX-License-Identifier: Apache-2.0
// The command line of `postfathom`. The only file that includes CLI11, which is heavy.
#include <fmt/core.h>

#include <CLI/CLI.hpp>

#include "cli/commands.hpp"
#include "lib/config/load.hpp"

namespace {

using namespace postfathom;

constexpr int exit_could_not_tell = 3;  // of `probe`, as monitoring plugins have it

struct CommandLine {
    std::string config_file = default_config_file;
    std::string checked_file;
    ProbeOptions probe;
    ShowOptions show;
    LogOptions log;

    CLI::App app{"Sounds the path that mail takes: path MTU and TLS handshake of mail servers."};
    CLI::App* probe_command = nullptr;
    CLI::App* show_command = nullptr;
    CLI::App* list_command = nullptr;
    CLI::App* watch_command = nullptr;
    CLI::App* log_command = nullptr;
    CLI::App* config_command = nullptr;
    CLI::App* config_check_command = nullptr;
    CLI::App* config_show_command = nullptr;
};

void add_probe(CommandLine& line) {
    auto* command = line.app.add_subcommand(
        "probe", "Probe a destination now and say what is wrong with the way to it");
    auto& options = line.probe;
    command
        ->add_option(
            "destination", options.destination,
            "A next hop as Postfix spells it (example.org, [mail.example.org]:587), a host or "
            "an address")
        ->required();
    command
        ->add_option("--service", options.services,
                     "smtp, submission, smtps, imap or imaps (by port otherwise)")
        ->allow_extra_args(false);
    command->add_option("--port", options.ports, "TCP port")
        ->allow_extra_args(false)
        ->check(CLI::Range(1, 65535));
    command->add_flag("--compare", options.compare,
                      "Probe the host's services side by side, over IPv4 and IPv6: all five, or "
                      "those of repeated --service and --port");
    command->add_option("--name", options.name,
                        "Name to send as SNI and to check the certificate against");
    command->add_option("--ca-file", options.ca_file, "PEM file with trust anchors");
    command
        ->add_option("--hello-bytes", options.hello_bytes,
                     "send a ClientHello of so many bytes, as a program that fails does")
        ->check(CLI::Range(1, 16384));
    command->add_flag("--sizes", options.sizes,
                      "ask with requests of sizes that middleboxes are known to drop");
    command->add_option("--source", options.source, "Local address to probe from");
    auto* v4 = command->add_flag("-4", options.v4, "IPv4 only");
    command->add_flag("-6", options.v6, "IPv6 only")->excludes(v4);
    command->add_option("--timeout", options.timeout, "Most time for one server, such as 90s");
    command->add_flag("--json", options.json, "Print the report as JSON");
    command->footer(
        "Exit status: 0 healthy or a notice, 1 warning, 2 critical, 3 could not tell. With\n"
        "--compare the worst of the open ports counts; closed ones only when all are.\n"
        "Needs no daemon and no privileges; sends no mail.");
    line.probe_command = command;
}

void add_show(CommandLine& line) {
    line.show_command =
        line.app.add_subcommand("show", "Show what postfathom-probed knows of a next hop");
    line.show_command->add_option("next-hop", line.show.next_hop, "As `postfathom list` prints it")
        ->required();
    line.list_command = line.app.add_subcommand("list", "List the next hops that are known");
    line.list_command->add_flag(
        "--clients", line.show.clients,
        "List the networks that mail comes from instead, with their sessions of one to two days");
    line.watch_command =
        line.app.add_subcommand("watch", "Print probes and changed verdicts as they happen");
    for (auto* command : {line.show_command, line.list_command, line.watch_command})
        command->add_flag("--json", line.show.json, "Print JSON");
}

void add_log(CommandLine& line) {
    line.log_command = line.app.add_subcommand(
        "log", "Say what a past mail log tells of each destination, and what to probe");
    line.log_command
        ->add_option("file", line.log.file,
                     "The log, or - for standard input (zcat FILE | postfathom log -)")
        ->required();
    line.log_command->add_flag("--json", line.log.json, "Print JSON");
    line.log_command->footer(
        "Reads Postfix's and Dovecot's lines as postlogd, syslog and `journalctl -o short-iso` "
        "write\n"
        "them. A log proves nothing about a path: what it says is suspected, a probe tells.");
}

void add_config(CommandLine& line) {
    line.config_command = line.app.add_subcommand("config", "Check or show the configuration");
    line.config_command->require_subcommand(1);
    line.config_check_command = line.config_command->add_subcommand(
        "check", "Check a file; exit status 78 when it has faults");
    line.config_check_command->add_option("file", line.checked_file, "The file")->required();
    line.config_show_command =
        line.config_command->add_subcommand("show", "Print every setting with its effective value");
}

int run(const CommandLine& line) {
    if (*line.config_command && *line.config_check_command)
        return run_config_check(line.checked_file);
    if (*line.log_command) return run_log(line.log);
    const auto settings = load_settings_or_defaults(line.config_file);
    if (!settings) {
        fmt::print(stderr, "{}\n", settings.error().message);
        return *line.probe_command ? exit_could_not_tell : exit_config;
    }
    if (*line.probe_command) return run_probe(line.probe, *settings);
    if (*line.show_command) return run_show(line.show, *settings);
    if (*line.list_command)
        return line.show.clients ? run_list_clients(line.show, *settings)
                                 : run_list(line.show, *settings);
    if (*line.watch_command) return run_watch(line.show, *settings);
    return run_config_show(*settings);
}

}  // namespace

int main(int argc, char** argv) {
    CommandLine line;
    line.app.set_version_flag("--version", "postfathom " POSTFATHOM_VERSION);
    line.app.add_option("-c,--config", line.config_file, "Configuration file")
        ->capture_default_str();
    line.app.require_subcommand(1);
    line.app.fallthrough();
    add_probe(line);
    add_show(line);
    add_log(line);
    add_config(line);
    try {
        line.app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        const bool asked_for_help = line.app.exit(error) == 0;
        if (asked_for_help) return 0;
        return line.probe_command->parsed() ? exit_could_not_tell : exit_usage;
    }
    return run(line);
}
