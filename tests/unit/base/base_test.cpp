// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <string>

#include "lib/base/log.hpp"
#include "lib/base/result.hpp"
#include "lib/base/text.hpp"
#include "lib/base/units.hpp"

using namespace postfathom;

TEST_CASE("MSS and packet size differ by the headers of the family") {
    CHECK(mss_for(PathMtu{1400}, IpFamily::v4) == Mss{1360});
    CHECK(mss_for(PathMtu{1400}, IpFamily::v6) == Mss{1340});
    CHECK(path_mtu_for(Mss{1360}, IpFamily::v4) == PathMtu{1400});
    CHECK(path_mtu_for(Mss{1340}, IpFamily::v6) == PathMtu{1400});
    CHECK(mss_for(PathMtu{40}, IpFamily::v4) == Mss{0});
    CHECK(mss_for(PathMtu{0}, IpFamily::v6) == Mss{0});
}

TEST_CASE("times are written in UTC") {
    CHECK(to_rfc3339(WallTime{std::chrono::seconds{1'795'407'371}}) == "2026-11-23T04:16:11Z");
    CHECK(to_rfc3339(WallTime{}) == "1970-01-01T00:00:00Z");
    CHECK(to_rfc3339(WallTime{std::chrono::hours{24 * 366 * 1000}}) == "2972-01-28T00:00:00Z");
}

TEST_CASE("foreign text is made safe and short") {
    CHECK(printable("250 ok") == "250 ok");
    CHECK(shell_quoted("[192.0.2.1]:25") == "'[192.0.2.1]:25'");
    CHECK(shell_quoted("a'b `c` $d") == R"('a'\''b `c` $d')");
    CHECK(printable("a\r\nb\x1b[31m\x7f\t") == "a??b?[31m??");
    CHECK(printable("\xc3\xa9t\xff") == "??t?");
    CHECK(printable(std::string("a\0b", 3)) == "a?b");
    CHECK(printable(std::string(300, 'x')).size() == 256);
    CHECK(printable("abcdefgh", 6) == "abc...");
    CHECK(printable("abcdef", 6) == "abcdef");
    CHECK(printable("abcdef", 2) == "...");
}

TEST_CASE("text helpers work on ASCII alone") {
    CHECK(to_lower("MaIl.\xc3\x89") == "mail.\xc3\x89");
    CHECK(trim(" \t a b \r\n") == "a b");
    CHECK(trim(" \t").empty());
    CHECK(split("a,,b", ',') == std::vector<std::string_view>{"a", "", "b"});
    CHECK(split("", ',') == std::vector<std::string_view>{""});
    CHECK(iequals("StartTLS", "STARTTLS"));
    CHECK_FALSE(iequals("STARTTLS", "STARTTL"));
    CHECK(istarts_with("EHLO x", "ehlo"));
    CHECK_FALSE(istarts_with("EH", "ehlo"));
}

TEST_CASE("an errno becomes words and a code to act on") {
    CHECK(errno_error(ENOENT, "open /x").message == "open /x: No such file or directory");
    CHECK(errno_error(ENOENT, "x").code == ErrorCode::not_found);
    CHECK(errno_error(ECONNREFUSED, "x").code == ErrorCode::refused);
    CHECK(errno_error(ETIMEDOUT, "x").code == ErrorCode::timed_out);
    CHECK(errno_error(EPERM, "x").code == ErrorCode::io);
}

namespace {

// What `act` writes to standard error.
template <typename Act>
std::string standard_error_of(Act act) {
    std::fflush(stderr);
    std::FILE* file = std::tmpfile();
    REQUIRE(file != nullptr);
    const int saved = ::dup(STDERR_FILENO);
    ::dup2(::fileno(file), STDERR_FILENO);
    act();
    std::fflush(stderr);
    ::dup2(saved, STDERR_FILENO);
    ::close(saved);
    std::rewind(file);
    std::string text(4096, '\0');
    text.resize(std::fread(text.data(), 1, text.size(), file));
    std::fclose(file);
    return text;
}

}  // namespace

TEST_CASE("log lines carry the program, respect the level, and say nothing below it") {
    ::unsetenv("JOURNAL_STREAM");
    const auto text = standard_error_of([] {
        log::start("postfathom-test", log::Target::standard_error, log::Level::info);
        log::debug("{}: not shown", "example.org");
        log::info("{}: path MTU {}", "example.org", 1400);
        log::warning("careful");
        log::set_level(log::Level::error);
        log::warning("not shown either");
    });
    CHECK(text.find("postfathom-test: info: example.org: path MTU 1400\n") != std::string::npos);
    CHECK(text.find("postfathom-test: warning: careful\n") != std::string::npos);
    CHECK(text.find("not shown") == std::string::npos);
}

TEST_CASE("under systemd a line starts with the priority the journal reads") {
    ::setenv("JOURNAL_STREAM", "8:1", 1);
    const auto text = standard_error_of([] {
        log::start("postfathom-test", log::Target::standard_error, log::Level::info);
        log::error("no cache");
        log::info("up");
    });
    ::unsetenv("JOURNAL_STREAM");
    CHECK(text == "<3>no cache\n<6>up\n");
}
