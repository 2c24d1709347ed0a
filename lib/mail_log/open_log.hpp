// SPDX-License-Identifier: Apache-2.0
// One open log file: where we are in it, and the line that has no newline yet.
#pragma once

#include <sys/stat.h>

#include <chrono>
#include <functional>
#include <string>
#include <string_view>

#include "lib/base/descriptor.hpp"
#include "lib/mail_log/position.hpp"

namespace postfathom {

class OpenLog {
  public:
    using Clock = std::chrono::steady_clock;
    using OnLine = std::function<void(std::string_view line)>;
    // After a pause, so much of the past is read at most.
    static constexpr off_t most_past = off_t{64} * 1024 * 1024;

    OpenLog(Descriptor file, const struct stat& status)
        : file_(std::move(file)), device_(status.st_dev), inode_(status.st_ino) {}

    bool same_as(const struct stat& status) const {
        return status.st_dev == device_ && status.st_ino == inode_;
    }
    bool same_as(const FilePosition& position) const {
        return position.device == device_ && position.inode == inode_;
    }
    int number() const { return file_.get(); }
    Clock::time_point last_growth() const { return last_growth_; }

    // To the start of the line that is last now, so that a half-written one is not lost.
    void seek_to_last_line();
    // To where the reading ended, or to the start when the file was truncated since.
    void seek_to(const FilePosition& position);
    // To the start, or as far as `most_past` before the end.
    void seek_to_start() { seek_to_offset(0); }
    FilePosition position() const;

    // Reads one piece and reports the lines in it; the number of bytes that were read.
    std::size_t read(const OnLine& on_line);

  private:
    void seek_to_offset(off_t offset);
    void start_over_when_truncated();
    void report_lines(std::string_view text, const OnLine& on_line);
    std::uint64_t hash_before_offset(off_t offset) const;

    Descriptor file_;
    dev_t device_;
    ino_t inode_;
    off_t offset_ = 0;
    off_t line_begin_ = 0;   // of the first line that was not reported
    std::string partial_;    // at most max_log_line_bytes
    bool skipping_ = false;  // until the next newline
    Clock::time_point last_growth_ = Clock::now();
};

}  // namespace postfathom
