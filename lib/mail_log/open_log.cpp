// SPDX-License-Identifier: Apache-2.0
#include "lib/mail_log/open_log.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "lib/mail_log/scan.hpp"
#include "lib/mail_log/source.hpp"

namespace postfathom {

void OpenLog::seek_to_last_line() {
    struct stat status{};
    if (::fstat(file_.get(), &status) != 0) return;
    std::array<char, max_log_line_bytes> tail{};
    const auto begin = std::max<off_t>(0, status.st_size - static_cast<off_t>(tail.size()));
    const auto count = ::pread(file_.get(), tail.data(), tail.size(), begin);
    offset_ = line_begin_ = status.st_size;
    if (count <= 0) return;
    const std::string_view text(tail.data(), static_cast<std::size_t>(count));
    const auto newline = text.rfind('\n');
    if (newline == text.npos && begin > 0) {
        skipping_ = true;  // in the middle of an overlong line
    } else {
        offset_ = begin + (newline == text.npos ? 0 : static_cast<off_t>(newline) + 1);
        line_begin_ = offset_;
    }
}

void OpenLog::seek_to_offset(off_t offset) {
    struct stat status{};
    if (::fstat(file_.get(), &status) != 0) return;
    skipping_ = status.st_size - offset > most_past;
    offset_ = line_begin_ = skipping_ ? status.st_size - most_past : offset;
}

void OpenLog::seek_to(const FilePosition& position) {
    struct stat status{};
    const auto offset = static_cast<off_t>(position.offset);
    const bool intact = ::fstat(file_.get(), &status) == 0 && offset >= 0 &&
                        offset <= status.st_size && hash_before_offset(offset) == position.before;
    seek_to_offset(intact ? offset : 0);
}

std::uint64_t OpenLog::hash_before_offset(off_t offset) const {
    std::array<char, hashed_before> bytes{};
    const auto length = std::min(offset, static_cast<off_t>(bytes.size()));
    const auto count =
        ::pread(file_.get(), bytes.data(), static_cast<std::size_t>(length), offset - length);
    return hash_before({bytes.data(), static_cast<std::size_t>(std::max<ssize_t>(count, 0))});
}

FilePosition OpenLog::position() const {
    return {device_, inode_, static_cast<std::uint64_t>(line_begin_),
            hash_before_offset(line_begin_)};
}

std::size_t OpenLog::read(const OnLine& on_line) {
    start_over_when_truncated();
    std::array<char, log_chunk_bytes> chunk;  // NOLINT: written before it is read
    const auto count = ::pread(file_.get(), chunk.data(), chunk.size(), offset_);
    if (count <= 0) return 0;
    offset_ += count;
    last_growth_ = Clock::now();
    const auto bytes = static_cast<std::size_t>(count);
    try {
        report_lines(std::string_view(chunk.data(), bytes), on_line);
    } catch (...) {  // no memory for a line: those behind it are read the next time
        offset_ = line_begin_;
        partial_.clear();
        throw;
    }
    return bytes;
}

// logrotate's copytruncate, and `: > file`.
void OpenLog::start_over_when_truncated() {
    struct stat status{};
    if (::fstat(file_.get(), &status) != 0 || status.st_size >= offset_) return;
    offset_ = line_begin_ = 0;
    partial_.clear();
    skipping_ = false;
}

void OpenLog::report_lines(std::string_view text, const OnLine& on_line) {
    while (!text.empty()) {
        const auto newline = text.find('\n');
        const auto piece = text.substr(0, newline);
        if (newline == text.npos) {
            if (!skipping_) partial_ += piece.substr(0, max_log_line_bytes - partial_.size());
            return;
        }
        text.remove_prefix(newline + 1);
        line_begin_ = offset_ - static_cast<off_t>(text.size());
        if (skipping_) {
            skipping_ = false;
        } else if (partial_.empty()) {
            on_line(piece.substr(0, max_log_line_bytes));
        } else {
            partial_ += piece.substr(0, max_log_line_bytes - partial_.size());
            on_line(partial_);
            partial_.clear();
        }
    }
}

}  // namespace postfathom
