// SPDX-License-Identifier: Apache-2.0
#include "lib/mail_log/follower.hpp"

#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <vector>

#include "lib/mail_log/lines.hpp"

using namespace postfathom;
using namespace std::chrono_literals;

namespace {

namespace fs = std::filesystem;
using Lines = std::vector<std::string>;

class Folder {
  public:
    Folder() {
        std::string name = (fs::temp_directory_path() / "follower-XXXXXX").string();
        REQUIRE(::mkdtemp(name.data()) != nullptr);
        path_ = name;
    }
    ~Folder() {
        std::error_code ignored;
        fs::remove_all(path_, ignored);
    }
    Folder(const Folder&) = delete;
    Folder& operator=(const Folder&) = delete;
    std::string operator/(const std::string& name) const { return (path_ / name).string(); }

  private:
    fs::path path_;
};

void append(const std::string& file, const std::string& text) {
    std::ofstream(file, std::ios::app | std::ios::binary) << text;
}

struct Bench {
    Folder folder;
    std::string path = folder / "mail.log";
    boost::asio::io_context io;
    Lines lines;
    LogFollower follower{io.get_executor(), path,
                         [this](std::string_view line) { lines.emplace_back(line); }};

    // Runs the loop until so many lines came, or a generous time is over.
    const Lines& lines_when(std::size_t count) {
        const auto end = std::chrono::steady_clock::now() + 10s;
        while (lines.size() < count && std::chrono::steady_clock::now() < end) io.run_one_for(20ms);
        return lines;
    }
    const Lines& lines_now() {
        follower.poll();
        io.poll();
        return lines;
    }
};

}  // namespace

TEST_CASE("lines are reported as they are written, from the end on") {
    Bench bench;
    append(bench.path, "old\n");
    bench.follower.start();
    CHECK(bench.lines_now().empty());
    append(bench.path, "one\ntwo\n");
    CHECK(bench.lines_when(2) == Lines{"one", "two"});
    append(bench.path, "\n");
    CHECK(bench.lines_when(3) == Lines{"one", "two", ""});
}

TEST_CASE("the loop notices a new line without being polled, well before the second's look") {
    Bench bench;
    append(bench.path, "old\n");
    bench.follower.start();
    bench.io.poll();
    const auto begin = std::chrono::steady_clock::now();
    append(bench.path, "one\n");
    CHECK(bench.lines_when(1) == Lines{"one"});
    CHECK(std::chrono::steady_clock::now() - begin < 500ms);
}

TEST_CASE("a line without its newline is kept until that comes") {
    Bench bench;
    append(bench.path, "old\nhalf of the li");
    bench.follower.start();
    CHECK(bench.lines_now().empty());
    for (const char byte : std::string("ne")) {
        append(bench.path, std::string(1, byte));
        CHECK(bench.lines_now().empty());
    }
    append(bench.path, "\nnext");
    CHECK(bench.lines_now() == Lines{"half of the line"});
    append(bench.path, "\n");
    CHECK(bench.lines_now() == Lines{"half of the line", "next"});
}

TEST_CASE("rotation by rename: the old file is read to its end, then the new from its start") {
    Bench bench;
    append(bench.path, "old\n");
    bench.follower.start();
    append(bench.path, "one\n");
    fs::rename(bench.path, bench.path + ".1");
    append(bench.path + ".1", "two\n");  // the writer has not been told yet
    append(bench.path, "three\n");
    CHECK(bench.lines_now() == Lines{"one", "two", "three"});
    append(bench.path + ".1", "four\n");
    append(bench.path, "five\n");
    CHECK(bench.lines_now() == Lines{"one", "two", "three", "four", "five"});
    SUBCASE("and again") {
        fs::rename(bench.path, bench.path + ".2");
        CHECK(bench.lines_now().size() == 5);
        append(bench.path, "six\n");
        CHECK(bench.lines_now().back() == "six");
        CHECK(bench.lines_now().size() == 6);
    }
    SUBCASE("and the loop alone sees the next one") {
        fs::rename(bench.path, bench.path + ".2");
        append(bench.path, "six\n");
        CHECK(bench.lines_when(6).back() == "six");
    }
}

TEST_CASE("truncation in place starts over") {
    Bench bench;
    append(bench.path, "old old old old\n");
    bench.follower.start();
    append(bench.path, "one\nhalf");
    CHECK(bench.lines_now() == Lines{"one"});
    fs::resize_file(bench.path, 0);
    append(bench.path, "two\n");
    CHECK(bench.lines_now() == Lines{"one", "two"});
}

TEST_CASE("a file that appears later is read from its start") {
    Bench bench;
    bench.follower.start();
    CHECK(bench.lines_now().empty());
    append(bench.path, "one\n");
    CHECK(bench.lines_when(1) == Lines{"one"});
    SUBCASE("a removed one that comes back as well") {
        fs::remove(bench.path);
        CHECK(bench.lines_now().size() == 1);
        append(bench.path, "two\n");
        CHECK(bench.lines_when(2) == Lines{"one", "two"});
    }
}

TEST_CASE("what is no regular file is not read") {
    Bench bench;
    REQUIRE(::mkfifo(bench.path.c_str(), 0600) == 0);
    bench.follower.start();
    CHECK(bench.lines_now().empty());
    fs::remove(bench.path);
    fs::create_directory(bench.path);
    CHECK(bench.lines_now().empty());
    fs::remove(bench.path);
    append(bench.path, "one\n");
    CHECK(bench.lines_now() == Lines{"one"});
}

TEST_CASE("an overlong line is cut, and the next one is whole") {
    Bench bench;
    append(bench.path, "");
    bench.follower.start();
    append(bench.path, std::string(1'000'000, 'x') + "\nnext\n");
    const auto& lines = bench.lines_when(2);
    REQUIRE(lines.size() == 2);
    CHECK(lines[0] == std::string(max_log_line_bytes, 'x'));
    CHECK(lines[1] == "next");
    SUBCASE("also when we begin in the middle of it") {
        Bench other;
        append(other.path, std::string(100'000, 'x'));
        other.follower.start();
        append(other.path, "yyy\nnext\n");
        CHECK(other.lines_now() == Lines{"next"});
    }
}

TEST_CASE("a flood of lines leaves other work its turn") {
    Bench bench;
    append(bench.path, "");
    bench.follower.start();
    constexpr std::size_t count = 200'000;
    std::string flood;
    for (std::size_t i = 0; i < count; ++i) flood += "a line of some length, as logs have them\n";
    append(bench.path, flood);
    std::size_t seen_by_other = 0;
    boost::asio::post(bench.io, [&] { seen_by_other = bench.lines.size(); });
    CHECK(bench.lines_when(count).size() == count);
    CHECK(seen_by_other < count / 2);
}

TEST_CASE("a line may end the following, or ask for more") {
    Bench bench;
    append(bench.path, "");
    Lines lines;
    LogFollower* self = nullptr;
    LogFollower follower(bench.io.get_executor(), bench.path, [&](std::string_view line) {
        lines.emplace_back(line);
        self->poll();
        if (line == "stop") self->stop();
    });
    self = &follower;
    follower.start();
    append(bench.path, "one\nstop\ntwo\n");
    follower.poll();
    CHECK(lines == Lines{"one", "stop"});
    append(bench.path, "three\n");
    follower.poll();
    bench.io.run_for(10ms);
    CHECK(lines == Lines{"one", "stop"});
}
