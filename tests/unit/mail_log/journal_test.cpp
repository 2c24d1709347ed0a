// SPDX-License-Identifier: Apache-2.0
#include "lib/mail_log/journal.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <stdlib.h>

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <vector>

#include "lib/mail_log/journal_entry.hpp"
#include "lib/mail_log/lines.hpp"

using namespace postfathom;
using namespace std::chrono_literals;

namespace {

namespace fs = std::filesystem;
using Lines = std::vector<std::string>;

// Of systemd 252, as journalctl printed it.
constexpr std::string_view real_entry =
    R"({"_BOOT_ID":"b3573bc6a90446cd91a69f5a294bc931","SYSLOG_PID":"4711",)"
    R"("SYSLOG_IDENTIFIER":"postfix/smtp","_PID":"26118","__REALTIME_TIMESTAMP":"1795434387626310",)"
    R"("__CURSOR":"s=0aa40576;i=163;b=b3573bc6;m=6b4ba5cf4;t=660f024e45946;x=2fe3c824f2ce0182",)"
    R"("MESSAGE":"SSL_connect error to mx.example.net[192.0.2.1]:25: Connection timed out",)"
    R"("__MONOTONIC_TIMESTAMP":"28801916148","_HOSTNAME":"vm"})";

std::string entry(std::string_view message) {
    return R"({"__REALTIME_TIMESTAMP":"0","SYSLOG_IDENTIFIER":"t","MESSAGE":)" +
           std::string(message) + "}";
}

std::string slurp(const std::string& file) {
    std::ifstream in(file);
    return {std::istreambuf_iterator<char>(in), {}};
}

// A program "journalctl" at the front of PATH: a script that finds its folder in $0.
class FakeJournal {
  public:
    explicit FakeJournal(const std::string& script) {
        std::string name = (fs::temp_directory_path() / "journal-XXXXXX").string();
        REQUIRE(::mkdtemp(name.data()) != nullptr);
        folder_ = name;
        std::ofstream(folder_ / "journalctl")
            << "#!/bin/bash\ncd \"${0%/*}\"\n"
               "entry() { printf '{\"__CURSOR\":\"c=%s\",\"__REALTIME_TIMESTAMP\":\"0\","
               "\"SYSLOG_IDENTIFIER\":\"t\",\"_PID\":\"7\",\"_HOSTNAME\":\"h\","
               "\"MESSAGE\":\"%s\"}\\n' \"$1\" \"$1\"; }\n"
               "echo \"$*\" >>arguments\n"
            << script;
        fs::permissions(folder_ / "journalctl", fs::perms::owner_all);
        path_before_ = ::getenv("PATH");
        ::setenv("PATH", (folder_.string() + ":" + path_before_).c_str(), 1);
    }
    ~FakeJournal() {
        ::setenv("PATH", path_before_.c_str(), 1);
        std::error_code ignored;
        fs::remove_all(folder_, ignored);
    }
    FakeJournal(const FakeJournal&) = delete;
    FakeJournal& operator=(const FakeJournal&) = delete;
    std::string operator/(const std::string& name) const { return (folder_ / name).string(); }
    std::string arguments() const { return slurp(*this / "arguments"); }

  private:
    fs::path folder_;
    std::string path_before_;
};

struct Life {
    explicit Life(const FakeJournal& journal, const JournalFollower::Limits& limits = {})
        : follower(
              io.get_executor(),
              [this](std::string_view line) {
                  lines.emplace_back(line.substr(line.rfind(' ') + 1));
              },
              journal / "position", limits) {
        follower.start();
    }
    const Lines& lines_when(std::size_t count) {
        const auto end = std::chrono::steady_clock::now() + 60s;
        while (lines.size() < count && std::chrono::steady_clock::now() < end) io.run_one_for(20ms);
        return lines;
    }
    boost::asio::io_context io;
    Lines lines;
    JournalFollower follower;
};

std::size_t count_of(const std::string& text, std::string_view words) {
    std::size_t count = 0;
    for (auto at = text.find(words); at != text.npos; at = text.find(words, at + 1)) ++count;
    return count;
}

}  // namespace

TEST_CASE("an entry of the journal becomes a line of a log") {
    const auto found = parse_journal_entry(real_entry);
    REQUIRE(found);
    CHECK(found->cursor ==
          "s=0aa40576;i=163;b=b3573bc6;m=6b4ba5cf4;t=660f024e45946;x=2fe3c824f2ce0182");
    CHECK(found->line ==
          "2026-11-23T11:46:27.626310+00:00 vm postfix/smtp[4711]: SSL_connect error to "
          "mx.example.net[192.0.2.1]:25: Connection timed out");
    const auto line = parse_log_line(found->line);
    REQUIRE(line);
    CHECK(line->pid == 4711);
    CHECK(std::get<Trouble>(line->event).kind == TroubleKind::handshake_error);
}

TEST_CASE("fields of all shapes") {
    const struct {
        std::string json;
        std::string line;  // empty: no entry
    } cases[] = {
        {entry("\"x y\""), "1970-01-01T00:00:00.000000+00:00 localhost t: x y"},
        {entry("[120,10,121]"), "1970-01-01T00:00:00.000000+00:00 localhost t: x"},
        {entry("[\"first\",\"second\"]"), "1970-01-01T00:00:00.000000+00:00 localhost t: first"},
        {entry("[255]"), "1970-01-01T00:00:00.000000+00:00 localhost t: \xff"},
        {entry("[[[\"x\"]]]"), "1970-01-01T00:00:00.000000+00:00 localhost t: x"},
        {entry("[256]"), ""},
        {entry("[1,\"x\"]"), ""},
        {entry("[]"), ""},
        // journald took blanks off the end, which show that Postfix cut the line; not so a newline.
        {entry(R"("blanks","SYSLOG_RAW":"<22>Nov 30 01:36:58 t[4711]: blanks     ")"),
         "1970-01-01T00:00:00.000000+00:00 localhost t: blanks "},
        {entry(R"("text","SYSLOG_RAW":"<22>Nov 30 01:00:00 t: text  \n")"),
         "1970-01-01T00:00:00.000000+00:00 localhost t: text "},
        {entry(R"("plain","SYSLOG_RAW":"<22>Nov 30 01:00:00 t: plain\n")"),
         "1970-01-01T00:00:00.000000+00:00 localhost t: plain"},
        {entry(R"("large","SYSLOG_RAW":null)"),
         "1970-01-01T00:00:00.000000+00:00 localhost t: large "},
        {entry("null"), ""},
        {entry("7"), ""},
        {"", ""},
        {"[]", ""},
        {"{}", ""},
        {"-- Boot b3573bc6 --", ""},
        {R"({"__REALTIME_TIMESTAMP":"x","SYSLOG_IDENTIFIER":"t","MESSAGE":"x"})", ""},
        {R"({"__REALTIME_TIMESTAMP":"-1","SYSLOG_IDENTIFIER":"t","MESSAGE":"x"})", ""},
        {R"({"__REALTIME_TIMESTAMP":"9223372036854775807","SYSLOG_IDENTIFIER":"t","MESSAGE":"x"})",
         ""},
        {R"({"__REALTIME_TIMESTAMP":"0","SYSLOG_IDENTIFIER":"a b","MESSAGE":"x"})", ""},
        {R"({"__REALTIME_TIMESTAMP":"0","MESSAGE":"x"})", ""},
        // The kernel tells who wrote it; a name can be borrowed.
        {entry("\"x\",\"_UID\":\"104\""), "1970-01-01T00:00:00.000000+00:00 localhost t: x"},
        {entry("\"x\",\"_UID\":\"999\""), "1970-01-01T00:00:00.000000+00:00 localhost t: x"},
        {entry("\"x\",\"_UID\":\"1000\""), ""},
        {entry("\"x\",\"_UID\":\"65534\""), ""},
        {entry("\"x\",\"_UID\":\"60578\""), ""},
        {entry("\"x\",\"_UID\":\"4294967295\""), ""},
    };
    for (const auto& c : cases) {
        CAPTURE(c.json);
        const auto found = parse_journal_entry(c.json);
        CHECK((found ? found->line : std::string()) == c.line);
    }
    for (std::size_t length = 0; length < real_entry.size(); ++length)
        CHECK(!parse_journal_entry(real_entry.substr(0, length)));
    CHECK(!parse_journal_entry(entry(std::string(10'000, '['))));
    CHECK(!parse_journal_entry(entry('"' + std::string(max_journal_entry_bytes, 'x') + '"')));
    CHECK(is_cursor("s=1;i=2"));
    for (const auto* text : {"", "--vacuum-size=1", "a b", "a\nb", "\xc3\xa4"})
        CHECK_FALSE(is_cursor(text));
}

TEST_CASE("what journalctl writes is reported, and a restart goes on behind it") {
    const FakeJournal journal(
        "case \"$*\" in *--after-cursor=c=two*) entry three ;;\n"
        "*) entry one; echo noise; head -c 100000 /dev/zero; echo; entry two ;; esac\n"
        "exec sleep 1000\n");
    {
        Life life(journal);
        CHECK(life.lines_when(2) == Lines{"one", "two"});
    }
    CHECK(slurp(journal / "position") == "c=two\n");
    Life life(journal);
    CHECK(life.lines_when(1) == Lines{"three"});
    const auto arguments = journal.arguments();
    CHECK(count_of(arguments, "--lines=0 SYSLOG_FACILITY=2") == 1);
    // Whatever boot /proc names, and no other machine's.
    CHECK(count_of(arguments, " --merge ") == 2);
    std::ifstream file("/etc/machine-id");
    std::string id;
    std::getline(file, id);
    if (id.size() == 32) CHECK(count_of(arguments, " _MACHINE_ID=" + id + "\n") == 2);
    CHECK(count_of(arguments, "--after-cursor=c=two --no-tail SYSLOG_FACILITY=2") == 1);
}

TEST_CASE("a journalctl that ends is started again behind the last entry") {
    const FakeJournal journal(
        "case \"$*\" in *c=two*) entry three; exec sleep 1000 ;;\n"
        "*c=one*) entry two; kill -9 $$ ;;\n*) entry one; printf '{\"half' ;; esac\n");
    Life life(journal);
    CHECK(life.lines_when(3) == Lines{"one", "two", "three"});
}

TEST_CASE("a cursor tells its time") {
    CHECK(time_of_cursor(
              "s=0aa40576;i=163;b=b3573bc6;m=6b4ba5cf4;t=660f024e45946;x=2fe3c824f2ce0182") ==
          std::chrono::microseconds(1'795'434'387'626'310));
    for (const auto* cursor :
         {"", "s=1", "t=", "t=xyz", "t=1x", "t=-1", "x=1;tt=1", "t=ffffffffffffffffff"})
        CHECK_FALSE(time_of_cursor(cursor));
}

TEST_CASE("what is older than a bounded past is left out after a long pause") {
    const FakeJournal journal("entry one; exec sleep 1000\n");
    std::ofstream(journal / "position") << "s=1;t=1\n";  // 1970
    Life life(journal);
    CHECK(life.lines_when(1) == Lines{"one"});
    const auto arguments = journal.arguments();
    const auto since = arguments.find("--since=@");
    REQUIRE(since != arguments.npos);
    CHECK(arguments.find("--after-cursor") == arguments.npos);
    CHECK(arguments.find(" --no-tail ") != arguments.npos);
    const auto seconds = std::stoll(arguments.substr(since + 9));
    const auto now = std::chrono::duration_cast<std::chrono::seconds>(
                         std::chrono::system_clock::now().time_since_epoch())
                         .count();
    CHECK(seconds <= now - 86'400);
    CHECK(seconds > now - 86'400 - 3600);
}

TEST_CASE("of the past not more than so many bytes are read, then what is new") {
    // Entries of a time before the start, without end; then, from the present on, one.
    const FakeJournal journal(
        "case \"$*\" in *--after-cursor*) n=0; while entry \"$((n++));t=2\"; do :; done ;;\n"
        "*) entry new; exec sleep 1000 ;; esac\n");
    const auto now = std::chrono::duration_cast<std::chrono::microseconds>(
        std::chrono::system_clock::now().time_since_epoch());
    std::ofstream(journal / "position") << fmt::format("s=1;t={:x}\n", now.count());
    Life life(journal, {.past = 24h, .bytes = 100'000});
    const auto end = std::chrono::steady_clock::now() + 60s;
    while ((life.lines.empty() || life.lines.back() != "new") &&
           std::chrono::steady_clock::now() < end)
        life.io.run_one_for(20ms);
    REQUIRE_FALSE(life.lines.empty());
    CHECK(life.lines.back() == "new");
    CHECK(life.lines.size() > 100);
    CHECK(life.lines.size() < 2000);
    CHECK(count_of(journal.arguments(), "--lines=0 SYSLOG_FACILITY=2") == 1);
}

TEST_CASE("a place in the journal that is gone is forgotten") {
    const FakeJournal journal(
        "case \"$*\" in *--after-cursor*) exit 1 ;; *) entry one; exec sleep 1000 ;; esac\n");
    std::ofstream(journal / "position") << "c=gone\n";
    Life life(journal);
    CHECK(life.lines_when(1) == Lines{"one"});
}

TEST_CASE("an entry for which there is no memory does not end the following") {
    const FakeJournal journal(
        "{ entry large; entry behind; entry half; } >all; head -c -20 all\n"
        "until [ -e seen ]; do sleep 0.02; done; tail -c 20 all; entry one; exec sleep 1000\n");
    boost::asio::io_context io;
    Lines lines;
    bool thrown = false;
    JournalFollower follower(io.get_executor(), [&](std::string_view line) {
        if (line.ends_with("large")) throw std::bad_alloc();
        lines.emplace_back(line);
    });
    follower.start();
    const auto end = std::chrono::steady_clock::now() + 60s;
    while (lines.size() < 3 && std::chrono::steady_clock::now() < end) {
        try {
            follower.poll();
        } catch (const std::bad_alloc&) {
            thrown = true;
            std::ofstream(journal / "seen");
        }
    }
    CHECK(thrown);
    REQUIRE(lines.size() == 3);
    for (const auto& [line, name] :
         {std::pair(lines[0], "behind"), {lines[1], "half"}, {lines[2], "one"}})
        CHECK(line.ends_with(name));
    follower.stop();
}

TEST_CASE("a line may end the following, and what is ready is read without the loop") {
    const FakeJournal journal("entry one; entry stop; entry two; >ready; exec sleep 1000\n");
    boost::asio::io_context io;
    Lines lines;
    JournalFollower* self = nullptr;
    JournalFollower follower(io.get_executor(), [&](std::string_view line) {
        lines.emplace_back(line);
        self->poll();
        if (line.ends_with("stop")) self->stop();
    });
    self = &follower;
    follower.start();
    const auto end = std::chrono::steady_clock::now() + 60s;
    while (lines.size() < 2 && std::chrono::steady_clock::now() < end) follower.poll();
    CHECK(lines.size() == 2);
    follower.poll();
    io.run();
    CHECK(lines.size() == 2);
}
