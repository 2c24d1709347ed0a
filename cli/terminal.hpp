// SPDX-License-Identifier: Apache-2.0
// What a terminal gets and a pipe does not: colours, and lines that are written again and again.
#pragma once

#include <chrono>
#include <cstddef>
#include <string>

namespace postfathom {

// Standard output is a terminal and NO_COLOR (https://no-color.org) is not set.
bool coloured();

// On standard error, where it is a terminal.
class ProgressLine {
  public:
    ProgressLine();
    ~ProgressLine() { clear(); }
    ProgressLine(const ProgressLine&) = delete;
    ProgressLine& operator=(const ProgressLine&) = delete;

    bool shown() const { return shown_; }
    void show(const std::string& text);
    void clear();

  private:
    bool shown_;
    bool dirty_ = false;
};

// "[####......] 4 of 10, 12 s"
std::string progress_bar(std::size_t done, std::size_t all, std::chrono::seconds passed);

}  // namespace postfathom
