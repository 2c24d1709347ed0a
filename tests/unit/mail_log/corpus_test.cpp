// SPDX-License-Identifier: Apache-2.0
// Lines that a real Postfix wrote, with what they must parse to: tests/data/mail_log/NAME.log and,
// line by line, NAME.expected.
#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <vector>

#include "tests/unit/mail_log/render.hpp"

using namespace postfathom;

namespace {

std::vector<std::string> lines_of(const std::filesystem::path& file) {
    std::ifstream in(file, std::ios::binary);
    std::vector<std::string> lines;
    for (std::string line; std::getline(in, line);) lines.push_back(line);
    return lines;
}

}  // namespace

TEST_CASE("lines of a real Postfix parse as recorded") {
    std::size_t files = 0;
    for (const auto& entry : std::filesystem::directory_iterator(
             std::filesystem::path(POSTFATHOM_SOURCE_DIR) / "tests/data/mail_log")) {
        if (entry.path().extension() != ".log") continue;
        ++files;
        CAPTURE(entry.path().string());
        const auto lines = lines_of(entry.path());
        const auto expected =
            lines_of(std::filesystem::path(entry.path()).replace_extension("expected"));
        REQUIRE(lines.size() > 0);
        REQUIRE(lines.size() == expected.size());
        for (std::size_t i = 0; i < lines.size(); ++i) {
            CAPTURE(lines[i]);
            CHECK(render(parse_log_line(lines[i])) == expected[i]);
        }
    }
    CHECK(files > 0);
}
