// SPDX-License-Identifier: Apache-2.0
#include "lib/config/load.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <sstream>

using namespace postfathom;

namespace {

const std::filesystem::path source_dir = POSTFATHOM_SOURCE_DIR;

std::string read(const std::filesystem::path& file) {
    std::ifstream stream(file, std::ios::binary);
    REQUIRE_MESSAGE(stream, file.string());
    return {std::istreambuf_iterator<char>(stream), {}};
}

std::string faults(std::string_view toml) {
    const auto settings = parse_settings(toml, "postfathom.toml");
    return settings ? "" : settings.error().message + '\n';
}

}  // namespace

TEST_CASE("each mistake is told with file, line, column, what was found and what was expected") {
    std::set<std::string> walked;
    for (const auto& entry :
         std::filesystem::directory_iterator(source_dir / "tests/data/config")) {
        if (entry.path().extension() != ".toml") continue;
        const auto name = entry.path().stem().string();
        CAPTURE(name);
        walked.insert(name);
        auto expected = entry.path();
        expected.replace_extension(".expected");
        const auto found = faults(read(entry.path()));
        // The words of a syntax error are the TOML library's, its place is ours.
        if (name == "bad-not-toml")
            CHECK(found.substr(0, read(expected).size()) == read(expected));
        else
            CHECK(found == read(expected));
    }
    CHECK(walked.size() >= 19);
}

TEST_CASE("an empty file gives the defaults, and every setting is rendered as it was read") {
    const auto empty = parse_settings("", "empty");
    REQUIRE(empty.has_value());
    CHECK(render_settings(*empty) == render_settings(Settings{}));

    const auto changed = parse_settings(
        "[log]\ntarget=\"syslog\"\n[probe]\ntimeout=\"90s\"\n[cache]\nmax_bytes=\"1GiB\"\n"
        "[milter]\nmode=\"warn\"\n[tls]\nfloor=\"dane\"\n[policy]\nmode=\"observe\"\n",
        "changed");
    REQUIRE(changed.has_value());
    CHECK(changed->probe.timeout == std::chrono::seconds{90});
    CHECK(changed->cache.max_bytes == std::uint64_t{1} << 30);
    CHECK(changed->milter.mode == PolicyMode::warn);
    CHECK(changed->tls.floor == TlsLevel::dane);
    CHECK(changed->policy.mode == PolicyMode::observe);
    CHECK(changed->log.target == log::Target::syslog);
    const auto again = parse_settings(render_settings(*changed), "again");
    REQUIRE(again.has_value());
    CHECK(render_settings(*again) == render_settings(*changed));
    CHECK(render_settings(*changed) != render_settings(Settings{}));
}

TEST_CASE("settings that do not go together are refused where they stand") {
    const auto message = [](const std::string& text) {
        const auto loaded = parse_settings(text, "x.toml");
        return loaded ? std::string("accepted") : loaded.error().message;
    };
    CHECK(message("[dsn]\nlog_wait=\"0s\"\n") == "accepted");
    CHECK(message("[dsn]\nlog_wait=\"20ms\"\n") == "accepted");
    CHECK(message("[dsn]\nlog_wait=\"19ms\"\n").starts_with("x.toml:2:10: dsn.log_wait: expected"));
    CHECK(message("[policy]\nmode=\"tag\"\n") == "accepted");
    CHECK(message("[milter]\nmode=\"defer\"\n")
              .starts_with("x.toml:2:6: milter.mode: expected the diagnoses in defer.diagnoses"));
    CHECK(message("[CACHE]\n").starts_with("x.toml:1:2: CACHE: unknown setting"));
}

TEST_CASE("mail may be deferred only for what is named") {
    const auto settings = parse_settings(
        "[policy]\nmode=\"defer\"\n[defer]\ndiagnoses=[\"pmtu-black-hole\", \"peer-stall\"]\n"
        "next_hops=[\"Example.ORG\", \"[mail.example.net]:25\"]\n",
        "x");
    REQUIRE_MESSAGE(settings, settings.error().message);
    const auto& defer = settings->defer;
    CHECK(defer.permits(DiagnosisId::pmtu_black_hole, "example.org"));
    CHECK(defer.permits(DiagnosisId::peer_stall, "[mail.example.net]"));
    CHECK_FALSE(defer.permits(DiagnosisId::refused, "example.org"));
    CHECK_FALSE(defer.permits(DiagnosisId::peer_stall, "example.net"));
    const Settings by_default;
    for (const auto id : all_diagnosis_ids())
        CHECK_FALSE(by_default.defer.permits(id, "example.org"));
    const auto again = parse_settings(render_settings(*settings), "again");
    REQUIRE(again);
    CHECK(render_settings(*again) == render_settings(*settings));
    CHECK(faults("[policy]\nmode=\"defer\"\n").find("defer.diagnoses") != std::string::npos);
    for (const std::string id : {"healthy", "inconclusive", "pmtu-reduced", "no-such", ""})
        CHECK_MESSAGE(!faults("[defer]\ndiagnoses=[\"" + id + "\"]\n").empty(), id);
    for (const std::string hop : {"a b", "\\u0007", "*", "a..b"})
        CHECK_MESSAGE(!faults("[defer]\nnext_hops=[\"" + hop + "\"]\n").empty(), hop);
    CHECK_FALSE(faults("[defer]\ndiagnoses=\"peer-stall\"\n").empty());
    CHECK_FALSE(faults("[defer]\ndiagnoses=[1]\n").empty());
}

TEST_CASE("a route is found by its domain, then by its nearest parent, then by the star") {
    const auto settings = parse_settings(
        "[[route]]\ndomain=\"*\"\nnext_hop=\"[relay.example.net]:587\"\n"
        "[[route]]\ndomain=\"Example.org\"\nnext_hop=\"[Mail.example.org]:25\"\n"
        "[[route]]\ndomain=\".example.org\"\nnext_hop=\"192.0.2.1\"\n"
        "[[route]]\ndomain=\".b.example.org\"\nnext_hop=\"example.com\"\n",
        "x");
    REQUIRE_MESSAGE(settings, settings.error().message);
    const auto next_hop = [&](std::string_view domain) {
        const auto* route = find_route(settings->routes, domain);
        return route == nullptr ? "" : route->next_hop;
    };
    CHECK(next_hop("example.org") == "[mail.example.org]");
    CHECK(find_route(settings->routes, "example.org")->verbatim == "[Mail.example.org]:25");
    CHECK(next_hop("a.example.org") == "[192.0.2.1]");
    CHECK(next_hop("c.a.example.org") == "[192.0.2.1]");
    CHECK(next_hop("a.b.example.org") == "example.com");
    CHECK(next_hop("b.example.org") == "[192.0.2.1]");
    CHECK(next_hop("notexample.org") == "[relay.example.net]:587");
    CHECK(find_route({}, "example.org") == nullptr);
    const auto again = parse_settings(render_settings(*settings), "again");
    REQUIRE(again);
    CHECK(again->routes == settings->routes);
}

TEST_CASE("the policy socket on TCP stays on this host unless the file says otherwise") {
    const auto listen = [](const std::string& text) {
        const auto loaded = parse_settings("[policy]\n" + text, "x.toml");
        if (!loaded) return loaded.error().message;
        return loaded->policy.listen ? to_string(*loaded->policy.listen) : "none";
    };
    CHECK(listen("") == "none");
    CHECK(listen("listen=\"\"\n") == "none");
    CHECK(listen("listen=\"127.0.0.1:10040\"\n") == "127.0.0.1:10040");
    CHECK(listen("listen=\"[::1]:10040\"\n") == "[::1]:10040");
    for (const std::string place : {"192.0.2.1:10040", "0.0.0.0:10040", "[2001:db8::1]:10040"}) {
        const auto line = "listen=\"" + place + "\"\n";
        CHECK(listen(line).starts_with("x.toml:2:8: policy.listen: expected a loopback address"));
        CHECK(listen(line + "listen_anywhere=true\n") == place);
    }
    for (const std::string place :
         {"127.0.0.1", "10040", ":10040", "localhost:10040", "127.0.0.1:0", "127.0.0.1:65536"})
        CHECK_MESSAGE(listen("listen=\"" + place + "\"\n").find("expected an address and a port") !=
                          std::string::npos,
                      place);
}

TEST_CASE("accounts are named as this host has them, groups behind an @") {
    const auto admin = parse_settings(
        "[admin]\nreaders = [\"ada\", \"@ops-team\", \"*\"]\nchangers = []\nsocket_owner = "
        "\"ada\"\n"
        "socket_group = \"mail.ops_1\"\n",
        "x");
    REQUIRE(admin);
    CHECK(admin->admin.readers == std::vector<std::string>{"ada", "@ops-team", "*"});
    CHECK(admin->admin.changers.empty());
    CHECK(admin->admin.rights == SocketRights{"0660", "ada", "mail.ops_1"});
    CHECK(Settings{}.admin.readers == std::vector<std::string>{"@postfathom"});
    for (const std::string name : {"", "@", "a b", "a:b", "a,b", "-a", "@-a", "a/b", "**", "a*"}) {
        CHECK_MESSAGE(
            faults("[admin]\nreaders = [\"" + name + "\"]\n").find("expected a list of users") !=
                std::string::npos,
            name);
        if (!name.empty() && name.front() != '@')
            CHECK_MESSAGE(
                faults("[dsn]\nsocket_group = \"" + name + "\"\n").find("expected a group name") !=
                    std::string::npos,
                name);
    }
    CHECK_FALSE(faults("[admin]\nreaders = \"ada\"\n").empty());
    CHECK_FALSE(faults("[confinement]\nmode = \"on\"\n").empty());
}

TEST_CASE("the shipped file lists every setting with its default and its sentence, and no other") {
    const auto text = read(source_dir / "conf/postfathom.toml");
    const auto loaded = parse_settings(text, "conf/postfathom.toml");
    REQUIRE_MESSAGE(loaded.has_value(), loaded.error().message);
    CHECK(render_settings(*loaded) == render_settings(Settings{}));

    // Comments are wrapped; compare words.
    std::string words;
    std::istringstream stream(text);
    for (std::string line; std::getline(stream, line);)
        words += (line.rfind("# ", 0) == 0 ? line.substr(2) + ' ' : line + '\n');
    std::string table;
    std::size_t position = 0;
    for (const auto& setting : describe_settings()) {
        CAPTURE(setting.name);
        const auto dot = setting.name.find('.');
        if (setting.name.substr(0, dot) != table) {
            table = setting.name.substr(0, dot);
            position = words.find('[' + table + "]\n", position);
            REQUIRE(position != std::string::npos);
        }
        const auto entry = setting.sentence + " (" + setting.unit + ") " +
                           setting.name.substr(dot + 1) + " = " + setting.default_value + '\n';
        position = words.find(entry, position);
        CHECK(position != std::string::npos);
    }
    std::istringstream lines(text);
    std::size_t values = 0;
    for (std::string line; std::getline(lines, line);)
        if (!line.starts_with('#') && line.find(" = ") != std::string::npos) ++values;
    CHECK(values == describe_settings().size());
    CHECK(text.find("[[route]]") != std::string::npos);
}

TEST_CASE("a file that is missing is told from one that is bad") {
    const auto missing = load_settings("/nonexistent/postfathom.toml");
    REQUIRE_FALSE(missing.has_value());
    CHECK(missing.error().code == ErrorCode::not_found);
    CHECK(missing.error().message.find("/nonexistent/postfathom.toml") != std::string::npos);
    const auto named = load_settings_or_defaults("/nonexistent/postfathom.toml");
    CHECK_FALSE(named.has_value());  // only the default place may be empty
    const auto directory = load_settings(source_dir);
    REQUIRE_FALSE(directory.has_value());
    CHECK(directory.error().message.find("Is a directory") != std::string::npos);
    const auto bad = parse_settings("[log]\nlevel=1\n", "bad");
    REQUIRE_FALSE(bad.has_value());
    CHECK(bad.error().code == ErrorCode::invalid_input);
}

TEST_CASE("hostile files are refused without harm") {
    CHECK(faults(std::string(2 << 20, '#')).find("expected at most") != std::string::npos);
    CHECK_FALSE(faults(std::string("[log]\nlevel=\"\x00\"\n", 17)).empty());
    CHECK_FALSE(faults("[log]\nlevel=\"\xff\xfe\"\n").empty());
    CHECK_FALSE(faults(std::string(50'000, '[')).empty());
    CHECK_FALSE(faults("[admin]\nsocket = \"/run/a\\u0007b\"\n").empty());
    std::string many = "[probe]\n";
    for (int i = 0; i < 5000; ++i) many += "x" + std::to_string(i) + " = 1\n";
    CHECK(faults(many).size() < 20'000);  // the list of faults is bounded
    // A name of a megabyte is not worth a guess at what was meant.
    CHECK(faults(std::string(1'000'000, 'x') + " = 1\n").find("unknown setting") !=
          std::string::npos);
    // Cut anywhere, the shipped file is read or refused.
    const auto shipped = read(source_dir / "conf/postfathom.toml");
    for (std::size_t length = 0; length < shipped.size(); length += 29)
        (void)faults(std::string_view(shipped).substr(0, length));
}
