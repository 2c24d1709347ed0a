// SPDX-License-Identifier: Apache-2.0
// What every benchmark prints: rows of a table that people can read, and that tests/bench/run
// gathers in docs/performance.md.
#pragma once

#include <fmt/core.h>

#include <cstdio>
#include <string>

namespace postfathom::bench {

// What was measured, and beside what. Cells carry their units; none has a "|" in it.
struct Row {
    std::string what;
    std::string ours;
    std::string beside{};
    std::string theirs{};
    std::string ratio{};  // of ours to theirs, or to the aim
    std::string aim{};
};

inline void print(const Row& row) {
    fmt::print("| {} | {} | {} | {} | {} | {} |\n", row.what, row.ours, row.beside, row.theirs,
               row.ratio, row.aim);
    std::fflush(stdout);
}

inline std::string two_digits(double number) { return fmt::format("{:.2f}", number); }

}  // namespace postfathom::bench
