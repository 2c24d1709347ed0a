// SPDX-License-Identifier: Apache-2.0
// The command line of `postfathom`: each command adds itself in a function of its own. The only
// file that includes CLI11, which is heavy.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "cli/commands.hpp"
#include "lib/base/text.hpp"
#include "lib/config/load.hpp"

namespace {

using namespace postfathom;

struct Command {
    CLI::App* app = nullptr;
    std::function<int(const Settings&)> run;
    bool needs_settings = true;
    bool for_monitoring = false;  // what it could not do is a 3
};

struct CommandLine {
    CLI::App app{"Sounds the path that mail takes: path MTU and TLS handshake of mail servers."};
    std::string config_file = default_config_file;
    std::vector<Command> commands;

    CLI::App* add(const std::string& name, const std::string& description,
                  std::function<int(const Settings&)> run) {
        auto* command = app.add_subcommand(name, description);
        commands.push_back({command, std::move(run)});
        return command;
    }
    const Command* chosen() const {
        for (const auto& command : commands)
            if (command.app->parsed()) return &command;
        return nullptr;
    }
};

void add_json(CLI::App* command, bool& json) { command->add_flag("--json", json, "Print JSON"); }

void add_next_hop(CLI::App* command, std::string& next_hop) {
    command->add_option("next-hop", next_hop, "As `postfathom list` prints it")->required();
}

void add_probe(CommandLine& line) {
    const auto shared = std::make_shared<ProbeOptions>();
    auto& options = *shared;
    auto* command =
        line.add("probe", "Probe a destination now and say what is wrong with the way to it",
                 [shared](const Settings& settings) { return run_probe(*shared, settings); });
    line.commands.back().for_monitoring = true;
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
                     "Send a ClientHello of so many bytes, as a program that fails does")
        ->check(CLI::Range(1, 16384));
    command->add_flag("--sizes", options.sizes,
                      "Ask with requests of sizes that middleboxes are known to drop");
    command->add_option("--source", options.source, "Local address to probe from");
    auto* v4 = command->add_flag("-4", options.v4, "IPv4 only");
    command->add_flag("-6", options.v6, "IPv6 only")->excludes(v4);
    command->add_option("--timeout", options.timeout, "Most time for one server, such as 90s");
    command->add_flag("--json", options.json, "Print the report as JSON");
    command->footer(
        "Exit status: 0 healthy or a notice, 1 warning, 2 critical, 3 could not tell. With\n"
        "--compare the worst of the open ports counts; closed ones only when all are.\n"
        "Needs no daemon and no privileges; sends no mail.\n\n"
        "Examples:\n"
        "  postfathom probe example.org\n"
        "  postfathom probe '[mail.example.org]:587' --json\n"
        "  postfathom probe --compare mail.example.org");
}

void add_show(CommandLine& line) {
    const auto options = std::make_shared<ShowOptions>();
    auto* command =
        line.add("show", "Show what postfathom-probed knows of a next hop",
                 [options](const Settings& settings) { return run_show(*options, settings); });
    add_next_hop(command, options->next_hop);
    add_json(command, options->json);
    command->footer(
        "A recipient's domain stands for the next hop that its mail goes to.\n\n"
        "Examples:\n"
        "  postfathom show example.org\n"
        "  postfathom show --json '[mail.example.org]:587'");
}

void add_list(CommandLine& line) {
    const auto options = std::make_shared<ShowOptions>();
    auto* command =
        line.add("list", "List the next hops that are known", [options](const Settings& settings) {
            return options->clients ? run_list_clients(*options, settings)
                                    : run_list(*options, settings);
        });
    command->add_flag(
        "--clients", options->clients,
        "List the networks that mail comes from instead, with their sessions of one to two days");
    command->add_flag("--names", options->names, "Print nothing but the next hops");
    add_json(command, options->json);
    command->footer(
        "With severity, how old that is (fresh, stale: still used, expired: says nothing any "
        "more),\n"
        "since when, and the verdict.\n\n"
        "Examples:\n"
        "  postfathom list\n"
        "  postfathom list --clients --json");
}

void add_watch(CommandLine& line) {
    const auto options = std::make_shared<ShowOptions>();
    auto* command =
        line.add("watch", "Print probes and changed verdicts as they happen",
                 [options](const Settings& settings) { return run_watch(*options, settings); });
    add_json(command, options->json);
    command->footer(
        "Until it is interrupted, or the daemon ends.\n\n"
        "Examples:\n"
        "  postfathom watch\n"
        "  postfathom watch --json >>events.json");
}

void add_log(CommandLine& line) {
    const auto options = std::make_shared<LogOptions>();
    auto* command =
        line.add("log", "Say what a past mail log tells of each destination, and what to probe",
                 [options](const Settings&) { return run_log(*options); });
    line.commands.back().needs_settings = false;
    command
        ->add_option("file", options->file,
                     "The log, or - for standard input (zcat FILE | postfathom log -)")
        ->required();
    add_json(command, options->json);
    command->footer(
        "Reads Postfix's and Dovecot's lines as postlogd, syslog and `journalctl -o short-iso` "
        "write\n"
        "them. A log proves nothing about a path: what it says is suspected, a probe tells.\n\n"
        "Examples:\n"
        "  postfathom log /var/log/mail.log\n"
        "  zcat /var/log/mail.log.2.gz | postfathom log -");
}

void add_verify(CommandLine& line) {
    const auto options = std::make_shared<VerifyOptions>();
    auto* command =
        line.add("verify", "Probe a next hop again after a fix, and say what has changed",
                 [options](const Settings& settings) { return run_verify(*options, settings); });
    line.commands.back().for_monitoring = true;
    add_next_hop(command, options->next_hop);
    command->add_option("--timeout", options->timeout, "Most time to wait for the probe")
        ->capture_default_str();
    add_json(command, options->json);
    command->footer(
        "Compares with what postfathom-probed knew before: handshake, path MTU in both "
        "directions,\n"
        "large packets, lost packets.\n"
        "Exit status: 0 mended, or never ill; 1 warning, 2 critical, 3 could not tell.\n\n"
        "Examples:\n"
        "  postfathom verify example.org\n"
        "  postfathom verify --json '[mail.example.org]:587'");
}

void add_forget(CommandLine& line) {
    const auto options = std::make_shared<ShowOptions>();
    auto* command =
        line.add("forget", "Delete what postfathom-probed knows of a next hop",
                 [options](const Settings& settings) { return run_forget(*options, settings); });
    add_next_hop(command, options->next_hop);
    add_json(command, options->json);
    command->footer(
        "The next failure in the mail log, or a person, has it probed anew.\n\n"
        "Examples:\n"
        "  postfathom forget example.org");
}

void add_status(CommandLine& line) {
    const auto options = std::make_shared<StatusOptions>();
    auto* command =
        line.add("status", "Say whether the daemons are there, what they know, and alarms",
                 [options](const Settings& settings) { return run_status(*options, settings); });
    add_json(command, options->json);
    command->footer(
        "Exit status: 0, or 69 when postfathom-probed cannot be asked.\n\n"
        "Examples:\n"
        "  postfathom status\n"
        "  postfathom status --json");
}

void add_check(CommandLine& line) {
    const auto options = std::make_shared<CheckOptions>();
    auto* command =
        line.add("check", "One line and exit status for Nagios, Icinga and their like",
                 [options](const Settings& settings) { return run_check(*options, settings); });
    line.commands.back().for_monitoring = true;
    command->add_option("destination", options->destination, "A next hop, or a recipient's domain")
        ->required();
    command->add_option("-w,--warning", options->warning,
                        "Warn when a handshake takes so many seconds: a range such as 2 or 0.5:5");
    command->add_option("-c,--critical", options->critical, "Likewise critical");
    command
        ->add_option("-t,--timeout", options->timeout,
                     "Seconds to wait for postfathom-probed, or with --probe for each server")
        ->capture_default_str();
    command->add_flag("--probe", options->probe,
                      "Probe from this process, in place of asking what is known");
    add_json(command, options->json);
    command->footer(
        "Exit status: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN, with performance data. The option "
        "-c\n"
        "for a configuration file comes before the word check.\n\n"
        "Examples:\n"
        "  postfathom check example.org\n"
        "  postfathom check -w 2 -c 5 '[mail.example.org]:587'\n"
        "  postfathom check --probe -t 30 example.org");
}

void add_queue(CommandLine& line) {
    const auto options = std::make_shared<QueueOptions>();
    auto* command =
        line.add("queue", "Say why mail is stuck: the queue by next hop, each of which is probed",
                 [options](const Settings& settings) { return run_queue(*options, settings); });
    command->add_option("--file", options->file,
                        "What `postqueue -j` printed, or - for standard input; otherwise "
                        "postqueue is asked");
    command->add_option("--postfix-config", options->config_directory,
                        "Configuration directory of the Postfix instance (postqueue -c)");
    command->add_flag("--no-probe", options->no_probe, "Show only what is known already");
    command
        ->add_option("--most", options->most, "Next hops to probe, those with most messages first")
        ->capture_default_str()
        ->check(CLI::Range(0, 10'000));
    command->add_option("--timeout", options->timeout, "Most time to wait for one probe")
        ->capture_default_str();
    add_json(command, options->json);
    command->footer(
        "postfathom-probed probes and remembers; while it is down the groups are shown without a\n"
        "diagnosis, with exit status 69. Where a server said no, nothing is probed, nor where\n"
        "transport_maps or a sender's own relay may lead elsewhere than a recipient's domain.\n"
        "Where mail goes is asked of the Postfix of this host, with --file too.\n\n"
        "Examples:\n"
        "  postfathom queue\n"
        "  postfathom queue --no-probe --json\n"
        "  postqueue -j | postfathom queue --file -");
}

void add_explain(CommandLine& line) {
    const auto options = std::make_shared<ExplainOptions>();
    auto* command = line.add(
        "explain", "Tell the story of a message in the queue, or of a next hop, with the evidence",
        [options](const Settings& settings) { return run_explain(*options, settings); });
    command
        ->add_option("next-hop-or-queue-id", options->subject,
                     "As `postfathom list` or `postqueue -p` prints it")
        ->required();
    command->add_option("--log", options->log,
                        "Read this log, or - for standard input, for the message");
    command->add_option("--postfix-config", options->config_directory,
                        "Configuration directory of the Postfix instance, for its times");
    add_json(command, options->json);
    command->footer(
        "Asks postfathom-probed. Of a message that it does not know, or when it is not running, "
        "the\n"
        "end of the mail log is read (64 MiB, with the file that was rotated last).\n"
        "Exit status: 0 told, 1 nothing is known, 69 postfathom-probed is not running.\n\n"
        "Examples:\n"
        "  postfathom explain 4bLmZk0Z2Sz1Y\n"
        "  postfathom explain example.org\n"
        "  zcat /var/log/mail.log.2.gz | postfathom explain 45952A7814D --log -");
}

void add_suggest(CommandLine& line) {
    const auto options = std::make_shared<SuggestOptions>();
    auto* command =
        line.add("suggest", "Print what would mend the way to a next hop, as text or ready to run",
                 [options](const Settings& settings) { return run_suggest(*options, settings); });
    add_next_hop(command, options->next_hop);
    command
        ->add_option("--format", options->format,
                     "text and json: all, best first; sh: a script for this host; nft: rules for "
                     "nft -f; postfix: lines for its tables")
        ->capture_default_str();
    command->add_option("--kind", options->kind, "Only this kind, such as route-mtu");
    command->add_flag("--undo", options->undo, "Print what takes it back (sh and nft)");
    add_json(command, options->json);
    command->footer(
        "Suggestions are alternatives: sh and nft have the best one of their form, or the one of\n"
        "--kind. Each says whether it is proven, by a counter-probe under the same limit. Nothing\n"
        "is applied, and nothing makes TLS weaker. Exit status: 0 printed, 1 there is none or the\n"
        "next hop is not known, 69 postfathom-probed is not running.\n\n"
        "Examples:\n"
        "  postfathom suggest example.org\n"
        "  postfathom suggest example.org --format sh | sudo sh\n"
        "  postfathom suggest example.org --kind mss-clamp-nft --format nft");
}

void add_doctor(CommandLine& line) {
    const auto options = std::make_shared<DoctorOptions>();
    auto* command =
        line.add("doctor", "Look at this host and say what makes mail hang, and how to mend it",
                 [options](const Settings& settings) { return run_doctor(*options, settings); });
    line.commands.back().for_monitoring = true;
    command->add_option("--postfix-config", options->config_directory,
                        "Configuration directory of another Postfix instance");
    add_json(command, options->json);
    command->footer(
        "Changes nothing and probes nothing. Works without the daemons, without Postfix and as "
        "any\n"
        "user; says what it could not read. Exit status: 0 in order or a notice, 1 warning, 2\n"
        "critical, 3 nothing could be read.\n\n"
        "Examples:\n"
        "  sudo postfathom doctor\n"
        "  postfathom doctor --json");
}

void add_setup(CommandLine& line) {
    const auto options = std::make_shared<SetupOptions>();
    auto* command =
        line.add("setup", "Print or set the lines by which Postfix asks Postfathom",
                 [options](const Settings& settings) { return run_setup(*options, settings); });
    command
        ->add_option("--hooks", options->hooks,
                     "Which: policy, milter, tags; on request tls and ehlo, which fail closed")
        ->capture_default_str();
    auto* apply = command->add_flag("--apply", options->apply,
                                    "Set them, by postconf, and keep copies of the files");
    auto* undo = command->add_flag("--undo", options->undo, "Take them out again")->excludes(apply);
    command->add_option("--postfix-config", options->config_directory,
                        "Configuration directory of another Postfix instance");
    command->add_flag("--json", options->json, "Print JSON")->excludes(apply)->excludes(undo);
    command->footer(
        "Adds to lists and replaces nothing; a second time it finds nothing to do. Where services\n"
        "of master.cf have such a list of their own, it is theirs that is added to. Undo puts the\n"
        "files back to the byte, or takes out only what is Postfathom's where they were edited\n"
        "since. Postfix is not reloaded.\n\n"
        "Examples:\n"
        "  postfathom setup\n"
        "  sudo postfathom setup --hooks tags --apply\n"
        "  sudo postfathom setup --undo");
}

void add_config(CommandLine& line) {
    struct Options {
        std::string file;
        bool json = false;
    };
    const auto options = std::make_shared<Options>();
    auto* command = line.app.add_subcommand("config", "Check or show the configuration");
    command->require_subcommand(1);
    auto* check =
        command->add_subcommand("check", "Check a file; exit status 78 when it has faults");
    check->add_option("file", options->file, "The file; without it that of -c, or the usual one");
    auto* show = command->add_subcommand("show", "Print every setting with its effective value");
    add_json(show, options->json);
    check->footer("");  // not that of the command
    show->footer("");
    command->footer(
        "Faults of a file are told with line, what was found and what was expected. A setting "
        "that\n"
        "no file has is shown with its default.\n\n"
        "Examples:\n"
        "  postfathom config check /etc/postfathom/postfathom.toml\n"
        "  postfathom config show");
    line.commands.push_back({check,
                             [options, &line](const Settings&) {
                                 return run_config_check(options->file.empty() ? line.config_file
                                                                               : options->file);
                             },
                             false});
    line.commands.push_back({show, [options](const Settings& settings) {
                                 return run_config_show(settings, options->json);
                             }});
}

// Of a command line that is wrong.
std::string what_to_do(const CommandLine& line, const CLI::ParseError& error) {
    const auto named = line.app.get_subcommands();
    std::string name = "postfathom";
    if (!named.empty()) name += " " + named.front()->get_name();
    std::string what = error.what();
    if (const auto left = line.app.remaining(); named.empty() && !left.empty())
        what = fmt::format("there is no command \"{}\"", printable(left.front()));
    else if (named.empty() && error.get_name() == "RequiredError")
        what = "which command? When mail is stuck: postfathom queue";
    return fmt::format("{}: {}\nMore: {} --help\n", name, what, name);
}

int run(const CommandLine& line) {
    const auto* command = line.chosen();
    if (command == nullptr) return EX_USAGE;
    if (!command->needs_settings) return command->run({});
    const auto settings = load_settings_or_defaults(line.config_file);
    if (settings) return command->run(*settings);
    fmt::print(stderr, "{}\n", settings.error().message);
    return command->for_monitoring ? exit_could_not_tell : EX_CONFIG;
}

}  // namespace

int main(int argc, char** argv) {
    CommandLine line;
    line.app.set_version_flag("--version", "postfathom " POSTFATHOM_VERSION);
    line.app.add_option("-c,--config", line.config_file, "Configuration file")
        ->capture_default_str();
    line.app.require_subcommand(1);
    line.app.fallthrough();
    line.app.footer(
        "When mail is stuck: postfathom queue\n"
        "More of a command, with examples: postfathom COMMAND --help, and postfathom(1)");
    add_queue(line);
    add_probe(line);
    add_verify(line);
    add_check(line);
    add_status(line);
    add_show(line);
    add_forget(line);
    add_list(line);
    add_watch(line);
    add_log(line);
    add_explain(line);
    add_suggest(line);
    add_doctor(line);
    add_setup(line);
    add_config(line);
    try {
        line.app.parse(argc, argv);
    } catch (const CLI::Success& asked) {  // --help, --version
        return line.app.exit(asked);
    } catch (const CLI::ParseError& error) {
        fmt::print(stderr, "{}", what_to_do(line, error));
        const auto* command = line.chosen();
        return command != nullptr && command->for_monitoring ? exit_could_not_tell : EX_USAGE;
    }
    return run(line);
}
