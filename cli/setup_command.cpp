// SPDX-License-Identifier: Apache-2.0
// `postfathom setup`: the lines of main.cf and master.cf by which Postfix asks Postfathom; sets
// them when told to, with a backup, and takes them out again.
#include <fmt/format.h>

#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>
#include <map>
#include <set>

#include "cli/commands.hpp"
#include "cli/doctor_facts.hpp"
#include "lib/base/text.hpp"
#include "lib/postfix/configuration_files.hpp"
#include "lib/postfix/read_configuration.hpp"
#include "lib/postfix/setup.hpp"

namespace postfathom {

namespace {

int cannot(const Error& error, int status) {
    fmt::print(stderr, "postfathom setup: {}\n", error.message);
    return status;
}

Result<std::set<Hook>> hooks_of(const std::string& list) {
    std::set<Hook> hooks;
    for (const auto name : split(list, ',')) {
        const auto hook = parse_hook_name(trim(name));
        if (!hook)
            return fail(ErrorCode::invalid_input,
                        "--hooks: expected policy, milter, tags, tls or ehlo, found \"" +
                            printable(name, 40) + '"');
        hooks.insert(*hook);
    }
    return hooks;
}

// As an argument of the shell.
std::string quoted(const std::string& word) {
    std::string text = "'";
    for (const char c : word) text += c == '\'' ? std::string("'\\''") : std::string(1, c);
    return text + '\'';
}

std::string command_of(const SetupChange& change, const std::string& directory) {
    const auto arguments = postconf_arguments(change);
    std::string line = "postconf ";
    if (!directory.empty()) line += "-c " + quoted(directory) + ' ';
    return line + arguments.front() + ' ' + quoted(arguments.back());
}

std::string reload(const std::string& directory) {
    return directory.empty() ? "postfix reload" : "postfix -c " + quoted(directory) + " reload";
}

void print_changes(const SetupPlan& plan, const std::string& directory) {
    for (const auto& change : plan.changes)
        fmt::print("# {}{}\n{}\n\n", change.service.empty() ? "main.cf" : "master.cf, ",
                   change.service, command_of(change, directory));
    for (const auto& note : plan.notes) fmt::print("# Note: {}\n", note);
}

void print_bounds(const std::set<Hook>& hooks) {
    fmt::print("# What bounds the harm when Postfathom is down, or hangs:\n");
    if (hooks.contains(Hook::policy))
        fmt::print("#   policy: down, DUNNO at once; hangs, 3 s (timeout) for a recipient\n");
    if (hooks.contains(Hook::milter))
        fmt::print(
            "#   milter: down, accept at once; hangs, 3 s to connect, 5 s for a command or "
            "the content, then without it for the session\n");
    if (hooks.contains(Hook::tags))
        fmt::print(
            "#   tags: down, the text is Postfix's own; hangs, 100 s (Postfix's own, not to "
            "be set) for a recipient, the mail itself is not touched\n");
    if (hooks.contains(Hook::tls) || hooks.contains(Hook::ehlo))
        fmt::print("#   tls, ehlo: down or hanging, mail is deferred\n");
}

void print_json(const SetupPlan& plan, const std::string& directory) {
    boost::json::array changes;
    for (const auto& change : plan.changes)
        changes.push_back(boost::json::object{
            {"file", change.service.empty() ? "main.cf" : "master.cf"},
            {"service", change.service.empty() ? boost::json::value(nullptr)
                                               : boost::json::value(change.service)},
            {"parameter", change.parameter},
            {"value",
             change.unset ? boost::json::value(nullptr) : boost::json::value(change.value)},
            {"command", command_of(change, directory)}});
    boost::json::array notes;
    for (const auto& note : plan.notes) notes.emplace_back(note);
    fmt::print("{}\n", boost::json::serialize(boost::json::object{
                           {"schema", 1}, {"changes", changes}, {"notes", notes}}));
}

Result<void> make_changes(const SetupPlan& plan, const std::string& directory) {
    for (const auto& change : plan.changes)
        if (const auto done = postconf(directory, postconf_arguments(change)); !done)
            return tl::make_unexpected(done.error());
    return {};
}

Result<std::map<std::string, std::string>> default_values(const std::string& directory) {
    const auto printed = postconf(directory, {"-d"});
    if (!printed) return tl::make_unexpected(printed.error());
    return parse_parameters(*printed);
}

int undo(const SetupOptions& options, const PostfixConfiguration& written, const OwnPlaces& own) {
    const ConfigurationFiles files(written.value("config_directory"));
    if (files.unchanged_since_setup()) {
        if (const auto restored = files.restore(); !restored)
            return cannot(restored.error(), EX_UNAVAILABLE);
        fmt::print("main.cf and master.cf are as they were before.\n");
    } else {
        const auto defaults = default_values(options.config_directory);
        if (!defaults) return cannot(defaults.error(), EX_UNAVAILABLE);
        const auto plan = plan_removal(written, *defaults, own);
        if (plan.changes.empty()) {
            fmt::print("nothing of Postfathom is in main.cf and master.cf.\n");
            return 0;
        }
        if (const auto done = make_changes(plan, options.config_directory); !done)
            return cannot(done.error(), EX_UNAVAILABLE);
        fmt::print("taken out, and nothing else changed:\n\n");
        print_changes(plan, options.config_directory);
    }
    fmt::print("Now: {}\n", reload(options.config_directory));
    return 0;
}

int apply(const SetupOptions& options, const PostfixConfiguration& written, const SetupPlan& plan) {
    const ConfigurationFiles files(written.value("config_directory"));
    if (const auto kept = files.keep(); !kept) return cannot(kept.error(), EX_UNAVAILABLE);
    if (const auto done = make_changes(plan, options.config_directory); !done) {
        // Half a change is none.
        const auto back = files.take_back();
        fmt::print(stderr, "postfathom setup: {}; {}\n", done.error().message,
                   back ? "nothing is changed" : back.error().message);
        return EX_UNAVAILABLE;
    }
    if (const auto marked = files.mark_applied(); !marked)
        return cannot(marked.error(), EX_UNAVAILABLE);
    print_changes(plan, options.config_directory);
    const auto again = options.config_directory.empty()
                           ? std::string()
                           : " --postfix-config " + quoted(options.config_directory);
    fmt::print("Set. The files as they were: {}\nNow:  {}\nUndo: postfathom setup --undo{} && {}\n",
               files.backup_names(), reload(options.config_directory), again,
               reload(options.config_directory));
    return 0;
}

// A table that fails closed is not set up before it answers.
Result<void> listens(const std::string& path) {
    if (socket_state(path, false) == SocketState::listens) return {};
    return fail(ErrorCode::refused, "nobody listens on " + path +
                                        ": mail would be deferred. Start postfathom-policyd first");
}

}  // namespace

int run_setup(const SetupOptions& options, const Settings& settings) {
    const auto hooks = hooks_of(options.hooks);
    if (!hooks) return cannot(hooks.error(), EX_USAGE);
    const auto written = read_postfix(options.config_directory, PostfixNames::as_written);
    if (!written) return cannot(written.error(), EX_UNAVAILABLE);
    const auto own = own_places(settings);
    if (options.undo) return undo(options, *written, own);

    const auto plan = plan_setup(*written, own, *hooks);
    if (!plan) return cannot(plan.error(), EX_CONFIG);
    if (options.apply && (hooks->contains(Hook::tls) || hooks->contains(Hook::ehlo)))
        if (const auto there = listens(own.tables_socket); !there)
            return cannot(there.error(), EX_UNAVAILABLE);
    if (options.apply && !plan->changes.empty()) return apply(options, *written, *plan);
    if (options.json) {
        print_json(*plan, options.config_directory);
        return 0;
    }
    if (plan->changes.empty()) fmt::print("everything is set already; nothing to do.\n");
    print_changes(*plan, options.config_directory);
    if (!plan->changes.empty()) {
        print_bounds(*hooks);
        fmt::print("# then: {}\n# or let it be done, with a backup: postfathom setup --apply\n",
                   reload(options.config_directory));
    }
    return 0;
}

}  // namespace postfathom
