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
#include "lib/mail_log/position.hpp"
#include "lib/mail_log/scan.hpp"

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
        const auto end = std::chrono::steady_clock::now() + 60s;
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

TEST_CASE("a line for which there is no memory does not end the following") {
    Folder folder;
    const auto path = folder / "mail.log";
    append(path, "");
    boost::asio::io_context io;
    Lines lines;
    LogFollower follower(io.get_executor(), path, [&](std::string_view line) {
        if (line == "large") throw std::bad_alloc();
        lines.emplace_back(line);
    });
    follower.start();
    append(path, "large\none\nhal");
    CHECK_THROWS_AS(follower.poll(), std::bad_alloc);
    append(path, "f\n");
    follower.poll();
    CHECK(lines == Lines{"one", "half"});
    append(path, "lar");
    follower.poll();
    append(path, "ge\n");
    CHECK_THROWS_AS(follower.poll(), std::bad_alloc);
    append(path, "two\n");
    follower.poll();
    CHECK(lines == Lines{"one", "half", "two"});
}

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
    // Each is written when the last one was seen: with a look per second alone all but the first
    // would take that second. Once is enough, since this machine may be busy.
    bool at_once = false;
    for (std::size_t i = 1; i <= 50 && !at_once; ++i) {
        const auto begin = std::chrono::steady_clock::now();
        append(bench.path, "one\n");
        REQUIRE(bench.lines_when(i).size() == i);
        at_once = i > 1 && std::chrono::steady_clock::now() - begin < 500ms;
    }
    CHECK(at_once);
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

namespace {

// One life of a process that keeps its position.
struct Life {
    explicit Life(const Bench& bench)
        : follower(
              io.get_executor(), bench.path,
              [this](std::string_view line) { lines.emplace_back(line); },
              bench.folder / "position") {
        follower.start();
    }
    Lines seen() {
        for (int i = 0; i < 4; ++i) {
            follower.poll();
            io.poll();
        }
        return lines;
    }
    boost::asio::io_context io;
    Lines lines;
    LogFollower follower;
};

}  // namespace

TEST_CASE("a restart goes on where the reading ended, without reading twice or losing lines") {
    Bench bench;
    append(bench.path, "old\n");
    {
        Life life(bench);
        append(bench.path, "one\ntwo\nhalf");
        REQUIRE(life.seen() == Lines{"one", "two"});
    }
    SUBCASE("nothing new") {
        CHECK(Life(bench).seen().empty());
        append(bench.path, " of it\n");
        CHECK(Life(bench).seen() == Lines{"half of it"});
        CHECK(Life(bench).seen().empty());
    }
    SUBCASE("lines written meanwhile") {
        append(bench.path, "\nthree\n");
        CHECK(Life(bench).seen() == Lines{"half", "three"});
    }
    SUBCASE("renamed meanwhile") {
        append(bench.path, "\nthree\n");
        fs::rename(bench.path, bench.path + ".1");
        append(bench.path, "four\n");
        {
            Life life(bench);
            CHECK(life.seen() == Lines{"half", "three", "four"});
            append(bench.path + ".1", "five\n");  // its writer was not told yet
            CHECK(life.seen().back() == "five");
        }
        append(bench.path + ".1", "six\n");
        append(bench.path, "seven\n");
        CHECK(Life(bench).seen() == Lines{"six", "seven"});
    }
    SUBCASE("renamed meanwhile, and the new one comes later") {
        fs::rename(bench.path, bench.path + ".1");
        Life life(bench);
        CHECK(life.seen().empty());
        append(bench.path, "four\n");
        CHECK(life.seen() == Lines{"four"});
        append(bench.path + ".1", "\n");
        CHECK(life.seen() == Lines{"four", "half"});
    }
    SUBCASE(
        "renamed several times meanwhile: the files between are read, each once, in their order") {
        append(bench.path, "\nthree\n");
        const auto begin = fs::file_time_type::clock::now();
        const auto rotate = [&](const std::string& to, const std::string& next,
                                std::chrono::seconds after) {
            fs::rename(bench.path, bench.path + to);
            fs::last_write_time(bench.path + to, begin + after);
            append(bench.path, next);
        };
        // Long read, compressed, and of somebody else.
        append(bench.path + ".9", "read long ago\n");
        fs::last_write_time(bench.path + ".9", begin - 3600s);
        rotate(".3", "four\n", 10s);
        rotate("-20261123", "five\nsix\n", 20s);
        append(bench.path + ".2.gz", "\x1f\x8b\n");
        append(bench.path + ".bak", "bak\n");
        append(bench.path + "2", "another log\n");
        for (const char* other : {".2.gz", ".bak", "2"})
            fs::last_write_time(bench.path + other, begin + 25s);
        rotate(".1", "seven\n", 30s);
        SUBCASE("all at once") {
            CHECK(Life(bench).seen() == Lines{"half", "three", "four", "five", "six", "seven"});
            append(bench.path, "eight\n");
            CHECK(Life(bench).seen() == Lines{"eight"});
        }
        SUBCASE("the one that was read last is gone") {
            fs::remove(bench.path + ".3");
            CHECK(Life(bench).seen() == Lines{"four", "five", "six", "seven"});
        }
        SUBCASE("and an end in between loses nothing") {
            Lines lines;
            LogFollower* self = nullptr;
            LogFollower follower(
                bench.io.get_executor(), bench.path,
                [&](std::string_view line) {
                    lines.emplace_back(line);
                    if (line == "five") self->stop();
                },
                bench.folder / "position");
            self = &follower;
            follower.start();
            CHECK(lines == Lines{"half", "three", "four", "five"});
            CHECK(Life(bench).seen() == Lines{"six", "seven"});
        }
        SUBCASE("not more than a bounded past of them") {
            fs::resize_file(bench.path + "-20261123", std::uintmax_t{65} * 1024 * 1024);
            fs::last_write_time(bench.path + "-20261123", begin + 20s);
            CHECK(Life(bench).seen() == Lines{"half", "three", "five", "six", "seven"});
        }
    }
    SUBCASE("copied and truncated meanwhile") {
        append(bench.path, "\nthree\n");
        fs::copy_file(bench.path, bench.path + ".1");
        fs::resize_file(bench.path, 0);
        append(bench.path, "four\n");
        CHECK(Life(bench).seen() == Lines{"four"});
    }
    SUBCASE("renamed and compressed meanwhile") {
        fs::rename(bench.path, bench.folder / "elsewhere");
        append(bench.path, "four\n");
        CHECK(Life(bench).seen() == Lines{"four"});
    }
    SUBCASE("truncated meanwhile") {
        fs::resize_file(bench.path, 0);
        append(bench.path, "four\n");
        CHECK(Life(bench).seen() == Lines{"four"});
    }
    SUBCASE("truncated meanwhile, and longer than it was") {
        fs::resize_file(bench.path, 0);
        append(bench.path, "xxx\nyyy\nzzz\nand more\n");
        CHECK(Life(bench).seen() == Lines{"xxx", "yyy", "zzz", "and more"});
    }
    SUBCASE("a position that is none") {
        for (const std::string text :
             {"", "postfathom log position 1\n1 2\n", "postfathom log position 2\n1 2 3 4\n"}) {
            std::ofstream(bench.folder / "position") << text;
            append(bench.path, "\nthree\n");
            CHECK(Life(bench).seen().empty());
        }
    }
    SUBCASE("a process that was killed reads a little twice, and loses nothing") {
        const auto before = read_small_file(bench.folder / "position");
        append(bench.path, "\nthree\n");
        CHECK(Life(bench).seen() == Lines{"half", "three"});
        REQUIRE(replace_file(bench.folder / "position", *before));
        append(bench.path, "four\n");
        CHECK(Life(bench).seen() == Lines{"half", "three", "four"});
    }
}

TEST_CASE("a line that ends the following is the last that counts as read") {
    Bench bench;
    append(bench.path, "");
    {
        Life life(bench);
        append(bench.path, "one\n");
        REQUIRE(life.seen() == Lines{"one"});
    }
    append(bench.path, "stop\ntwo\n");
    LogFollower* self = nullptr;
    LogFollower follower(
        bench.io.get_executor(), bench.path,
        [&](std::string_view line) {
            if (line == "stop") self->stop();
        },
        bench.folder / "position");
    self = &follower;
    follower.start();
    CHECK(Life(bench).seen() == Lines{"two"});
}

TEST_CASE("after a long pause not more than a bounded past is read") {
    Bench bench;
    append(bench.path, "");
    {
        Life life(bench);
    }
    // The file is sparse: one line of 128 MiB without an end, then two that end.
    fs::resize_file(bench.path, std::uintmax_t{128} * 1024 * 1024);
    append(bench.path, "\nlast but one\nlast\n");
    Life life(bench);
    const auto end = std::chrono::steady_clock::now() + 60s;
    while (life.lines.size() < 2 && std::chrono::steady_clock::now() < end)
        life.io.run_one_for(20ms);
    CHECK(life.lines == Lines{"last but one", "last"});
}

TEST_CASE("a file that may not be read is read once it may, from where it was") {
    if (::geteuid() == 0) {
        MESSAGE("root may read everything: the file is taken away instead");
        Bench bench;
        append(bench.path, "old\n");
        Life life(bench);
        CHECK(life.seen().empty());
        fs::rename(bench.path, bench.path + ".away");
        CHECK(life.seen().empty());
        append(bench.path + ".away", "one\n");
        fs::rename(bench.path + ".away", bench.path);
        CHECK(life.seen() == Lines{"one"});
        return;
    }
    Bench bench;
    append(bench.path, "old\n");
    {
        Life life(bench);
    }
    append(bench.path, "one\n");
    fs::permissions(bench.path, fs::perms::none);
    Life life(bench);
    CHECK(life.seen().empty());
    fs::permissions(bench.path, fs::perms::owner_read | fs::perms::owner_write);
    CHECK(life.seen() == Lines{"one"});
}

TEST_CASE("positions are read back as they were written, and nothing else") {
    const std::vector<FilePosition> two{{1, 2, 3, ~std::uint64_t{0}}, {4, 5, 6, 7}};
    CHECK(decode_positions(encode_positions(two)) == two);
    const auto text = encode_positions(two);
    for (std::size_t length = 0; length < text.size(); ++length)
        CHECK(decode_positions(text.substr(0, length)).size() < 2);
    CHECK(decode_positions(text + "8 9 10 11\n").size() == 3);
    std::string many = text;
    while (many.size() < 2000) many += "8 9 10 11\n";
    CHECK(decode_positions(many).empty());
    CHECK(decode_positions(text + "x").empty());
}
