// SPDX-License-Identifier: Apache-2.0
// Lines that real programs wrote, or whose form is documented (NAME-documented), with what they
// must parse to: tests/data/mail_log/NAME.log and, line by line, NAME.expected.
// POSTFATHOM_UPDATE_GOLDEN=1 in the environment writes the latter anew: read the difference before
// committing it.
#include <doctest/doctest.h>

#include <cstdlib>
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

TEST_CASE("lines of real mail servers parse as recorded") {
    std::size_t files = 0;
    for (const auto& entry : std::filesystem::directory_iterator(
             std::filesystem::path(POSTFATHOM_SOURCE_DIR) / "tests/data/mail_log")) {
        if (entry.path().extension() != ".log") continue;
        ++files;
        CAPTURE(entry.path().string());
        const auto lines = lines_of(entry.path());
        const auto golden = std::filesystem::path(entry.path()).replace_extension("expected");
        if (std::getenv("POSTFATHOM_UPDATE_GOLDEN") != nullptr) {
            std::ofstream out(golden, std::ios::binary);
            for (const auto& line : lines) out << render_line(line) << '\n';
        }
        const auto expected = lines_of(golden);
        REQUIRE(lines.size() > 0);
        REQUIRE(lines.size() == expected.size());
        for (std::size_t i = 0; i < lines.size(); ++i) {
            CAPTURE(lines[i]);
            CHECK(render_line(lines[i]) == expected[i]);
        }
    }
    CHECK(files > 0);
}
