// SPDX-License-Identifier: Apache-2.0
#include "lib/base/program.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

using namespace postfathom;

namespace {

struct Ran {
    Result<ProgramEnd> end;
    std::string output;
};

Ran run(const std::vector<std::string>& words, const ProgramLimits& limits = {}) {
    std::string output;
    auto end = run_program(words, limits, [&](std::string_view piece) { output += piece; });
    return {std::move(end), std::move(output)};
}

}  // namespace

TEST_CASE("a program's output, errors and status come back, and no shell reads its arguments") {
    const auto said = run({"printf", "%s|", "$HOME", "a b", ";exit 3"});
    REQUIRE(said.end);
    CHECK(said.output == "$HOME|a b|;exit 3|");
    CHECK(said.end->status == 0);
    CHECK_FALSE(said.end->cut);

    const auto failed = run({"sh", "-c", "echo no >&2; exit 3"});
    REQUIRE(failed.end);
    CHECK(failed.end->status == 3);
    CHECK(failed.end->error == "no\n");

    const auto empty = run({"cat"});  // nothing to read, so that it ends at once
    REQUIRE(empty.end);
    CHECK(empty.output.empty());
}

TEST_CASE("a program gets no descriptor of ours, however it was opened") {
    const int ours = ::open("/dev/null", O_RDONLY);  // as LMDB opens its data: without O_CLOEXEC
    REQUIRE(ours > STDERR_FILENO);
    const auto said = run({"sh", "-c", "test ! -e /proc/self/fd/" + std::to_string(ours)});
    ::close(ours);
    REQUIRE(said.end);
    CHECK(said.end->status == 0);
}

TEST_CASE("a program that is not there is not found") {
    const auto missing = run({"postfathom-no-such-program"});
    REQUIRE_FALSE(missing.end);
    CHECK(missing.end.error().code == ErrorCode::not_found);
}

TEST_CASE("a program without end is ended, after its time or its bytes") {
    const auto long_one = run({"sleep", "3600"}, {std::chrono::milliseconds{50}, 100});
    REQUIRE(long_one.end);
    CHECK(long_one.end->cut);
    CHECK(long_one.end->status == 128 + 9);

    const auto talker = run({"yes"}, {std::chrono::minutes{2}, 100'000});
    REQUIRE(talker.end);
    CHECK(talker.end->cut);
    CHECK(talker.output.size() == 100'000);

    const auto complainer =
        run({"sh", "-c", "yes | head -c 100000 >&2"}, {std::chrono::minutes{2}, 100});
    REQUIRE(complainer.end);
    CHECK(complainer.end->error.size() == 4096);
}
