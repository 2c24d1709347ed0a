// SPDX-License-Identifier: Apache-2.0
#include "cli/doctor_facts.hpp"

#include <fmt/format.h>
#include <grp.h>
#include <pwd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>

#include "cli/daemon_answer.hpp"
#include "cli/daemon_socket.hpp"
#include "lib/base/program.hpp"
#include "lib/base/text.hpp"
#include "lib/doctor/links.hpp"
#include "lib/doctor/nft_ruleset.hpp"
#include "lib/net/admin_client.hpp"
#include "lib/postfix/read_configuration.hpp"

namespace postfathom {

namespace {

constexpr ProgramLimits program_limits{std::chrono::seconds{10}, std::size_t{16} << 20};
constexpr std::chrono::seconds daemon_limit{5};
constexpr std::size_t most_of_a_file = 4096;

// What the program prints when it ends well. Debian keeps some where users do not look.
Result<std::string> output_of(const std::vector<std::string>& words) {
    std::string printed;
    auto ended =
        run_program(words, program_limits, [&](std::string_view piece) { printed += piece; });
    if (!ended && ended.error().code == ErrorCode::not_found && words.front().front() != '/') {
        auto in_sbin = words;
        in_sbin.front() = "/usr/sbin/" + words.front();
        return output_of(in_sbin);
    }
    if (!ended) return tl::make_unexpected(ended.error());
    if (ended->cut)
        return fail(ErrorCode::timed_out, words.front() + ": too slow, or too much to say");
    if (ended->status != 0)
        return fail(ErrorCode::refused, words.front() + ": " + printable(trim(ended->error), 200));
    return printed;
}

std::string start_of(const std::string& path) {
    std::ifstream file(path);
    std::string text(most_of_a_file, '\0');
    file.read(text.data(), static_cast<std::streamsize>(text.size()));
    text.resize(static_cast<std::size_t>(file.gcount()));
    return text;
}

std::vector<std::int64_t> numbers_in(const std::string& path) {
    std::vector<std::int64_t> numbers;
    std::istringstream words(start_of(path));
    for (std::int64_t number = 0; words >> number;) numbers.push_back(number);
    return numbers;
}

std::optional<std::int64_t> number_in(const std::string& path) {
    const auto numbers = numbers_in(path);
    if (numbers.empty()) return std::nullopt;
    return numbers.front();
}

void read_links(DoctorFacts& facts) {
    const auto links = output_of({"ip", "-json", "-details", "link", "show"});
    auto interfaces = links ? parse_links(*links) : tl::make_unexpected(links.error());
    if (!interfaces) {
        facts.unread.push_back({"interfaces and routes", interfaces.error().message});
        return;
    }
    LinkFacts found{std::move(*interfaces), {}};
    for (const auto* family : {"-4", "-6"})
        for (const auto* what : {"table", "cache"}) {
            std::vector<std::string> words{"ip", family, "-oneline", "route", "show", what};
            if (std::string_view(what) == "table") words.emplace_back("all");
            // A host without IPv6 has no such routes.
            const auto routes = output_of(words);
            if (!routes) continue;
            for (auto& route : parse_routes(*routes)) found.routes.push_back(std::move(route));
        }
    facts.links = std::move(found);
}

void read_kernel(DoctorFacts& facts) {
    const std::string root = "/proc/sys/net/ipv4/";
    KernelFacts kernel;
    kernel.tcp_mtu_probing = number_in(root + "tcp_mtu_probing");
    kernel.no_pmtu_disc = number_in(root + "ip_no_pmtu_disc");
    kernel.forwarding = number_in(root + "ip_forward");
    const auto groups = numbers_in(root + "ping_group_range");
    if (groups.size() == 2) kernel.ping_groups = {groups[0], groups[1]};
    if (!kernel.tcp_mtu_probing)
        facts.unread.push_back({"kernel settings", root + " has no tcp_mtu_probing"});
    facts.kernel = kernel;
}

void add_iptables(Firewall& firewall, DoctorFacts& facts) {
    for (const auto family : {IpFamily::v4, IpFamily::v6}) {
        const auto* program = family == IpFamily::v4 ? "iptables-save" : "ip6tables-save";
        const auto printed = output_of({program});
        if (!printed) {
            facts.unread.push_back({"rules of iptables", printed.error().message});
            continue;
        }
        for (auto& chain : parse_iptables(*printed, family).chains)
            firewall.chains.push_back(std::move(chain));
    }
}

// Rules of the old kernel interface are not in nft's list; loaded modules tell whether any exist.
bool has_legacy_tables() {
    return !trim(start_of("/proc/net/ip_tables_names")).empty() ||
           !trim(start_of("/proc/net/ip6_tables_names")).empty();
}

void read_firewall(DoctorFacts& facts) {
    constexpr auto what = "the firewall's rules";
    const auto printed = output_of({"nft", "--json", "list", "ruleset"});
    if (::geteuid() != 0 && (!printed || trim(*printed).empty())) {
        facts.unread.push_back({what, "only root may: sudo postfathom doctor"});
        return;
    }
    if (!printed && printed.error().code != ErrorCode::not_found) {
        facts.unread.push_back({what, printed.error().message});
        return;
    }
    Firewall firewall;
    bool ask_iptables = !printed || has_legacy_tables();
    if (printed) {
        auto ruleset = parse_nft_ruleset(*printed);
        if (!ruleset) {
            facts.unread.push_back({what, ruleset.error().message});
            return;
        }
        firewall = std::move(ruleset->firewall);
        ask_iptables |= ruleset->has_iptables_rules;
    }
    if (ask_iptables) add_iptables(firewall, facts);
    facts.firewall = std::move(firewall);
}

std::optional<Account> account_of(const std::string& name) {
    // One thread reads: the shared answer of getpwnam(3) is ours.
    const auto* user = name.empty() ? nullptr : ::getpwnam(name.c_str());
    if (user == nullptr) return std::nullopt;
    return Account{name, user->pw_uid, {user->pw_gid}};
}

void read_postfix_facts(DoctorFacts& facts, const std::string& directory) {
    auto postfix = read_postfix(directory, PostfixNames::expanded);
    if (!postfix && postfix.error().code == ErrorCode::not_found) {
        facts.unread.push_back({"Postfix's settings", "there is no postconf: no Postfix here?"});
        return;
    }
    if (!postfix) {
        facts.unread.push_back({"Postfix's settings", postfix.error().message});
        return;
    }
    // Postfix's services have the groups of the user itself and no others (set_ugid.c).
    facts.postfix_account = account_of(postfix->value("mail_owner"));
    facts.postfix = std::move(*postfix);
}

// From "/" to `path`; ends where the next one cannot be seen.
std::vector<FileMode> way_to(const std::string& path) {
    constexpr std::uint32_t permissions = 0777;
    std::vector<FileMode> way;
    for (std::size_t end = 0; end != std::string::npos;) {
        end = path.find('/', end + 1);
        const auto part = path.substr(0, end);
        struct stat status{};
        if (::stat(part.c_str(), &status) != 0) break;
        if (way.empty() && part != "/") {
            struct stat root{};
            if (::stat("/", &root) == 0)
                way.push_back({"/", root.st_uid, root.st_gid, root.st_mode & permissions});
        }
        way.push_back({part, status.st_uid, status.st_gid, status.st_mode & permissions});
    }
    return way;
}

void read_sockets(DoctorFacts& facts, const Settings& settings) {
    constexpr auto policyd = "postfathom-policyd";
    constexpr auto probed = "postfathom-probed";
    struct Row {
        const char* setting;
        const char* daemon;
        const std::string& path;
        bool for_postfix;
        bool datagram;
    };
    const std::array<Row, 7> rows{{
        {"policy.socket", policyd, settings.policy.socket, true, false},
        {"dsn.socket", policyd, settings.dsn.socket, true, false},
        {"tables.socket", policyd, settings.tables.socket, true, false},
        {"milter.socket", "postfathom-milter", settings.milter.socket, true, false},
        {"tlsrpt.socket", probed, settings.tlsrpt.socket, true, true},
        {"notice.socket", probed, settings.notice.socket, false, true},
        {"admin.socket", probed, settings.admin.socket, false, false},
    }};
    facts.sockets.emplace();
    for (const auto& row : rows)
        if (!row.path.empty())
            facts.sockets->push_back({row.setting, row.daemon, row.path, row.for_postfix,
                                      socket_state(row.path, row.datagram), way_to(row.path)});
}

// The process behind a socket, with the groups that it has now.
std::optional<Account> account_behind(const std::string& path) {
    const auto socket = connect_to_daemon(path, SOCK_STREAM);
    ucred peer{};
    socklen_t length = sizeof peer;
    if (socket.error != 0 ||
        ::getsockopt(socket.connection.get(), SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0)
        return std::nullopt;
    Account account{"user " + std::to_string(peer.uid), peer.uid, {peer.gid}};
    if (const auto* user = ::getpwuid(peer.uid); user != nullptr) account.name = user->pw_name;
    std::istringstream lines(start_of(fmt::format("/proc/{}/status", peer.pid)));
    for (std::string line; std::getline(lines, line);) {
        if (line.rfind("Groups:", 0) != 0) continue;
        std::istringstream groups(line.substr(line.find(':') + 1));
        for (std::uint32_t group = 0; groups >> group;) account.groups.push_back(group);
    }
    return account;
}

void read_prober(DoctorFacts& facts, const Settings& settings) {
    const auto& socket = settings.admin.socket;
    const auto answer = admin_request(socket, "GET", "/v1/status", "", daemon_limit);
    if (!answer || answer->status != 200) return;  // the socket's own finding says so
    DaemonFacts prober;
    prober.version = text(parse_answer(answer->body), "version");
    prober.account = account_behind(socket);
    facts.prober = std::move(prober);
}

void read_log(DoctorFacts& facts) {
    const auto& file = facts.own.log_file;
    if (file.empty()) return;
    LogFacts log{file, false, way_to(file)};
    struct stat status{};
    if (::stat(log.path.c_str(), &status) != 0 && errno == EACCES) {
        facts.unread.push_back({"the mode of " + log.path, "its directory is closed to this user"});
        return;
    }
    log.exists = !log.way.empty() && log.way.back().path == log.path;
    facts.log = std::move(log);
}

}  // namespace

SocketState socket_state(const std::string& path, bool datagram) {
    struct stat status{};
    if (::stat(path.c_str(), &status) != 0)
        return errno == EACCES ? SocketState::denied : SocketState::absent;
    if (!S_ISSOCK(status.st_mode)) return SocketState::no_socket;
    const auto socket = connect_to_daemon(path, datagram ? SOCK_DGRAM : SOCK_STREAM);
    if (socket.listens()) return SocketState::listens;
    if (socket.error == ENAMETOOLONG) return SocketState::absent;
    return socket.error == EACCES || !socket.connection ? SocketState::denied : SocketState::dead;
}

OwnPlaces own_places(const Settings& settings) {
    OwnPlaces own;
    own.policy_socket = settings.policy.socket;
    if (settings.policy.listen) own.policy_listen = to_string(*settings.policy.listen);
    own.dsn_socket = settings.dsn.socket;
    own.tables_socket = settings.tables.socket;
    own.milter_socket = settings.milter.socket;
    if (!settings.mail_log.journal) own.log_file = settings.mail_log.file;
    return own;
}

DoctorFacts read_doctor_facts(const Settings& settings, const std::string& postfix_directory) {
    DoctorFacts facts;
    facts.own = own_places(settings);
    read_links(facts);
    read_kernel(facts);
    read_firewall(facts);
    read_postfix_facts(facts, postfix_directory);
    read_sockets(facts, settings);
    read_prober(facts, settings);
    read_log(facts);
    return facts;
}

}  // namespace postfathom
