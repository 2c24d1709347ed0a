// SPDX-License-Identifier: Apache-2.0
#include "cli/terminal.hpp"

#include <fmt/core.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

namespace postfathom {

namespace {

constexpr std::size_t bar_width = 24;

}  // namespace

bool coloured() {
    const char* unwanted = std::getenv("NO_COLOR");
    return ::isatty(STDOUT_FILENO) == 1 && (unwanted == nullptr || *unwanted == '\0');
}

ProgressLine::ProgressLine() : shown_(::isatty(STDERR_FILENO) == 1) {}

void ProgressLine::show(const std::string& text) {
    if (!shown_) return;
    // Erases to the end of the line, so that a shorter text leaves nothing behind. Without
    // wrapping, or the rewriting would fill the screen.
    fmt::print(stderr, "\r\x1b[?7l{}\x1b[K\x1b[?7h", text);
    std::fflush(stderr);
    dirty_ = true;
}

void ProgressLine::clear() {
    if (!dirty_) return;
    fmt::print(stderr, "\r\x1b[K");
    std::fflush(stderr);
    dirty_ = false;
}

std::string progress_bar(std::size_t done, std::size_t all, std::chrono::seconds passed) {
    const auto full = all == 0 ? bar_width : bar_width * done / all;
    return fmt::format("[{}{}] {} of {}, {} s", std::string(full, '#'),
                       std::string(bar_width - full, '.'), done, all, passed.count());
}

}  // namespace postfathom
